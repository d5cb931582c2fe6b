package job

import (
	"os/signal"

	"golang.org/x/sys/unix"
)

// A terminal is the controlling one, if there is one.
type terminal struct{ fd int } // -1: none

func openTerminal() terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return terminal{-1}
	}
	return terminal{fd}
}

func (t terminal) exists() bool { return t.fd >= 0 }

func (t terminal) close() {
	if t.exists() {
		unix.Close(t.fd)
	}
}

// isOurs tells whether this process group is the one in the foreground.
func (t terminal) isOurs() bool { return t.holder() == unix.Getpgrp() }

// holder returns the process group in the foreground, -1 without a terminal. A
// group from outside this process's namespace is 0, be it this one.
func (t terminal) holder() int {
	if !t.exists() {
		return -1
	}
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return -1 // hung up
	}
	return group
}

// giveTo puts a process group in the foreground, if this one is.
func (t terminal) giveTo(group int) {
	if t.isOurs() {
		t.set(group)
	}
}

// takeFrom puts this process group in the foreground, if the other one is.
func (t terminal) takeFrom(group int) {
	if t.holder() == group {
		t.set(unix.Getpgrp())
	}
}

// set is allowed from the background to who ignores SIGTTOU. It must not stay so,
// as a command would inherit that; none is started meanwhile.
func (t terminal) set(group int) {
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group) // fails if it was hung up
}
