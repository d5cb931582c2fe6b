package docs_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockd/test/markdown"
	"lockd/test/needs"
)

// What is run of README.md and operations.md, and how it is marked:
//
//	```sh         followed by ```text: run, and its output must be that text.
//	              Not followed by it: run too, where it is in a document that is
//	              run in a scratch directory and needs neither root nor Docker.
//	```sh root    the same, as root on a machine with a systemd of its own, on
//	              which the packages are in dist/, as `make dist` leaves them
//	```sh docker  is run by the tests in test/container, in the checkout
//	```sh prometheus  is run by the tests in test/monitoring, against a Prometheus
//	```sh server  runs until the end of the document; its output must become the
//	              next ```text
//	```text log   the server has said this, among other things
//	```crontab    its commands are run, with "true" in place of what stands behind --
//
// The blocks of a document are run by one shell, as a reader would, and those for
// root by another. In a text,
// "..." stands for anything in a line, and alone in a line for any lines.

// A session runs the blocks of one document.
type session struct {
	t        *testing.T
	document string
	dir      string
	env      []string
	shell    *shell
	server   *background
}

func runDocument(t *testing.T, document, dir string) {
	t.Helper()
	s := &session{t: t, document: document, dir: dir, env: append(unconfigured(), "PATH="+binaryDir(t)+":"+os.Getenv("PATH"))}
	sh := exec.Command("sh")
	sh.Dir, sh.Env = dir, s.env
	s.shell = startShell(t, sh)
	ran := 0
	for _, b := range markdown.Blocks(t, document) {
		if s.step(b) {
			ran++
		}
	}
	if ran < 3 {
		t.Errorf("%s: only %d blocks were run", document, ran)
	}
	s.shell.end()
	if s.server != nil {
		s.server.end(t)
	}
}

// unconfigured is the environment without what would configure lockd.
func unconfigured() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "LOCKD_") })
}

// step runs a block and reports whether there was something to run.
func (s *session) step(b markdown.Block) bool {
	s.t.Helper()
	at := fmt.Sprintf("%s:%d", s.document, b.Line)
	switch {
	case b.Language == "text" && b.Options == "log":
		s.server.wantLater(s.t, at, b.Text)
	case b.Language == "sh" && b.Options == "server":
		s.server = startServer(s.t, s.dir, s.env, b.Text)
		s.server.want(s.t, at, b.Output)
	case b.Language == "crontab":
		if got := s.shell.run(at, cronCommands(s.t, at, b.Text)); got != "" {
			s.t.Errorf("%s: the output is\n%s", at, got)
		}
	case b.Language == "sh" && b.Options == "" && runnable(b):
		s.shell.wantOutput(at, b.Text, b.Output)
	default:
		return false
	}
	return true
}

// cronCommands are the commands of a crontab as a shell script that fails loudly.
func cronCommands(t *testing.T, at, crontab string) string {
	t.Helper()
	var script strings.Builder
	for line := range strings.Lines(crontab) {
		fields := strings.Fields(line)
		if len(fields) < 6 { // an assignment
			continue
		}
		command, _, found := strings.Cut(strings.Join(fields[5:], " "), " -- ")
		if !found {
			t.Errorf("%s: no -- in %q", at, line)
		}
		fmt.Fprintf(&script, "%s -- true || echo 'exit code '$?\n", command)
	}
	return script.String()
}

// runnable leaves out what would change the machine or is a test of its own.
func runnable(b markdown.Block) bool {
	return b.Output != "" || !regexp.MustCompile(`(?m)^(sudo|make|docker|go) `).MatchString(b.Text)
}

// A shell runs one block after the other, what is set by one kept for the next.
type shell struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	blocks chan string // the output of a block each; closed by its reader
}

const mark = "=== the block has ended ==="

// startShell starts the shell that cmd is.
func startShell(t *testing.T, cmd *exec.Cmd) *shell {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s := &shell{t: t, cmd: cmd, in: in, blocks: make(chan string)}
	go s.read(out)
	return s
}

func (s *shell) read(out *os.File) {
	defer close(s.blocks)
	defer out.Close()
	text := ""
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if before, found := strings.CutSuffix(line, mark+"\n"); found {
			s.blocks <- text + before
			text = ""
			continue
		}
		text += line
		if err != nil {
			return
		}
	}
}

// run returns the output of a block.
func (s *shell) run(at, text string) string {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.in, "{\n%s} < /dev/null\necho '%s'\n", text, mark); err != nil {
		s.t.Fatal(err)
	}
	select {
	case out, ok := <-s.blocks:
		if !ok {
			s.t.Fatalf("%s ends the shell", at)
		}
		return out
	case <-time.After(3 * patience):
		s.kill()
		s.t.Fatalf("%s does not end:\n%s", at, text)
	}
	return ""
}

// wantOutput runs a block, whose output must be expected unless that is empty.
func (s *shell) wantOutput(at, text, expected string) {
	s.t.Helper()
	if got := s.run(at, text); expected != "" && !markdown.Pattern(expected, true).MatchString(got) {
		s.t.Errorf("%s: the output is\n%swant\n%s", at, got, expected)
	}
}

func (s *shell) kill() { syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }

func (s *shell) end() {
	s.t.Helper()
	s.in.Close()
	select {
	case _, more := <-s.blocks:
		if more {
			s.t.Error("the shell printed more than its blocks")
		}
	case <-time.After(patience):
		s.t.Error("a block has left a process behind")
	}
	s.kill()
	for range s.blocks { // until the reader has ended
	}
	s.cmd.Wait()
}

// A background is a block that runs on: the server. It is started by a shell, in
// a process group.
type background struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
	err  error        // valid after done
}

func startServer(t *testing.T, dir string, env []string, command string) *background {
	t.Helper()
	s := &background{cmd: exec.Command("sh", "-c", command), done: make(chan struct{})}
	s.cmd.Dir, s.cmd.Env = dir, env
	s.cmd.Stdout, s.cmd.Stderr = s, s
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		s.err = s.cmd.Wait()
	}()
	t.Cleanup(func() {
		syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
	})
	return s
}

// Write implements io.Writer.
func (s *background) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *background) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// want waits until the output is expected.
func (s *background) want(t *testing.T, at, expected string) {
	t.Helper()
	// `go run` may have to build it first.
	s.await(t, at, expected, markdown.Pattern(expected, true), 6*patience)
}

// wantLater waits until expected occurs in the output.
func (s *background) wantLater(t *testing.T, at, expected string) {
	t.Helper()
	if s == nil {
		t.Fatalf("%s: there is no server", at)
	}
	s.await(t, at, expected, markdown.Pattern(expected, false), patience)
}

func (s *background) await(t *testing.T, at, expected string, want *regexp.Regexp, limit time.Duration) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !want.MatchString(s.output()); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: the server says\n%swant\n%s", at, s.output(), expected)
		}
	}
}

// end ends the server, if the document has not done so.
func (s *background) end(t *testing.T) {
	t.Helper()
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Errorf("the server does not end; it says\n%s", s.output())
	}
}

// binaryDir is the directory that has lockd.
func binaryDir(t *testing.T) string {
	t.Helper()
	return filepath.Dir(needs.Lockd(t))
}
