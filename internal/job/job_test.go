package job

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process runs one job in its life, so each test with a job has one for itself:
// inside runs the test in it, in a new process.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv("JOB_TEST") == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "JOB_TEST="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	return false
}

func start(t *testing.T, grace time.Duration, script string) *Job {
	t.Helper()
	j, err := Start(Options{Args: []string{"sh", "-c", script}, Env: os.Environ(), Grace: grace})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// await waits until a file has a line.
func await(t *testing.T, path string) string {
	t.Helper()
	for {
		text, _ := os.ReadFile(path)
		if line, _, whole := strings.Cut(string(text), "\n"); whole {
			return line
		}
		if t.Context().Err() != nil {
			t.Fatalf("nothing is written to %s", path)
		}
		time.Sleep(time.Millisecond)
	}
}

func checkNothingLeft(t *testing.T) {
	t.Helper()
	if left := descendants(); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestStopLetsACommandEndByItself(t *testing.T) {
	if !inside(t) {
		return
	}
	ready := filepath.Join(t.TempDir(), "ready")
	j := start(t, time.Minute, `trap 'exit 9' TERM; echo > `+ready+`; while :; do sleep 0.01; done`)
	await(t, ready)
	j.Stop()
	<-j.Done()
	if j.Status() != 9 {
		t.Errorf("status %d, want 9", j.Status())
	}
	checkNothingLeft(t)
}

func TestStopKillsWhatIsLeftWhenTheGraceIsOver(t *testing.T) {
	if !inside(t) {
		return
	}
	ready := filepath.Join(t.TempDir(), "ready")
	j := start(t, 50*time.Millisecond, `trap '' TERM; (setsid sh -c "echo > `+ready+`; sleep 1000" &); sleep 1000; sleep 1000`)
	await(t, ready)
	j.Stop()
	<-j.Done()
	if j.Status() != 128+int(unix.SIGKILL) {
		t.Errorf("status %d", j.Status())
	}
	checkNothingLeft(t)
}

func TestStopEndsWhatTheCommandHasLeft(t *testing.T) {
	if !inside(t) {
		return
	}
	j := start(t, time.Minute, `setsid sleep 1000 & setsid sleep 1000 &`)
	<-j.Done()
	if j.Status() != 0 {
		t.Errorf("status %d", j.Status())
	}
	if len(descendants()) == 0 {
		t.Error("the command has left nothing")
	}
	j.Stop()
	checkNothingLeft(t)
}

func TestStopWakesWhatIsStopped(t *testing.T) {
	if !inside(t) {
		return
	}
	ready := filepath.Join(t.TempDir(), "ready")
	j := start(t, time.Minute, `sh -c 'echo $$ > `+ready+`; kill -STOP $$' & wait`)
	pid, err := strconv.Atoi(await(t, ready))
	if err != nil {
		t.Fatal(err)
	}
	for p, _ := readProcess(pid); p.State != "T"; p, _ = readProcess(pid) {
		time.Sleep(time.Millisecond)
	}
	j.Stop()
	checkNothingLeft(t)
}

// One that starts the next, in a session of its own, and ends, is never there for
// long.
func TestNothingOutrunsKill(t *testing.T) {
	if !inside(t) {
		return
	}
	dir := t.TempDir()
	chain := filepath.Join(dir, "chain")
	ready := filepath.Join(dir, "ready")
	if err := os.WriteFile(chain, []byte("setsid sh "+chain+" &\necho > "+ready+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := start(t, 0, "for i in 1 2 3 4 5; do sh "+chain+" & done; sleep 1000")
	await(t, ready)
	j.Kill()
	checkNothingLeft(t)
}

func TestACommandIsFoundAsAShellFindsIt(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for name, mode := range map[string]os.FileMode{dir + "/plain": 0o600, dir + "/both": 0o600, other + "/both": 0o700, other + "/good": 0o700} {
		if err := os.WriteFile(name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+other+":/nowhere")
	for name, want := range map[string]string{"good": other + "/good", "both": other + "/both", other + "/good": other + "/good"} {
		if got, err := lookPath(name); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	for name, found := range map[string]bool{"none": false, "plain": true, dir + "/none": false, dir + "/plain": true, dir: true, dir + "/plain/x": false} {
		_, err := lookPath(name)
		var start *StartError
		if !errors.As(err, &start) || start.Found != found || start.Name != name {
			t.Errorf("%s: %v; want an error with found %t", name, err, found)
		}
	}
}

func TestANumberThatIsAnothersNowIsNotSignalled(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, ok := readProcess(cmd.Process.Pid)
	if !ok || p.PPID != os.Getpid() {
		t.Fatalf("%+v, %t", p, ok)
	}
	stale := p
	stale.Starttime++
	stale.signal(unix.SIGKILL)
	if now, ok := readProcess(p.PID); !ok || now.State == "Z" {
		t.Error("it was killed")
	}
	p.signal(unix.SIGKILL)
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
}
