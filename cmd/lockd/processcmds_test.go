package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// patience is how long a command waits for what must come.
const patience = 20 * time.Second

// promptRaceDetector keeps a program with the race detector in it from sleeping a
// second before it exits.
const promptRaceDetector = "GORACE=atexit_sleep_ms=0"

// A process is a program under test that runs beside the script.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	seen           int           // bytes of stderr that log commands have gone over
	done           chan struct{} // closed when the process has ended
}

// An output collects what a process writes, and lets others wait for it.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed when there is more
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buf.Write(p)
}

func (o *output) text() string {
	text, _ := o.read()
	return text
}

func (o *output) read() (text string, more chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String(), o.changed
}

// wait returns where in the output, from a byte on, there is a match, as soon as
// there is.
func (o *output) wait(re *regexp.Regexp, from int, ended <-chan struct{}) (begin, end int, err error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		text, more := o.read()
		if at := re.FindStringIndex(text[from:]); at != nil {
			return from + at[0], from + at[1], nil
		}
		select {
		case <-more:
		case <-ended:
			if o.text() == text {
				return 0, 0, fmt.Errorf("the process ended; no match for %q in\n%s", re, text[from:])
			}
		case <-timeout.C:
			return 0, 0, fmt.Errorf("no match for %q in\n%s", re, text[from:])
		}
	}
}

// launchOptions are the flags that launch and serve have for themselves.
type launchOptions struct {
	name    string
	env     []string
	pass    []string // NAME=SOCKET
	program string
	rest    []string
}

func parseLaunch(ts *testscript.TestScript, args []string) launchOptions {
	o := launchOptions{name: "lockd", program: "lockd"}
	for len(args) > 1 {
		switch args[0] {
		case "-as":
			o.name = args[1]
		case "-e":
			o.env = append(o.env, args[1])
		case "-pass":
			o.pass = append(o.pass, args[1])
		case "-program":
			o.program = args[1]
		default:
			o.rest = args
			return o
		}
		args = args[2:]
	}
	o.rest = args
	return o
}

func launch(ts *testscript.TestScript, o launchOptions) *process {
	if len(o.pass) > 0 {
		o.program = "lockd-activated"
	}
	path, err := exec.LookPath(o.program)
	ts.Check(err)
	p := &process{cmd: exec.Command(path, o.rest...), stdout: newOutput(), stderr: newOutput(), done: make(chan struct{})}
	p.cmd.Args[0] = o.program
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/no-home", "TMPDIR=" + ts.Getenv("TMPDIR"), promptRaceDetector}, o.env...)
	if stageOf(ts).manager != nil {
		p.cmd.Env = append(p.cmd.Env, "NOTIFY_SOCKET="+ts.Getenv("NOTIFY_SOCKET"))
	}
	if coverage := os.Getenv("GOCOVERDIR"); coverage != "" {
		p.cmd.Env = append(p.cmd.Env, "GOCOVERDIR="+coverage)
	}
	passSockets(ts, p.cmd, o.pass)
	ts.Check(p.cmd.Start())
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	s := stageOf(ts)
	s.started, s.processes[o.name] = append(s.started, p), p
	ts.Setenv(o.name+"_pid", strconv.Itoa(p.cmd.Process.Pid))
	return p
}

// cmdLaunch starts a program beside the script:
//
//	launch [-as NAME] [-e KEY=VALUE]... [-pass NAME=SOCKET]... [-program PROGRAM] ARG...
//
// NAME and PROGRAM are lockd where they are left out.
func cmdLaunch(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	launch(ts, parseLaunch(ts, args))
}

var address = regexp.MustCompile(`(tcp|ws|unix|https?)://[^\s"',\]\\]+`)

// cmdServe is launch, and waits for the line that tells the addresses. The first
// of each kind is then in NAME_tcp, NAME_http and so on.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	o := parseLaunch(ts, args)
	p := launch(ts, o)
	begin, end, err := p.stderr.wait(regexp.MustCompile(`.*lockd serves.*\n`), 0, p.done)
	ts.Check(err)
	p.seen = end
	found := address.FindAllString(p.stderr.text()[begin:end], -1)
	slices.Reverse(found)
	for _, a := range found {
		kind, where, _ := strings.Cut(a, "://")
		ts.Setenv(o.name+"_"+kind, where)
	}
}

// processFlag takes "-as NAME" off args and returns the process of that name.
func processFlag(ts *testscript.TestScript, args []string) (*process, []string) {
	name := "lockd"
	if len(args) > 1 && args[0] == "-as" {
		name, args = args[1], args[2:]
	}
	p := stageOf(ts).processes[name]
	if p == nil {
		ts.Fatalf("no process %q was started", name)
	}
	return p, args
}

// cmdSignal sends a signal, once or as often as it is told: signal [-as NAME]
// TERM [TIMES].
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	p, args := processFlag(ts, args)
	s := unix.SignalNum("SIG" + args[0])
	if s == 0 {
		ts.Fatalf("unknown signal %s", args[0])
	}
	times, err := strconv.Atoi(append(args, "1")[1:][0])
	ts.Check(err)
	for range times {
		ts.Check(p.cmd.Process.Signal(s))
	}
}

// cmdEnded waits for a process's end and holds its exit code, or the signal that
// killed it, against what is wanted: ended [-as NAME] [CODE|SIGNAL]. Its outputs
// are then those of the command.
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	p, args := processFlag(ts, args)
	if neg {
		select {
		case <-p.done:
			ts.Fatalf("the process has ended: %s", p.cmd.ProcessState)
		default:
		}
		return
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("the process runs still; it wrote\n%s", p.stderr.text())
	}
	fmt.Fprint(ts.Stdout(), p.stdout.text())
	fmt.Fprint(ts.Stderr(), p.stderr.text())
	want := append(args, "0")[0]
	if got := ending(p.cmd.ProcessState); got != want {
		ts.Fatalf("ended with %s, want %s", got, want)
	}
}

func ending(state *os.ProcessState) string {
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return strings.TrimPrefix(unix.SignalName(status.Signal()), "SIG")
	}
	return strconv.Itoa(state.ExitCode())
}

// cmdLog waits until a process's standard error has a match behind that of the
// log command before: log [-as NAME] REGEXP. With -count=N there must be N
// matches by now, in all of it; with ! there must be none.
func cmdLog(ts *testscript.TestScript, neg bool, args []string) {
	p, args := processFlag(ts, args)
	count := -1
	if rest, ok := strings.CutPrefix(args[0], "-count="); ok {
		n, err := strconv.Atoi(rest)
		ts.Check(err)
		count, args = n, args[1:]
	}
	if neg {
		count = 0
	}
	re, err := regexp.Compile(`(?m)` + args[0])
	ts.Check(err)
	if count < 0 {
		_, p.seen, err = p.stderr.wait(re, p.seen, p.done)
		ts.Check(err)
		return
	}
	text := p.stderr.text()
	if found := len(re.FindAllString(text, -1)); found != count {
		ts.Fatalf("%d matches for %q, want %d, in\n%s", found, re, count, text)
	}
}

// cmdFIFO makes a named pipe and cmdFeed writes a file into it and closes it. A
// reader's open returns no earlier than feed is called; feed -open only opens
// the pipe, which waits for the reader. fifo -stuck is its own reader, which never
// reads.
func cmdFIFO(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	name := args[len(args)-1]
	ts.Check(unix.Mkfifo(ts.MkAbs(name), 0o600))
	if args[0] == "-stuck" {
		f, err := os.OpenFile(ts.MkAbs(name), os.O_RDWR, 0)
		ts.Check(err)
		stageOf(ts).fifos[name] = f
	}
}

func cmdFeed(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	fifos := stageOf(ts).fifos
	if args[0] == "-open" {
		f, err := openForReader(ts.MkAbs(args[1]))
		ts.Check(err)
		fifos[args[1]] = f
		return
	}
	f := fifos[args[0]]
	_, err := f.WriteString(ts.ReadFile(args[1]))
	ts.Check(errors.Join(err, f.Close()))
}

// openForReader opens a named pipe as soon as somebody reads from it.
func openForReader(path string) (f *os.File, err error) {
	eventually(func() error {
		f, err = os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		return err
	})
	return f, err
}

// eventually tries until there is no error or patience is over, and returns the
// last error.
func eventually(try func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-pause.C:
		}
	}
}

func mustNotNegate(ts *testscript.TestScript, neg bool) {
	if neg {
		ts.Fatalf("this command has no !")
	}
}

// execUnprivileged runs lockd as its user without any privilege of root.
func execUnprivileged() {
	runtime.LockOSThread()
	for capability := range uintptr(unix.CAP_LAST_CAP + 1) {
		// Without the right to do this there is nothing to drop.
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
	}
	execLockd()
}

// execFewFiles is a lockd that may open 20 files.
func execFewFiles() {
	const few = 20
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: few, Max: few}); err != nil {
		panic(err)
	}
	execLockd()
}

func execLockd() {
	path := filepath.Join(filepath.Dir(must(os.Executable())), "lockd")
	panic(syscall.Exec(path, append([]string{"lockd"}, os.Args[1:]...), os.Environ()))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
