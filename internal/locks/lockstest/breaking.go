package lockstest

import (
	"slices"

	"lockd/internal/locks"
)

func breakingTests() []subtest {
	return []subtest{
		{"breaking tells all holders and takes nothing from them", testBreak},
		{"breaking by a token tells its holder alone", testBreakByToken},
		{"breaking by another token or what nobody holds tells nobody", testBreakNobody},
		{"breaking spares who waits, and serves it when the holder leaves", testBreakServes},
		{"the broken lock of who leaves is forced, its others are orphaned", testForced},
		{"a broken lock that is released is released", testBrokenAndReleased},
		{"a broken lock can be broken and asked for again", testBrokenTwice},
		{"of those who hold a lock only who is broken is forced", testForcedAlone},
		{"a lock granted and broken before its session asks is forced", testBreakGranted},
	}
}

// breakLock breaks the lock and wants these to be told, once each.
func (t *tester) breakLock(m locks.Mode, name string, token uint64, want ...*locks.Session) {
	t.Helper()
	before := t.table.Stats()
	lent := []byte(name)
	got := t.table.Break(m, lent, token)
	if !slices.Equal(got, want) {
		t.Fatalf("break %s %q of %d: %s, want %s", modeWord(m), name, token, addrs(got), addrs(want))
	}
	for _, s := range want {
		t.broken(s, 1)
	}
	if after := t.table.Stats(); after != before {
		t.Fatalf("breaking changed the counters from %+v to %+v", before, after)
	}
}

// broken wants s to have been told so often to leave.
func (t *tester) broken(s *locks.Session, times int) {
	t.Helper()
	if got := ownerOf(s).broken; got != times {
		t.Fatalf("%s was told %d times to leave, want %d", s.Addr(), got, times)
	}
	ownerOf(s).broken = 0
}

func testBreak(t *tester) {
	a, b, c, d := t.session(), t.session(), t.session(), t.session()
	t.get(b, locks.Shared, "x", 1)
	t.get(a, locks.Shared, "x", 2)
	t.get(d, locks.Shared, "x", 3)
	t.get(c, locks.Exclusive, "x", 1)
	t.get(a, locks.Exclusive, "y", 1)
	t.events = nil
	t.breakLock(locks.Shared, "x", 0, b, a, d)
	t.broken(c, 0)
	t.breakLock(locks.Exclusive, "x", 0, c)
	t.broken(a, 0)
	t.broken(b, 0)
	t.happened()
	t.list(locks.Exclusive, held("x", c), held("y", a))
	t.list(locks.Shared, held("x", b, a, d))
	t.refuse(b, "x")
	t.inspect(locks.Shared, "x", 3)
}

func testBreakByToken(t *tester) {
	s := t.someSessions(4)
	var tokens []uint64
	for i, holder := range s {
		tokens = append(tokens, t.get(holder, locks.Shared, "x", i+1))
	}
	for _, i := range []int{2, 0, 3, 1} {
		t.breakLock(locks.Shared, "x", tokens[i], s[i])
		for _, other := range s {
			t.broken(other, 0) // breakLock has seen that of s[i]
		}
	}
	x := t.get(s[1], locks.Exclusive, "x", 1)
	t.breakLock(locks.Exclusive, "x", x, s[1])
}

func testBreakNobody(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		t.breakLock(m, "x", 0)
		t.breakLock(m, "", 0)
		old := t.get(a, m, "x", 1)
		t.release(a, m, "x", true)
		t.breakLock(m, "x", 0)
		t.breakLock(m, "x", old)
		other := t.get(b, m, "y", 1)
		now := t.get(a, m, "x", 1)
		// Neither one from before or of another lock, nor one yet to come.
		for _, token := range []uint64{old, other, now - 1, now + 1, now | 1<<63} {
			t.breakLock(m, "x", token)
		}
		t.breakLock(m, "xx", now)
		t.breakLock(1-m, "x", now) // the other name space
		t.breakLock(1-m, "x", 0)
		t.broken(a, 0)
		t.broken(b, 0)
		t.events = nil
		t.release(a, m, "x", true)
		t.happened(event(locks.Released, m, now, a, "x"))
		t.release(b, m, "y", true)
	}
	t.empty(0, 0)
}

func testBreakServes(t *tester) {
	for _, m := range modes {
		a, b, c := t.session(), t.session(), t.session()
		token := t.get(a, m, "x", 1)
		t.wait(b, m, "x", 1)
		t.wait(c, m, "x", 1)
		t.breakLock(m, "x", 0, a)
		t.broken(b, 0)
		t.queue(m, "x", b, c) // connected means holding
		t.events = nil
		t.leave(a)
		next := t.granted(b, 1, 0)
		t.happened(event(locks.Forced, m, token, a, "x"), event(locks.Granted, m, next, b, "x"))
		t.leave(c)
		t.leave(b) // nobody broke its hold
		t.happened(event(locks.Orphaned, m, next, b, "x"))
	}
	t.empty(2, 2)
}

func testForced(t *tester) {
	a := t.session()
	y := t.get(a, locks.Exclusive, "y", 1)
	x := t.get(a, locks.Exclusive, "x", 1)
	x2 := t.get(a, locks.Shared, "x", 1)
	y2 := t.get(a, locks.Shared, "y", 1)
	t.breakLock(locks.Exclusive, "x", 0, a)
	t.breakLock(locks.Shared, "y", y2, a)
	t.events = nil
	t.leave(a)
	t.happened(
		event(locks.Orphaned, locks.Exclusive, y, a, "y"), event(locks.Forced, locks.Exclusive, x, a, "x"),
		event(locks.Orphaned, locks.Shared, x2, a, "x"), event(locks.Forced, locks.Shared, y2, a, "y"))
	t.empty(2, 2) // what is forced counts as an orphan
}

func testBrokenAndReleased(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		first := t.get(a, m, "x", 1)
		t.breakLock(m, "x", first, a)
		t.events = nil
		t.release(a, m, "x", true)
		t.happened(event(locks.Released, m, first, a, "x"))
		second := t.get(a, m, "x", 1)
		t.events = nil
		t.leave(a) // nobody broke this hold
		t.happened(event(locks.Orphaned, m, second, a, "x"))
		third := t.get(b, m, "x", 1)
		t.events = nil
		t.leave(b)
		t.happened(event(locks.Orphaned, m, third, b, "x"))
	}
	t.empty(2, 2)
}

func testBrokenTwice(t *tester) {
	a := t.session()
	for _, m := range modes {
		token := t.get(a, m, "x", 1)
		for range 2 {
			t.breakLock(m, "x", 0, a)
			t.breakLock(m, "x", token, a)
			if again := t.get(a, m, "x", 1); again != token {
				t.Fatalf("broken, the token %d became %d", token, again)
			}
			t.entries(queryOf(m), holder(m, "x", a, token, 0))
		}
		t.events = nil
		t.leave(a)
		t.happened(event(locks.Forced, m, token, a, "x"))
	}
	t.empty(1, 1)
}

func testForcedAlone(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	first := t.get(a, locks.Shared, "x", 1)
	second, third := t.get(b, locks.Shared, "x", 2), t.get(c, locks.Shared, "x", 3)
	t.breakLock(locks.Shared, "x", second, b)
	t.events = nil
	t.leave(a)
	t.leave(b)
	t.leave(c)
	t.happened(
		event(locks.Orphaned, locks.Shared, first, a, "x"), event(locks.Forced, locks.Shared, second, b, "x"),
		event(locks.Orphaned, locks.Shared, third, c, "x"))
}

func testBreakGranted(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
		t.wait(b, m, "x", 1)
		t.wait(c, m, "x", 1)
		t.release(a, m, "x", true)
		t.told(b)
		t.breakLock(m, "x", 0, b)
		t.events = nil
		t.leave(b)
		token := t.granted(c, 1, 0)
		if len(t.events) != 2 || t.events[0].Kind != locks.Forced || t.events[1] != event(locks.Granted, m, token, c, "x") {
			t.Fatalf("who was granted a lock and broken has left: %v", t.events)
		}
		t.release(c, m, "x", true)
	}
	t.empty(1, 1)
}
