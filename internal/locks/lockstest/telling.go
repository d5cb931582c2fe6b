package lockstest

import (
	"fmt"
	"slices"

	"lockd/internal/locks"
)

func tellingTests() []subtest {
	return []subtest{
		{"a grant and a release are events", testEventsOfHolding},
		{"what changes nothing is no event", testNoEvents},
		{"leaving has an event for each lock, in the order they were got", testEventsOfLeaving},
		{"a lock is released before it is granted to who waits", testEventsOfHandingOver},
		{"a wait is no event, its grant is", testEventsOfWaiting},
		{"an event has the bytes of the name", testEventNames},
	}
}

// An Event is a [locks.Event] to keep and to compare: its session is an address.
type Event struct {
	Kind  locks.EventKind
	Mode  locks.Mode
	Token uint64
	Addr  string
	Name  string
}

// EventOf returns what is to be kept of an event.
func EventOf(e locks.Event) Event {
	return Event{e.Kind, e.Mode, e.Token, e.Session.Addr(), string(e.Name)}
}

func (e Event) String() string {
	kind := map[locks.EventKind]string{
		locks.Granted: "granted", locks.Released: "released", locks.Orphaned: "orphaned", locks.Forced: "forced",
	}[e.Kind]
	return fmt.Sprintf("{%s %s token=%d %s %q}", kind, modeWord(e.Mode), e.Token, e.Addr, e.Name)
}

func event(kind locks.EventKind, m locks.Mode, token uint64, s *locks.Session, name string) Event {
	return Event{kind, m, token, s.Addr(), name}
}

// happened wants exactly these events since it was last asked, in this order.
func (t *tester) happened(want ...Event) {
	t.Helper()
	if !slices.Equal(t.events, want) {
		t.Fatalf("what happened is\n%v, want\n%v", t.events, want)
	}
	t.events = nil
}

func testEventsOfHolding(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		token := t.get(a, m, "x", 1)
		t.happened(event(locks.Granted, m, token, a, "x"))
		t.release(a, m, "x", true)
		t.happened(event(locks.Released, m, token, a, "x"))
	}
	first, second := t.try(a, locks.Shared, "x", 0, 1), t.try(b, locks.Shared, "x", 2, 2)
	t.release(a, locks.Shared, "x", true)
	t.release(b, locks.Shared, "x", true)
	t.happened(
		event(locks.Granted, locks.Shared, first, a, "x"), event(locks.Granted, locks.Shared, second, b, "x"),
		event(locks.Released, locks.Shared, first, a, "x"), event(locks.Released, locks.Shared, second, b, "x"))
}

func testNoEvents(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
	}
	t.events = nil
	for _, m := range modes {
		t.get(a, m, "x", 1)
		t.try(a, m, "x", 1, 1)
		t.refuseTry(b, m, "x", 1, busy(m), t.resultOf(m, a, 0))
		t.release(b, m, "x", false)
		t.release(a, m, "y", false)
		t.wait(b, m, "x", 1)
		t.giveUp(b)
		t.wait(b, m, "x", 1)
		t.wait(c, m, "x", 1)
		t.leave(b)
		t.leave(c)
		t.inspect(m, "x", 1)
	}
	t.refuse(b, "x")
	t.happened()
}

func testEventsOfLeaving(t *tester) {
	a, b := t.session(), t.session()
	z := t.get(a, locks.Exclusive, "z", 1)
	x := t.get(a, locks.Shared, "x", 1)
	t.get(a, locks.Exclusive, "released", 1)
	y := t.get(a, locks.Exclusive, "y", 1)
	t.get(b, locks.Shared, "x", 2)
	x2 := t.get(a, locks.Exclusive, "x", 1)
	t.release(a, locks.Exclusive, "released", true)
	t.get(a, locks.Exclusive, "z", 1) // again: keeps its place
	z2 := t.get(a, locks.Shared, "z", 1)
	t.events = nil
	t.leave(a)
	t.happened(
		event(locks.Orphaned, locks.Exclusive, z, a, "z"), event(locks.Orphaned, locks.Shared, x, a, "x"),
		event(locks.Orphaned, locks.Exclusive, y, a, "y"), event(locks.Orphaned, locks.Exclusive, x2, a, "x"),
		event(locks.Orphaned, locks.Shared, z2, a, "z"))
	t.leave(a)
	t.happened()
}

func testEventsOfHandingOver(t *tester) {
	for _, m := range modes {
		s := t.someSessions(4)
		token := t.get(s[0], m, "x", 1)
		for _, w := range s[1:] {
			t.wait(w, m, "x", 1)
		}
		t.events = nil
		t.release(s[0], m, "x", true)
		next := t.granted(s[1], 1, 0)
		t.happened(event(locks.Released, m, token, s[0], "x"), event(locks.Granted, m, next, s[1], "x"))
		t.leave(s[1])
		last := t.granted(s[2], 1, 0)
		t.happened(event(locks.Orphaned, m, next, s[1], "x"), event(locks.Granted, m, last, s[2], "x"))
		t.release(s[2], m, "x", true)
		t.told(s[3])
		t.events = nil
		t.leave(s[3]) // before it asked: it had the lock all the same
		if len(t.events) != 1 || t.events[0].Kind != locks.Orphaned || t.events[0].Token <= last {
			t.Fatalf("who was granted %v and left: %v", last, t.events)
		}
	}
}

func testEventsOfWaiting(t *tester) {
	s := t.someSessions(4)
	first := t.get(s[0], locks.Shared, "x", 1)
	t.happened(event(locks.Granted, locks.Shared, first, s[0], "x"))
	t.wait(s[1], locks.Shared, "x", 1)
	t.wait(s[2], locks.Shared, "x", 0)
	t.wait(s[3], locks.Shared, "x", 3)
	t.happened()
	t.giveUp(s[1])
	second, third := t.granted(s[2], 2, 0), t.granted(s[3], 3, 0)
	t.happened(event(locks.Granted, locks.Shared, second, s[2], "x"), event(locks.Granted, locks.Shared, third, s[3], "x"))
}

func testEventNames(t *tester) {
	a := t.session()
	for _, name := range oddNames {
		for _, m := range modes {
			token := t.get(a, m, name, 1)
			t.release(a, m, name, true)
			t.happened(event(locks.Granted, m, token, a, name), event(locks.Released, m, token, a, name))
		}
	}
}
