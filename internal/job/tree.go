package job

import (
	"os"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// A process is what the kernel tells of one.
type process procfs.ProcStat

// readProcess reports false for one that is gone.
func readProcess(id int) (process, bool) {
	p, err := procfs.NewProc(id)
	if err != nil {
		return process{}, false
	}
	stat, err := p.Stat()
	return process(stat), err == nil
}

// processes returns all that can be seen, by their numbers.
func processes() map[int]process {
	found := make(map[int]process)
	all, _ := procfs.AllProcs()
	for _, p := range all {
		if stat, err := p.Stat(); err == nil { // not gone
			found[p.PID] = process(stat)
		}
	}
	return found
}

// descendants returns what this process has started, and they, and so on. No
// orphan is missing: all come to this process, their reaper.
func descendants() []process {
	children := make(map[int][]process)
	for _, p := range processes() {
		children[p.PPID] = append(children[p.PPID], p)
	}
	var found []process
	for next := children[os.Getpid()]; len(next) > 0; {
		p := next[0]
		next = append(next[1:], children[p.PID]...)
		found = append(found, p)
	}
	return found
}

// signalDescendants sends to every descendant there is at the moment.
func signalDescendants(s unix.Signal) {
	for _, p := range descendants() {
		p.signal(s)
	}
}

// signal sends to the process, and not to one that has got its number since: what
// is held by the descriptor and was started at the same moment, is the same.
func (p process) signal(s unix.Signal) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	if now, ok := readProcess(p.PID); ok && now.Starttime == p.Starttime {
		unix.PidfdSendSignal(fd, s, nil, 0)
	}
}

// groupIsOrphaned tells whether nobody can continue this process group once it is
// stopped: no member has a parent in the same session that is not a member.
func groupIsOrphaned() bool {
	all := processes()
	self := all[os.Getpid()]
	for _, p := range all {
		parent := all[p.PPID]
		if p.PGRP == self.PGRP && parent.Session == self.Session && parent.PGRP != self.PGRP {
			return false
		}
	}
	return true
}
