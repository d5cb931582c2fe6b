package job

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// guardVariable tells the guarded process the descriptor at whose end the guard
// is gone.
const guardVariable = "_JOB_GUARD"

// Guard runs this very program with these very arguments as a child, the guarded
// process, and returns the code to exit with when that has ended. Signals it hands
// on. So there are two to see that nothing is left of a job: when the guarded one
// is killed, the guard kills what the job has left; when the guard is killed, the
// other learns it ([Guarded]) and does so, and only then does what comes after the
// job.
//
// The two are in one process group, so that the shell stops and continues both.
func Guard() (code int, err error) {
	alive := make([]int, 2)
	if err := unix.Pipe2(alive, unix.O_CLOEXEC); err != nil {
		return 0, fmt.Errorf("guard: %w", err)
	}
	// The other end is inherited under its own number, which is none of those that
	// the command is to inherit.
	if _, err := unix.FcntlInt(uintptr(alive[0]), unix.F_SETFD, 0); err != nil {
		return 0, fmt.Errorf("guard: %w", err)
	}
	j := &Job{
		options:  Options{Args: os.Args, Env: append(os.Environ(), guardVariable+"="+strconv.Itoa(alive[0]))},
		terminal: terminal{-1},
		guards:   true,
	}
	if err := j.start("/proc/self/exe"); err != nil {
		return 0, fmt.Errorf("guard: %w", err)
	}
	unix.Close(alive[0])
	<-j.Done()
	if j.killed() {
		j.Kill()
	}
	return j.Status(), nil
}

func (j *Job) killed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status.Signaled()
}

// Guarded reports whether this process was started by [Guard]. If so, the channel
// is closed when the guard is gone.
func Guarded() (gone <-chan struct{}, ok bool) {
	fd, err := strconv.Atoi(os.Getenv(guardVariable))
	if err != nil {
		return nil, false
	}
	os.Unsetenv(guardVariable)
	// Started by way of /proc/self/exe, it would stand as "exe" in lists.
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
	syscall.CloseOnExec(fd)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		os.NewFile(uintptr(fd), "guard").Read(make([]byte, 1))
	}()
	return ended, true
}
