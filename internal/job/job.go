// Package job runs a command as a job that nothing of escapes: in a process group
// of its own that gets what signals come, in the foreground of the terminal if
// there is one, and with all that it starts, however that detaches itself, within
// reach of [Job.Stop].
//
// A process runs one job in its life, as it becomes the reaper of all orphans
// below it.
package job

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what to run and how.
type Options struct {
	Args  []string      // the command, looked up in PATH, and its arguments
	Env   []string      // its whole environment
	Grace time.Duration // what Stop gives it to end by itself
	// Resume is called when the job goes on after it was stopped, as by Ctrl-Z,
	// and before it does. If it returns false, the job stays stopped. Nil is
	// always true.
	Resume func() bool
}

// A Job is a command that runs. Its methods may be called from any goroutine.
type Job struct {
	// Static after Start.
	options  Options
	guards   bool // see Guard
	process  int  // the command's, and its process group unless guards is set
	terminal terminal
	signals  *signals
	// There is a shell, or the like, to continue this process when it is stopped.
	// It is found out beforehand, as in the meantime the terminal may change hands.
	stoppable bool

	done  chan struct{} // closed by reap when the command has ended
	empty chan struct{} // closed by live when there is no descendant left

	mu     sync.Mutex
	status syscall.WaitStatus
	ended  bool // the command is reaped: its number may be another's now
	paused bool // the command is stopped
}

// Start runs a command. The error is a [*StartError].
//
// The command gets the standard streams and every other descriptor that this
// process was given, and where SIGHUP or SIGINT is ignored, it ignores it as well; of
// other signals the Go runtime forgets it. It is killed when this process is.
func Start(o Options) (*Job, error) {
	path, err := lookPath(o.Args[0])
	if err != nil {
		return nil, err
	}
	j := &Job{options: o, terminal: openTerminal()}
	j.stoppable = j.terminal.exists() && !groupIsOrphaned()
	if err := j.start(path); err != nil {
		j.terminal.close()
		return nil, &StartError{Name: o.Args[0], Found: true, Err: err}
	}
	return j, nil
}

func (j *Job) start(path string) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	j.done, j.empty = make(chan struct{}), make(chan struct{})
	j.signals = catchSignals(j.guards) // before there is a command, or one would end us and leave it
	started := make(chan error)
	go j.live(path, started)
	if err := <-started; err != nil {
		j.signals.release()
		return err
	}
	go j.passSignals()
	return nil
}

// Done returns a channel that is closed when the command has ended. What it has
// started may still run.
func (j *Job) Done() <-chan struct{} { return j.done }

// Status returns, after Done, what a shell would: the exit code of the command, or
// 128 and the number of the signal that has ended it.
func (j *Job) Status() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return exitCode(j.status)
}

func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}

// killPause lies between two rounds of killing: what was started meanwhile is
// found in the next.
const killPause = 20 * time.Millisecond

// Stop ends the command and all that it has started: with SIGTERM, and what is
// left when the grace is over with SIGKILL. It returns when nothing is left.
func (j *Job) Stop() {
	signalDescendants(unix.SIGTERM)
	signalDescendants(unix.SIGCONT) // what is stopped does not see the other
	timer := time.NewTimer(j.options.Grace)
	defer timer.Stop()
	select {
	case <-j.empty:
	case <-timer.C:
		j.Kill()
	}
}

// Kill is Stop without grace.
func (j *Job) Kill() {
	for {
		signalDescendants(unix.SIGKILL)
		select {
		case <-j.empty:
			return
		case <-time.After(killPause):
		}
	}
}

// live starts the command and reaps it and what it leaves, until there is nothing
// to reap. All from one thread: when the thread that has started a process ends,
// the kernel takes that for the death of its parent.
func (j *Job) live(path string, started chan<- error) {
	runtime.LockOSThread()
	defer close(j.empty)
	process, err := j.spawn(path, j.options.Args)
	if errors.Is(err, unix.ENOEXEC) { // a script that does not say what for
		process, err = j.spawn("/bin/sh", append([]string{"sh", path}, j.options.Args[1:]...))
	}
	j.process = process
	started <- err
	if err != nil {
		return
	}
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // ECHILD
			return
		default:
			j.reap()
		}
	}
}

func (j *Job) spawn(path string, args []string) (int, error) {
	attr := new(syscall.SysProcAttr)
	if !j.guards {
		attr.Setpgid, attr.Pdeathsig = true, syscall.SIGKILL
	}
	if j.terminal.isOurs() {
		attr.Foreground, attr.Ctty = true, j.terminal.fd
	}
	return syscall.ForkExec(path, args, &syscall.ProcAttr{
		Env: j.options.Env, Files: []uintptr{0, 1, 2}, Sys: attr,
	})
}

// reap takes what there is to know of children. Until then the kernel gives their
// numbers to nobody else, so who holds mu may signal the command's.
func (j *Job) reap() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		var status syscall.WaitStatus
		child, err := syscall.Wait4(-1, &status, syscall.WNOHANG|syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil || child == 0:
			return
		case child != j.process: // an orphan that came to us
		case status.Stopped():
			j.pause(status.StopSignal())
		default:
			j.status, j.ended = status, true
			j.terminal.takeFrom(j.process)
			close(j.done)
		}
	}
}

// signal sends to the command's process group. Mu is held.
func (j *Job) signal(s syscall.Signal) {
	switch {
	case j.ended:
	case j.guards:
		syscall.Kill(j.process, s)
	case syscall.Kill(-j.process, s) != nil: // it has left the group
		syscall.Kill(j.process, s)
	}
}

// passSignals hands on what comes, until the signals are released.
func (j *Job) passSignals() {
	for s := range j.signals.caught {
		if s == unix.SIGCONT {
			j.resume()
			continue
		}
		j.mu.Lock()
		j.signal(s)
		j.mu.Unlock()
	}
}

// pause is called when the command was stopped. So is this process then, with the
// rest of what is one job for the shell; it takes the terminal and says so. Mu is
// held.
func (j *Job) pause(by syscall.Signal) {
	switch {
	case j.guards: // which is stopped by the other, as it is in its group
	case by != unix.SIGTSTP && by != unix.SIGSTOP && j.terminal.isOurs():
		// It wanted the terminal, which has been given to us just now.
		j.terminal.giveTo(j.process)
		j.signal(unix.SIGCONT)
	case j.stoppable:
		j.paused = true
		j.terminal.takeFrom(j.process)
		unix.Kill(0, unix.SIGTSTP)
	case by == unix.SIGTSTP: // nobody is there to continue it, so nothing may stop it
		j.signal(unix.SIGCONT)
	}
}

// resume is called when somebody continues this process, in the foreground or
// not.
func (j *Job) resume() {
	j.mu.Lock()
	paused := j.paused
	j.paused = false
	j.mu.Unlock()
	if paused && j.options.Resume != nil && !j.options.Resume() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended {
		j.terminal.giveTo(j.process)
		j.signal(unix.SIGCONT)
	}
}
