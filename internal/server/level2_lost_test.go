package server_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// idleWatcher connects a watcher that does not read, and of which the kernel takes little.
func (s *service) idleWatcher(transport string) *flood {
	s.Helper()
	f := s.flood(transport)
	f.ask("watch e", "1 ok\n")
	return f
}

// happen has c get and release n locks, whose events take some 300 bytes each.
func (c *client) happen(from, n int) {
	c.Helper()
	tail := strings.Repeat("x", 200)
	var commands, replies strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&commands, "g e%d %s\nr e%d %s\n", i, tail, i, tail)
		fmt.Fprintf(&replies, "1 Lock Get Success: e%d %s\n1 Lock Release Success: e%d %s\n", i, tail, i, tail)
	}
	sent := async(func() { c.write(commands.String()) })
	c.want(replies.String())
	soon(c, "all is sent", sent)
}

// allEvents reads what a watcher is told of n locks, and returns how many events it
// is told that it has missed. Those missing are where it is said, and as many.
func (c *client) allEvents(n int) (lost int) {
	c.Helper()
	for i := 0; i < 2*n; {
		line := strings.TrimSuffix(c.line(), "\n")
		if count, ok := strings.CutPrefix(line, "* lost count="); ok {
			missing, err := strconv.Atoi(count)
			if err != nil || missing <= 0 || i+missing > 2*n {
				c.Fatalf("%q behind %d of %d events", line, i, 2*n)
			}
			lost += missing
			i += missing
			continue
		}
		kind := []string{"granted", "released"}[i%2]
		if !strings.HasPrefix(line, "* "+kind+" mode=exclusive token=") || !strings.Contains(line, fmt.Sprintf(" name=e%d x", i/2)) {
			c.Fatalf("event %d of %d is %s", i, 2*n, brief(line))
		}
		i++
	}
	return lost
}

func TestAWatcherThatDoesNotReadIsToldHowMuchItHasLost(t *testing.T) {
	forFew(t, func(t *testing.T, transport string) {
		t.Parallel()
		s := start(t, smallKernel, backlogBytes(32<<10))
		w := s.idleWatcher(transport)
		reader := s.connect("unix") // for whom nothing is lost
		reader.ask("watch e", "1 ok\n")
		b := s.connect("tcp4")
		const batch = 200 // whose events are not too many for one that reads only then
		n := 0
		for ; s.Stats().LostEvents == 0 && n < 200*batch; n += batch {
			b.happen(n, batch)
			if lost := reader.allOf(n, batch); lost != 0 {
				t.Fatalf("one that reads has lost %d events", lost)
			}
		}
		b.happen(n, batch)
		reader.allOf(n, batch)
		n += batch
		counted := s.Stats().LostEvents
		if counted == 0 {
			t.Fatalf("nothing is lost of %d events", 2*n)
		}
		if lost := w.allEvents(n); uint64(lost) != counted {
			t.Errorf("%d events are lost, and %d counted", lost, counted)
		}
		// When it reads again, it is told again.
		b.ask("g e last", "1 Lock Get Success: e last\n")
		w.want(fmt.Sprintf("* granted mode=exclusive token=%d addr=%s name=e last\n", n+1, b.addr))
		w.ask("unwatch", "1 ok\n")
		w.leave()
	})
}

// allOf is allEvents for locks that are numbered from a number.
func (c *client) allOf(from, n int) (lost int) {
	c.Helper()
	for i := from; i < from+n; i++ {
		for _, kind := range []string{"granted", "released"} {
			line := c.line()
			if strings.HasPrefix(line, "* lost") {
				return 1
			}
			if !strings.HasPrefix(line, "* "+kind) || !strings.Contains(line, fmt.Sprintf(" name=e%d x", i)) {
				c.Fatalf("%s is told of e%d by %s", c.name, i, brief(line))
			}
		}
	}
	return 0
}

// Neither do those who watch and do not read slow down those who change locks, nor
// keep them waiting when they go.
func TestWatchersThatDoNotReadStopOnlyThemselves(t *testing.T) {
	s := start(t, smallKernel, backlogBytes(32<<10), adminsAreAll)
	var idle []*flood
	for i := range 8 {
		idle = append(idle, s.idleWatcher(everyTransport[i%4]))
	}
	b := s.connect("tcp4")
	n := 0
	for ; s.Stats().LostEvents < 8; n += 500 {
		b.happen(n, 500)
		if n > 50_000 {
			t.Fatal("nothing is lost")
		}
	}
	begun := time.Now()
	b.happen(n, 2000)
	if took := time.Since(begun); took > patience/4 {
		t.Errorf("2000 locks took %v", took)
	}
	for i, f := range idle {
		if i%2 == 0 {
			b.ask("kick "+f.addr, "1 ok count=1\n")
		} else {
			f.reset()
		}
	}
	eventually(t, "all are gone", func() bool { return s.Stats().Connections() == 1 })
	if n := s.Stats().Watchers; n != 0 {
		t.Errorf("%d watchers are counted", n)
	}
}

// One that does not read its events stops only itself, also while it waits: its
// wait ends when it must, and then does not keep those behind it from the lock.
func TestAWatcherThatDoesNotReadLeavesTheQueueInTime(t *testing.T) {
	t.Parallel()
	s := start(t, smallKernel, backlogBytes(16<<10), userTimeout(0))
	b := s.connect("tcp4")
	b.ask("sg foo", "1 Shared Lock Get Success: foo\n")
	w := s.idleWatcher("tcp4")
	const limit = 3000
	begun := time.Now()
	w.send(fmt.Sprintf("sgw %d 1 foo\n", limit))
	s.waits(w.client)
	next := s.connect("unix")
	next.send("sgw -1 2 foo\n")
	s.waits(next)
	n := 0
	for ; s.Stats().LostEvents == 0 && n < 50_000; n += 500 {
		b.happen(n, 500)
	}
	if s.Stats().LostEvents == 0 || time.Since(begun) > limit*time.Millisecond {
		t.Fatalf("%d events are lost after %v", s.Stats().LostEvents, time.Since(begun))
	}
	passed(t, begun, limit*time.Millisecond)
	granted := async(func() {
		next.arm()
		next.in.Peek(1)
	})
	within(t, "the next in the queue is granted the lock", granted)
	next.valued("2 Shared Lock Get Success").is("name", "foo")
}
