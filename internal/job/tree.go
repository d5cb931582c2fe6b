package job

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A process is a line of the kernel's list of them.
type process struct {
	id, parent, group, session int
	started                    string // in ticks since the machine's start
	state                      string
}

// readProcess reports false for one that is gone.
func readProcess(id int) (process, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/stat")
	if err != nil {
		return process{}, false
	}
	name := strings.LastIndexByte(string(text), ')') // which may hold anything
	fields := strings.Fields(string(text[name+1:]))
	const started = 19 // see proc(5), which counts from 1 and has two fields more
	if len(fields) <= started {
		return process{}, false
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(fields[i])
		return n
	}
	return process{
		id: id, state: fields[0], parent: number(1), group: number(2), session: number(3), started: fields[started],
	}, true
}

// processes returns all that can be seen, by their numbers.
func processes() map[int]process {
	all := make(map[int]process)
	proc, err := os.Open("/proc")
	if err != nil {
		return all
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		if id, err := strconv.Atoi(name); err == nil {
			if p, ok := readProcess(id); ok {
				all[id] = p
			}
		}
	}
	return all
}

// descendants returns what this process has started, and they, and so on. No
// orphan is missing: all come to this process, their reaper.
func descendants() []process {
	children := make(map[int][]process)
	for _, p := range processes() {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []process
	for next := children[os.Getpid()]; len(next) > 0; {
		p := next[0]
		next = append(next[1:], children[p.id]...)
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
	fd, err := unix.PidfdOpen(p.id, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	if now, ok := readProcess(p.id); ok && now.started == p.started {
		unix.PidfdSendSignal(fd, s, nil, 0)
	}
}

// groupIsOrphaned tells whether nobody can continue this process group once it is
// stopped: no member has a parent in the same session that is not a member.
func groupIsOrphaned() bool {
	all := processes()
	self := all[os.Getpid()]
	for _, p := range all {
		parent := all[p.parent]
		if p.group == self.group && parent.session == self.session && parent.group != self.group {
			return false
		}
	}
	return true
}
