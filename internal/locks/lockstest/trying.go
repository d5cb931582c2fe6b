package lockstest

import (
	"time"

	"lockd/internal/locks"
)

func tryingTests() []subtest {
	return []subtest{
		{"a try gets what is free or has room", testTryGets},
		{"a try is refused where the lock is held or full, and told by whom", testTryRefused},
		{"a try is refused while others wait, whatever would fit", testTryBehindOthers},
		{"a refused try leaves nothing behind", testTryLeavesNothing},
		{"a holder that asks again has its own token, whatever the maximum", testAskAgain},
		{"a holder that asks again keeps its place, while others wait too", testAskAgainBesideWaiters},
		{"tokens rise with each grant, whatever the mode and the name", testTokensRise},
		{"tokens rise in the order of the grants, not of the requests", testTokensRiseByGrant},
		{"a lock got anew has a new token", testTokenAnew},
	}
}

func testTryGets(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	t.try(a, locks.Exclusive, "x", 0, 1)
	t.try(a, locks.Shared, "x", 1, 1)
	t.try(b, locks.Shared, "x", 2, 2)
	t.try(c, locks.Shared, "x", 0, 3)
	t.holders(locks.Exclusive, "x", a)
	t.holders(locks.Shared, "x", a, b, c)
	t.release(a, locks.Exclusive, "x", true)
	t.try(b, locks.Exclusive, "x", 0, 1)
}

func testTryRefused(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	t.now = time.Second
	t.get(a, locks.Exclusive, "x", 1)
	t.get(a, locks.Shared, "x", 1)
	t.get(b, locks.Shared, "x", 2)
	held := t.resultOf(locks.Exclusive, a, 0)
	t.now = time.Minute
	t.refuseTry(c, locks.Exclusive, "x", 0, locks.ErrHeld, held)
	t.refuseTry(b, locks.Exclusive, "x", 0, locks.ErrHeld, held)
	t.refuseTry(c, locks.Exclusive, "x", 9, locks.ErrHeld, held) // it has one holder at most, whatever is asked
	for _, limit := range []int{1, 2} {
		t.refuseTry(c, locks.Shared, "x", limit, locks.ErrLimit, locks.Result{Holders: 2})
	}
	t.try(c, locks.Shared, "x", 3, 3)
}

func testTryBehindOthers(t *tester) {
	a, c := t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
		s := t.someSessions(2)
		for i, w := range s {
			t.wait(w, m, "x", 1)
			for _, limit := range []int{0, 1, 9} {
				t.refuseTry(c, m, "x", limit, locks.ErrQueue, t.resultOf(m, a, i+1))
			}
		}
		t.giveUp(s[0])
		t.refuseTry(c, m, "x", 9, locks.ErrQueue, t.resultOf(m, a, 1))
		t.leave(s[1])
		t.refuseTry(c, m, "x", 1, busy(m), t.resultOf(m, a, 0))
	}
	t.try(c, locks.Shared, "x", 9, 2)
}

func testTryLeavesNothing(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
	}
	before := t.table.Stats()
	for _, m := range modes {
		t.refuseTry(b, m, "x", 1, busy(m), t.resultOf(m, a, 0))
		t.queue(m, "x")
	}
	if got := t.table.Stats(); got != before {
		t.Fatalf("refused tries changed the counters from %+v to %+v", before, got)
	}
	for _, m := range modes {
		t.wait(c, m, "x", 1)
		before := t.table.Stats()
		t.refuseTry(b, m, "x", 1, locks.ErrQueue, t.resultOf(m, a, 1))
		t.queue(m, "x", c)
		if got := t.table.Stats(); got != before {
			t.Fatalf("a refused try changed the counters from %+v to %+v", before, got)
		}
		t.leave(c)
		t.release(a, m, "x", true)
	}
	t.waits(b, c)
	t.empty(0, 0)
}

func testAskAgain(t *tester) {
	s := t.someSessions(3)
	for _, m := range modes {
		tokens := []uint64{t.get(s[0], m, "x", 1)}
		if m == locks.Shared {
			tokens = append(tokens, t.try(s[1], m, "x", 2, 2), t.get(s[2], m, "x", 3))
		}
		before := t.table.Stats()
		t.now += time.Second
		for i, token := range tokens {
			for _, limit := range []int{0, 1, 2, 3} {
				t.again(s[i], m, limit, locks.Result{Holders: len(tokens), Token: token})
			}
		}
		if got := t.table.Stats(); got != before {
			t.Fatalf("asking again changed the counters from %+v to %+v", before, got)
		}
	}
}

// again has s, which holds x, ask for it in each way and wants it to be told
// this.
func (t *tester) again(s *locks.Session, m locks.Mode, limit int, want locks.Result) {
	t.Helper()
	r := t.request(m, "x", limit)
	for range 2 {
		if got, err := t.table.Get(s, r); err != nil || got != want {
			t.Fatalf("%s asks again, at most %d, queueing %d: %+v, %v; want %+v", s.Addr(), limit, r.Queue, got, err, want)
		}
		r.Queue = locks.JoinQueue
	}
	if got, err := t.ask(s, m, "x"); err != nil || got != want {
		t.Fatalf("%s asks again as level 1 does: %+v, %v; want %+v", s.Addr(), got, err, want)
	}
}

func testAskAgainBesideWaiters(t *tester) {
	s := t.someSessions(5)
	x := t.get(s[0], locks.Exclusive, "x", 1)
	first, second := t.get(s[0], locks.Shared, "x", 1), t.get(s[1], locks.Shared, "x", 2)
	t.wait(s[2], locks.Exclusive, "x", 0)
	t.wait(s[3], locks.Shared, "x", 1)
	t.wait(s[4], locks.Shared, "x", 9)
	for _, limit := range []int{0, 1, 9} {
		t.again(s[0], locks.Exclusive, limit, locks.Result{Holders: 1, Token: x})
		t.again(s[0], locks.Shared, limit, locks.Result{Holders: 2, Token: first})
		t.again(s[1], locks.Shared, limit, locks.Result{Holders: 2, Token: second})
	}
	t.holders(locks.Shared, "x", s[0], s[1])
	t.queue(locks.Exclusive, "x", s[2])
	t.queue(locks.Shared, "x", s[3], s[4])
	t.release(s[0], locks.Exclusive, "x", true) // once is enough
	t.granted(s[2], 1, 0)
}

func testTokensRise(t *tester) {
	a, b := t.session(), t.session()
	last := uint64(0)
	rises := func(token uint64) {
		t.Helper()
		if token <= last {
			t.Fatalf("the token %d comes after %d", token, last)
		}
		last = token
	}
	for _, name := range []string{"x", "y", "", "x"} {
		for _, m := range modes {
			rises(t.get(a, m, name, 1))
			rises(t.try(b, locks.Shared, "b"+name, 1, 1))
			t.wait(b, m, name, 1)
			t.release(a, m, name, true)
			rises(t.granted(b, 1, 0))
			t.refuseTry(a, m, name, 1, busy(m), t.resultOf(m, b, 0)) // no grant, no token
			t.leave(b)
			rises(t.get(b, m, name, 1))
			t.leave(b)
		}
	}
}

func testTokensRiseByGrant(t *tester) {
	s := t.someSessions(4)
	t.get(s[0], locks.Exclusive, "x", 1)
	t.get(s[0], locks.Exclusive, "y", 1)
	t.wait(s[1], locks.Exclusive, "x", 0)
	t.wait(s[2], locks.Exclusive, "y", 0)
	between := t.get(s[3], locks.Exclusive, "z", 1)
	t.release(s[0], locks.Exclusive, "y", true)
	t.release(s[0], locks.Exclusive, "x", true)
	if x, y := t.granted(s[1], 1, 0), t.granted(s[2], 1, 0); between >= y || y >= x {
		t.Fatalf("the tokens of three grants in turn: %d, %d, %d", between, y, x)
	}
}

func testTokenAnew(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		first := t.get(a, m, "x", 1)
		t.release(a, m, "x", true)
		second := t.get(a, m, "x", 1)
		t.leave(a)
		third := t.get(a, m, "x", 1)
		t.leave(a)
		fourth := t.get(b, m, "x", 1)
		t.leave(b)
		if first >= second || second >= third || third >= fourth {
			t.Fatalf("the tokens of four grants in turn: %d, %d, %d, %d", first, second, third, fourth)
		}
	}
}
