package lockstest

import (
	"slices"

	"lockd/internal/locks"
)

func queueTests() []subtest {
	return []subtest{
		{"who waits is served first come first served", testFirstCome},
		{"a shared lock with room for one is served like an exclusive one", testFirstComeShared},
		{"a shared lock with room for some is served first come first served", testFirstComeLimited},
		{"one release serves all who fit then", testReleaseServesAll},
		{"the first in the queue blocks those behind it", testHeadBlocks},
		{"a withdrawal of the first in the queue serves those behind", testHeadWithdraws},
		{"those behind are served when the first in the queue leaves", testHeadLeaves},
		{"a withdrawal behind the first changes nobody's turn", testMiddleWithdraws},
		{"a holder's leaving serves who waits", testHolderLeaves},
		{"who is granted and leaves before it asks passes the lock on", testGrantedLeaves},
		{"who withdrew waits behind all others the next time", testWaitAnew},
		{"each lock has its own queue", testQueuesApart},
		{"sg passes those who wait and can keep them out", testPassing},
		{"g passes nobody", testExclusiveDoesNotPass},
		{"the maximum is judged when granting, against all holders, and not stored", testLimitIsJudged},
		{"ten thousand wait for one lock and are served in order", testManyWait},
	}
}

func testFirstCome(t *tester) {
	s := t.someSessions(5)
	t.get(s[0], locks.Exclusive, "x", 1)
	for _, w := range s[1:] {
		t.wait(w, locks.Exclusive, "x", 0)
	}
	for i, w := range s[1:] {
		t.queue(locks.Exclusive, "x", s[i+1:]...)
		t.release(s[i], locks.Exclusive, "x", true)
		t.waits(s[i+2:]...)
		t.granted(w, 1, 0)
		t.holders(locks.Exclusive, "x", w)
	}
	t.release(s[4], locks.Exclusive, "x", true)
	t.empty(0, 0)
}

func testFirstComeShared(t *tester) {
	s := t.someSessions(5)
	t.try(s[0], locks.Shared, "x", 1, 1)
	for _, w := range s[1:] {
		t.wait(w, locks.Shared, "x", 1)
	}
	for i, w := range s[1:] {
		t.queue(locks.Shared, "x", s[i+1:]...)
		t.release(s[i], locks.Shared, "x", true)
		t.waits(s[i+2:]...)
		t.granted(w, 1, 0)
		t.holders(locks.Shared, "x", w)
	}
	t.release(s[4], locks.Shared, "x", true)
	t.empty(0, 0)
}

func testFirstComeLimited(t *tester) {
	const limit = 3
	s := t.someSessions(12)
	for i, holder := range s[:limit] {
		t.try(holder, locks.Shared, "x", limit, i+1)
	}
	for _, w := range s[limit:] {
		t.wait(w, locks.Shared, "x", limit)
	}
	for i, w := range s[limit:] {
		t.queue(locks.Shared, "x", s[limit+i:]...)
		t.release(s[i], locks.Shared, "x", true)
		t.waits(s[limit+i+1:]...)
		t.granted(w, limit, 0)
		t.holders(locks.Shared, "x", s[i+1:i+1+limit]...)
	}
	for _, holder := range s[len(s)-limit:] {
		t.release(holder, locks.Shared, "x", true)
	}
	t.empty(0, 0)
}

func testReleaseServesAll(t *tester) {
	s := t.someSessions(6)
	t.get(s[0], locks.Shared, "x", 1)
	for i, limit := range []int{1, 4, 3, 0, 4} { // the last does not fit behind four
		t.wait(s[i+1], locks.Shared, "x", limit)
	}
	t.release(s[0], locks.Shared, "x", true)
	for i, w := range s[1:5] {
		t.granted(w, i+1, 0)
	}
	t.holders(locks.Shared, "x", s[1:5]...)
	t.queue(locks.Shared, "x", s[5])
	t.release(s[2], locks.Shared, "x", true)
	t.granted(s[5], 4, 0)
}

func testHeadBlocks(t *tester) {
	s := t.someSessions(6)
	for i, holder := range s[:3] {
		t.get(holder, locks.Shared, "x", i+1)
	}
	t.wait(s[3], locks.Shared, "x", 2)
	t.wait(s[4], locks.Shared, "x", 0) // it would fit but for its turn
	t.wait(s[5], locks.Shared, "x", 9)
	t.release(s[0], locks.Shared, "x", true)
	t.queue(locks.Shared, "x", s[3:]...)
	t.release(s[1], locks.Shared, "x", true)
	for i, w := range s[3:] {
		t.granted(w, i+2, 0)
	}
	t.holders(locks.Shared, "x", s[2:]...)
}

func testHeadWithdraws(t *tester) {
	s := t.someSessions(6)
	t.get(s[0], locks.Shared, "x", 1)
	for i, limit := range []int{1, 2, 0, 3, 9} {
		t.wait(s[i+1], locks.Shared, "x", limit)
	}
	// Those behind have the lock when it is told of its own failure.
	t.withdraw(s[1], locks.Result{Holders: 3, Queue: 2})
	t.granted(s[2], 2, 0)
	t.granted(s[3], 3, 0)
	t.queue(locks.Shared, "x", s[4], s[5])
	t.withdraw(s[4], locks.Result{Holders: 4})
	t.granted(s[5], 4, 0)
	t.holders(locks.Shared, "x", s[0], s[2], s[3], s[5])
}

func testHeadLeaves(t *tester) {
	s := t.someSessions(5)
	t.get(s[0], locks.Shared, "x", 1)
	t.get(s[1], locks.Exclusive, "own", 1)
	for i, limit := range []int{1, 2, 0, 3} {
		t.wait(s[i+1], locks.Shared, "x", limit)
	}
	t.leave(s[1])
	t.waits(s[1])
	t.granted(s[2], 2, 0)
	t.granted(s[3], 3, 0)
	t.queue(locks.Shared, "x", s[4])
	t.inspect(locks.Exclusive, "own", 0)
	for _, left := range []*locks.Session{s[4], s[0], s[2], s[3]} {
		t.leave(left)
	}
	t.waits(s[4])
	t.empty(1, 3)
}

func testMiddleWithdraws(t *tester) {
	for _, m := range modes {
		s := t.someSessions(8)
		t.get(s[0], m, "x", 1)
		for _, w := range s[1:] {
			t.wait(w, m, "x", 1)
		}
		t.giveUp(s[3])
		t.leave(s[7])
		t.leave(s[4])
		t.giveUp(s[6])
		left := []*locks.Session{s[1], s[2], s[5]}
		t.queue(m, "x", left...)
		holder := s[0]
		for i, w := range left {
			t.release(holder, m, "x", true)
			t.granted(w, 1, 0)
			t.queue(m, "x", left[i+1:]...)
			holder = w
		}
		t.waits(s...)
		t.release(holder, m, "x", true)
		t.empty(0, 0)
	}
}

func testHolderLeaves(t *tester) {
	for _, m := range modes {
		a, b, c := t.session(), t.session(), t.session()
		t.get(a, m, "x", 1)
		t.get(a, m, "y", 1)
		t.wait(b, m, "x", 1)
		t.wait(c, m, "y", 1)
		t.leave(a)
		t.granted(b, 1, 0)
		t.granted(c, 1, 0)
		t.holders(m, "x", b)
		t.holders(m, "y", c)
		t.release(b, m, "x", true)
		t.release(c, m, "y", true)
	}
	t.empty(2, 2)
}

func testGrantedLeaves(t *tester) {
	for _, m := range modes {
		s := t.someSessions(4)
		t.get(s[0], m, "x", 1)
		for _, w := range s[1:] {
			t.wait(w, m, "x", 1)
		}
		t.release(s[0], m, "x", true)
		for i, w := range s[1:3] {
			t.told(w)
			t.holders(m, "x", w) // it has the lock, whether or not it knows
			t.leave(w)
			t.holders(m, "x", s[i+2])
		}
		t.granted(s[3], 1, 0)
		t.refuseTry(s[1], m, "x", 1, busy(m), t.resultOf(m, s[3], 0)) // a session that left waits no more
		t.release(s[3], m, "x", true)
		t.waits(s...)
	}
	t.empty(2, 2)
}

// busy is why a lock with one holder is not granted where nobody waits.
func busy(m locks.Mode) error {
	if m == locks.Exclusive {
		return locks.ErrHeld
	}
	return locks.ErrLimit
}

// resultOf is what is told of a lock that holder alone holds, since now.
func (t *tester) resultOf(m locks.Mode, holder *locks.Session, queue int) locks.Result {
	r := locks.Result{Holders: 1, Queue: queue}
	if m == locks.Exclusive {
		r.Holder, r.Since = holder, t.now
	}
	return r
}

func testWaitAnew(t *tester) {
	for _, m := range modes {
		s := t.someSessions(4)
		t.get(s[0], m, "x", 1)
		for _, w := range s[1:] {
			t.wait(w, m, "x", 1)
		}
		t.giveUp(s[1])
		t.wait(s[1], m, "x", 1)
		t.queue(m, "x", s[2], s[3], s[1])
		t.leave(s[2])
		t.wait(s[2], m, "x", 1)
		t.queue(m, "x", s[3], s[1], s[2])
		t.release(s[0], m, "x", true)
		t.granted(s[3], 1, 0)
		t.wait(s[0], m, "x", 1)
		t.queue(m, "x", s[1], s[2], s[0])
	}
}

func testQueuesApart(t *tester) {
	a, s := t.session(), t.someSessions(4)
	names := []string{"x", "y"}
	for i, w := range s {
		t.get(a, modes[i/2], names[i%2], 1)
		t.wait(w, modes[i/2], names[i%2], 1)
	}
	for i, w := range s {
		t.queue(modes[i/2], names[i%2], w)
		t.release(a, modes[i/2], names[i%2], true)
		t.granted(w, 1, 0)
		t.waits(s[i+1:]...)
	}
}

func testPassing(t *tester) {
	s := t.someSessions(4)
	t.try(s[0], locks.Shared, "x", 1, 1)
	t.wait(s[1], locks.Shared, "x", 1)
	t.wait(s[2], locks.Shared, "x", 9)
	for range 3 { // two of sg take turns, and nobody who waits is served
		t.get(s[3], locks.Shared, "x", 2)
		t.release(s[0], locks.Shared, "x", true)
		t.get(s[0], locks.Shared, "x", 2)
		t.release(s[3], locks.Shared, "x", true)
		t.queue(locks.Shared, "x", s[1], s[2])
	}
	t.release(s[0], locks.Shared, "x", true)
	t.granted(s[1], 1, 0)
	t.granted(s[2], 2, 0)
}

func testExclusiveDoesNotPass(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	t.get(a, locks.Exclusive, "x", 1)
	t.wait(b, locks.Exclusive, "x", 0)
	t.refuse(c, "x")
	t.release(a, locks.Exclusive, "x", true)
	t.refuse(c, "x") // though b has not asked yet
	t.refuse(a, "x")
	t.granted(b, 1, 0)
	t.refuse(c, "x")
	t.queue(locks.Exclusive, "x")
}

func testLimitIsJudged(t *tester) {
	s := t.someSessions(6)
	t.try(s[0], locks.Shared, "x", 1, 1)
	t.get(s[1], locks.Shared, "x", 2) // the first one's maximum binds nobody
	t.refuseTry(s[2], locks.Shared, "x", 2, locks.ErrLimit, locks.Result{Holders: 2})
	t.try(s[2], locks.Shared, "x", 3, 3)
	t.try(s[3], locks.Shared, "x", 0, 4)
	t.wait(s[4], locks.Shared, "x", 2)
	for i, left := range []*locks.Session{s[0], s[3]} {
		t.release(left, locks.Shared, "x", true)
		t.inspect(locks.Shared, "x", 3-i)
		t.waits(s[4])
	}
	t.get(s[5], locks.Shared, "x", 3) // counts as well
	t.release(s[1], locks.Shared, "x", true)
	t.waits(s[4])
	t.release(s[2], locks.Shared, "x", true)
	t.granted(s[4], 2, 0)
	t.holders(locks.Shared, "x", s[5], s[4])
}

func testManyWait(t *tester) {
	const n = 10_000
	for _, m := range modes {
		s := t.someSessions(n + 1)
		t.get(s[0], m, "x", 1)
		for _, w := range s[1:] {
			t.wait(w, m, "x", 1)
		}
		waiting := slices.Clone(s[1:])
		for i, w := range s[1:] {
			if i%3 == 1 {
				t.giveUp(w)
			} else if i%3 == 2 && i%2 == 0 {
				t.leave(w)
			} else {
				continue
			}
			waiting[i] = nil
		}
		waiting = slices.DeleteFunc(waiting, func(s *locks.Session) bool { return s == nil })
		t.queue(m, "x", waiting...)
		holder := s[0]
		for i, w := range waiting {
			t.release(holder, m, "x", true)
			t.waits(waiting[i+1 : min(i+3, len(waiting))]...)
			t.granted(w, 1, 0)
			holder = w
		}
		t.release(holder, m, "x", true)
		t.waits(s...)
		t.empty(0, 0)
	}
}
