package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// courteous is the kind of neighbours who wait for the very locks that a test
// holds, and of whom it can notice nothing all the same: they are in no counter, and
// each gives up in the moment before it would be granted a lock. Clients may do so;
// here the table sees to it.
const courteous = "courteous"

// courteousAddress is what these neighbours are shown with.
const courteousAddress = "unix:neighbour"

// A courteousTable is a table that gives up the waits of neighbours in time.
type courteousTable struct {
	*locks.Table
	mu    sync.Mutex // one at a time, since others end the waits of neighbours
	waits map[*locks.Session]*courteousWait
}

// A courteousWait is one that its session believes to be under way.
type courteousWait struct {
	mode   locks.Mode
	name   string
	over   bool
	result locks.Result // where it is over
}

func newCourteousTable(t *locks.Table) server.Table {
	return &courteousTable{Table: t, waits: make(map[*locks.Session]*courteousWait)}
}

func (t *courteousTable) Get(s *locks.Session, r locks.Request) (locks.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.waits[s]; w != nil {
		delete(t.waits, s)
		if w.over {
			return w.result, locks.ErrQueue
		}
		return t.Table.Get(s, r)
	}
	if s.Addr() == courteousAddress && t.Inspect(r.Mode, r.Name) == 0 {
		return locks.Result{}, locks.ErrHeld // it has just given up
	}
	result, err := t.Table.Get(s, r)
	if errors.Is(err, locks.ErrWaiting) {
		t.waits[s] = &courteousWait{mode: r.Mode, name: string(r.Name)}
	}
	return result, err
}

func (t *courteousTable) Release(s *locks.Session, m locks.Mode, name []byte, now time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for waiter, w := range t.waits {
		if w.mode == m && w.name == string(name) {
			t.giveUp(waiter, w, now)
		}
	}
	return t.Table.Release(s, m, name, now)
}

func (t *courteousTable) Leave(s *locks.Session, now time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waits, s)
	for waiter, w := range t.waits {
		t.giveUp(waiter, w, now)
	}
	return t.Table.Leave(s, now)
}

func (t *courteousTable) giveUp(s *locks.Session, w *courteousWait, now time.Duration) {
	if !w.over {
		w.over = true
		w.result, _ = t.Table.Get(s, locks.Request{Now: now})
	}
}

// A neighbourhood are the courteous neighbours on one server: one watches, two wait
// for whatever was granted of late, one lists and breaks.
type neighbourhood struct {
	*service
	living sync.WaitGroup

	mu    sync.Mutex
	names []string       // of locks; guarded by mu, as below
	told  map[string]int // how often neighbours were told what
	wrong error
}

// moveInCourteously has courteous neighbours live on the server until it, or the
// test, ends.
func (s *service) moveInCourteously() {
	s.Helper()
	n := &neighbourhood{service: s, told: make(map[string]int), names: []string{"foo"}}
	var conns []net.Conn
	for _, live := range []func(net.Conn, *bufio.Reader) error{n.watch, n.wait, n.wait, n.lookAndBreak} {
		conn, err := s.ConnectUncounted(courteousAddress)
		if err != nil {
			s.Fatalf("%v", err)
		}
		conns = append(conns, conn)
		n.living.Go(func() { n.live(conn, live) })
	}
	done := make(chan struct{})
	n.living.Go(func() { n.leaveInTime(done, conns) })
	s.Cleanup(func() {
		close(done)
		soon(s, "the neighbours have left", async(n.living.Wait))
		if n.wrong != nil {
			s.Fatalf("a neighbour: %v", n.wrong)
		}
		fmt.Println(toldPrefix, strings.Trim(fmt.Sprint(n.told), "map[]"))
	})
}

// toldPrefix begins the line that tells what the neighbours on one server were told.
const toldPrefix = "neighbours were told"

// leaveInTime ends the neighbours with the test, or before a server that closes
// would wait for them.
func (n *neighbourhood) leaveInTime(done <-chan struct{}, conns []net.Conn) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !n.Closing() {
		select {
		case <-done:
		case <-tick.C:
			continue
		}
		break
	}
	for _, c := range conns {
		c.Close()
	}
}

// live goes on until the connection is closed, by whom it may be.
func (n *neighbourhood) live(conn net.Conn, live func(net.Conn, *bufio.Reader) error) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	_, err := io.WriteString(conn, "me lockd/2\n")
	if err == nil {
		_, err = in.ReadString('\n')
	}
	tick := time.NewTicker(300 * time.Microsecond) // the test needs a processor, too
	defer tick.Stop()
	for err == nil {
		err = live(conn, in)
		<-tick.C
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !errors.Is(err, net.ErrClosed) && !n.Closing() {
		n.wrong = errors.Join(n.wrong, err)
	}
}

// hear takes a line that a neighbour was told.
func (n *neighbourhood) hear(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, word := range []string{
		"* granted", "* released", "* orphaned", "reason=held", "reason=queue", "reason=limit", "reason=timeout", "reason=cancelled",
		"0 not held", "0 no such", "0 denied", "0 bad arguments", "0 unknown command", `"state":"held"`, `"state":"waiting"`,
	} {
		if strings.Contains(line, word) {
			n.told[strings.ReplaceAll(word, " ", "_")]++
		}
	}
	if strings.Contains(line, "Success") {
		n.wrong = errors.Join(n.wrong, fmt.Errorf("is told %q", line))
	}
	if head, name, ok := strings.Cut(line, " name="); ok && strings.HasPrefix(head, "* granted") {
		if n.names = append(n.names, strings.TrimSuffix(name, "\n")); len(n.names) > 4 {
			n.names = n.names[1:]
		}
	}
}

// lock returns the name of a lock that was held of late.
func (n *neighbourhood) lock(turn int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.names[turn%len(n.names)]
}

func (n *neighbourhood) watch(conn net.Conn, in *bufio.Reader) error {
	if _, err := io.WriteString(conn, "watch\n"); err != nil {
		return err
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		n.hear(line)
	}
}

// wait asks for a lock in some ways, one after the other.
func (n *neighbourhood) wait(conn net.Conn, in *bufio.Reader) error {
	for i, words := range []string{"gw 0 ", "sgw 0 1 ", "gw 2 ", "sgw 1 1 ", "gw -1 ", "sgw -1 1 "} {
		if _, err := io.WriteString(conn, words+n.lock(i)+"\n"); err != nil {
			return err
		}
		replies := 1
		if strings.Contains(words, "-1") {
			if _, err := io.WriteString(conn, "cancel\n"); err != nil {
				return err
			}
			replies = 2
		}
		for range replies {
			line, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			n.hear(line)
		}
	}
	return nil
}

// lookAndBreak asks for much that changes nothing. Nobody holds a lock with a token
// as high as that.
func (n *neighbourhood) lookAndBreak(conn net.Conn, in *bufio.Reader) error {
	name := n.lock(int(time.Now().UnixNano() & 3))
	const high = "4611686018427387904"
	for _, line := range []string{
		"ls", "ls x " + name, "fr x " + high + " " + name, "fr s " + high + " " + name, "kick 192.0.2.1:1", "watch " + name, "unwatch",
		"info", "gw", "nonsense", "d", "q", "who", "i " + name, "cancel",
	} {
		if _, err := io.WriteString(conn, line+"\nping\n"); err != nil {
			return err
		}
		for reply := ""; reply != "1 pong\n"; {
			var err error
			if reply, err = in.ReadString('\n'); err != nil {
				return err
			}
			n.hear(reply)
		}
	}
	return nil
}

// wantTold wants neighbours to have been told everything, on all servers together
// that a test binary had.
func wantTold(t *testing.T, output string) {
	t.Helper()
	told := make(map[string]int)
	for line := range strings.Lines(output) {
		if _, counts, ok := strings.Cut(line, toldPrefix); ok {
			for _, count := range strings.Fields(counts) {
				i := strings.LastIndexByte(count, ':')
				var n int
				fmt.Sscan(count[i+1:], &n)
				told[count[:i]] += n
			}
		}
	}
	for _, word := range []string{
		"*_granted", "*_released", "*_orphaned", "reason=held", "reason=limit", "reason=queue", "reason=timeout", "reason=cancelled",
		"0_not_held", "0_no_such", `"state":"held"`, `"state":"waiting"`,
	} {
		if told[word] < 10 {
			t.Errorf("neighbours were told %q %d times only", word, told[word])
		}
	}
	t.Logf("neighbours were told %v", told)
}
