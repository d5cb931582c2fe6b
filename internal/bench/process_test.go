package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/embedded"
)

// helper is the environment variable that makes this program a server.
const helper = "LOCKD_BENCH_TEST_SERVER"

// serveUntilEOF is the program that a test starts to have a server in a process of
// its own. It says where it listens.
func serveUntilEOF(address string) error {
	if network, ok := strings.CutPrefix(address, "echo:"); ok {
		return ServeEcho(network, os.Stdin, os.Stdout)
	}
	s, err := embedded.Listen(context.Background(), embedded.Options{Addresses: []string{address}})
	if err != nil {
		return err
	}
	defer s.Destroy()
	fmt.Println(s.Addrs()[0])
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func helperCommand(address string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helper+"="+address, "GORACE=atexit_sleep_ms=0") // it ends a second late otherwise
	cmd.Stderr = os.Stderr
	return cmd
}

// startProcess starts a lockd in a process of its own.
func startProcess(t *testing.T, address string) (url string, pid int) {
	t.Helper()
	cmd := helperCommand(address)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, _, _ = strings.Cut(strings.TrimSpace(line), "?")
	return url, cmd.Process.Pid
}

func TestTheServersProcessIsFoundByItsSocket(t *testing.T) {
	for _, address := range []string{
		"tcp://127.0.0.1:0", "tcp://127.7.7.7:0", "tcp://[::1]:0", "tcp://:0", "unix://" + filepath.Join(t.TempDir(), "s"),
	} {
		t.Run(address, func(t *testing.T) {
			url, pid := startProcess(t, address)
			url = strings.Replace(url, "[::]", "127.0.0.1", 1) // where it listens on all addresses
			r := measureOne(t, shortOptions(t, "get-release"), url)
			if r.Target.PID != pid {
				t.Errorf("%s is taken to be process %d, but is %d", url, r.Target.PID, pid)
			}
			if r.Median().ServerCPU == nil {
				t.Error("its CPU time is unknown")
			}
		})
	}
}

// Two servers may have the same port, at addresses of their own.
func TestTheServersProcessIsNotAnothersOnTheSamePort(t *testing.T) {
	one, pid := startProcess(t, "tcp://127.0.0.1:0")
	port := one[strings.LastIndex(one, ":"):]
	_, other := startProcess(t, "tcp://127.0.0.2"+port)
	for url, want := range map[string]int{one: pid, "tcp://127.0.0.2" + port: other} {
		if r := measureOne(t, shortOptions(t, "inspect"), url); r.Target.PID != want {
			t.Errorf("%s is taken to be process %d, but is %d", url, r.Target.PID, want)
		}
	}
}

func TestTheServersCPUTimeIsWhatItsProcessUses(t *testing.T) {
	url, pid := startProcess(t, "tcp://127.0.0.1:0")
	o := shortOptions(t, "get-release")
	o.Duration = time.Second
	before := ticks(t, pid)
	r := measureOne(t, o, url)
	used := float64(ticks(t, pid)-before) * 10_000 // microseconds
	x := r.Rounds[0]
	if x.ServerCPU == nil {
		t.Fatal("its CPU time is unknown")
	}
	told := *x.ServerCPU * float64(x.Succeeded)
	if told < used/2 || told > used+20_000 { // used has connecting and the warm-up too
		t.Errorf("%.0f µs by the report, at most %.0f µs by the kernel", told, used)
	}
}

// ticks are user and system time, as proc(5) tells them.
func ticks(t *testing.T, pid int) (n int) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	for _, f := range fields[11:13] {
		var k int
		if _, err := fmt.Sscan(f, &k); err != nil {
			t.Fatal(err)
		}
		n += k
	}
	return n
}

func TestAProcessThatIsToldIsBelieved(t *testing.T) {
	url, _ := startProcess(t, "tcp://127.0.0.1:0")
	to := mustTarget(t, url)
	to.PID = os.Getpid()
	results, err := Run(t.Context(), shortOptions(t, "inspect"), []Target{to})
	if err != nil || results[0].Target.PID != os.Getpid() || results[0].Median().ServerCPU == nil {
		t.Errorf("%v: %+v", err, results)
	}
}

func TestTheEchoServerAnswersAllThatServersAreSent(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "ws"} {
		t.Run(network, func(t *testing.T) {
			p, err := StartEcho(network, helperCommand("echo:"+network))
			if err != nil {
				t.Fatal(err)
			}
			pid := p.Target.PID
			for _, operation := range Operations() {
				o := shortOptions(t, operation[0])
				o.Depth = 5
				results, err := Run(t.Context(), o, []Target{p.Target})
				if err != nil {
					t.Fatal(err)
				}
				if n, first := results[0].Errors(); n > 0 || results[0].Failed() || results[0].Median().ServerCPU == nil {
					t.Errorf("%s: %d errors (%s): %+v", operation[0], n, first, results[0].Rounds)
				}
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				t.Error("it is still there")
			}
		})
	}
}

func TestAnEchoServerThatDoesNotStartIsAnError(t *testing.T) {
	for _, cmd := range []*exec.Cmd{exec.Command("/no/such/program"), exec.Command("/bin/false")} {
		if _, err := StartEcho("tcp", cmd); err == nil || !strings.Contains(err.Error(), "echo server") {
			t.Errorf("%v: %v", cmd, err)
		}
	}
}

func mustTarget(t *testing.T, address string) Target {
	t.Helper()
	to, err := ParseTarget(address)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// measureOne measures one target, without a name for what goes wrong before that.
func measureOne(t *testing.T, o Options, address string) Result {
	t.Helper()
	results, err := Run(t.Context(), o, []Target{mustTarget(t, address)})
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}
