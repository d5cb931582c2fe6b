package main

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// A terminal is one with somebody before it.
type terminal struct {
	file  *os.File
	cmd   *exec.Cmd
	shown *output
	seen  int           // bytes that screen commands have gone over
	done  chan struct{} // closed when nobody writes to it any more
}

// cmdTerminal opens a terminal of 80 columns or as many as it is told, and starts
// a program in it: terminal [-columns N] NAME PROGRAM ARG...
func cmdTerminal(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	size := &pty.Winsize{Rows: 24, Cols: 80}
	if args[0] == "-columns" {
		n, err := strconv.ParseUint(args[1], 10, 16)
		ts.Check(err)
		size.Cols, args = uint16(n), args[2:]
	}
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	t := &terminal{cmd: exec.Command(path, args[2:]...), shown: newOutput(), done: make(chan struct{})}
	t.cmd.Args[0] = args[1]
	t.cmd.Dir = ts.MkAbs(".")
	t.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/no-home", "TMPDIR=" + ts.Getenv("TMPDIR"), "TERM=xterm", "PS1=ready> ",
		"LOCKD_SERVER=" + ts.Getenv("LOCKD_SERVER"), "NO_COLOR=" + ts.Getenv("NO_COLOR"), promptRaceDetector,
	}
	if coverage := os.Getenv("GOCOVERDIR"); coverage != "" {
		t.cmd.Env = append(t.cmd.Env, "GOCOVERDIR="+coverage)
	}
	file, err := pty.StartWithSize(t.cmd, size)
	ts.Check(err)
	t.file = interruptible(ts, file)
	go func() {
		defer close(t.done)
		io.Copy(t.shown, t.file) // until the last one has left the terminal
		t.cmd.Wait()             // it may have closed its end before its own
	}()
	stageOf(ts).terminals[args[0]] = t
}

// interruptible returns f so that closing it ends a read.
func interruptible(ts *testscript.TestScript, f *os.File) *os.File {
	fd, err := unix.Dup(int(f.Fd()))
	ts.Check(err)
	unix.CloseOnExec(fd)
	ts.Check(unix.SetNonblock(fd, true))
	ts.Check(f.Close())
	return os.NewFile(uintptr(fd), f.Name())
}

func terminalOf(ts *testscript.TestScript, name string) *terminal {
	t := stageOf(ts).terminals[name]
	if t == nil {
		ts.Fatalf("there is no terminal %q", name)
	}
	return t
}

// cmdType types a text, in which \n is the return key and \x03 Ctrl-C:
// type NAME TEXT.
func cmdType(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	ts.Check(err)
	_, err = io.WriteString(terminalOf(ts, args[0]).file, text)
	ts.Check(err)
}

// cmdScreen waits until a terminal shows a match behind that of the screen command
// before: screen NAME REGEXP.
func cmdScreen(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	t := terminalOf(ts, args[0])
	_, end, err := t.shown.wait(regexp.MustCompile(`(?m)`+args[1]), t.seen, t.done)
	ts.Check(err)
	t.seen = end
}

// cmdLeft waits until the program of a terminal has ended, and holds its exit code
// against what is wanted: left NAME CODE. What the terminal has shown is then
// standard output.
func cmdLeft(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	t := terminalOf(ts, args[0])
	select {
	case <-t.done:
	case <-time.After(patience):
		ts.Fatalf("the program runs still; the terminal shows\n%s", t.shown.text())
	}
	io.WriteString(ts.Stdout(), t.shown.text())
	if got := ending(t.cmd.ProcessState); got != args[1] {
		ts.Fatalf("ended with %s, want %s", got, args[1])
	}
}

func (t *terminal) close() {
	t.cmd.Process.Kill()
	t.file.Close() // and everybody in it is hung up
	<-t.done
}
