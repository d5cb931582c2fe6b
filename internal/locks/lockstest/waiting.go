package lockstest

import (
	"errors"
	"time"

	"lockd/internal/locks"
)

func waitingTests() []subtest {
	return []subtest{
		{"who could get the lock at once does not wait", testNoNeedToWait},
		{"a granted wait tells how long it was and how many hold", testGrantedResult},
		{"a withdrawn wait tells what the lock is like", testWithdrawnResult},
		{"a wait is never told to have been shorter than nothing", testClockLags},
		{"a wait ends with the next request, whatever that names", testNextRequestEnds},
		{"a granted lock is held before anybody asks", testHeldBeforeAsked},
		{"who was granted a lock holds it like any other", testGrantedIsHeld},
		{"a wait for one lock takes nothing of others held", testWaitAndHold},
		{"who waits is no orphan when it leaves", testWaitingIsNoOrphan},
		{"who left while it waited may come back", testLeaveWaitingAndComeBack},
		{"those who wait are counted", testWaitersAreCounted},
		{"since when the longest wait is told", testWaitingSince},
		{"what waits cost is gone with them", testWaitBytes},
	}
}

func testNoNeedToWait(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		for _, limit := range []int{0, 1, 2} {
			r, err := t.askToWait(a, m, "x", limit)
			if err != nil || r.Token == 0 || r != (locks.Result{Holders: 1, Token: r.Token}) {
				t.Fatalf("a free lock: %+v, %v", r, err)
			}
			t.release(a, m, "x", true)
		}
	}
	t.try(a, locks.Shared, "x", 0, 1)
	if r, err := t.askToWait(b, locks.Shared, "x", 2); err != nil || r.Holders != 2 || r.Waited != 0 {
		t.Fatalf("a lock with room for two: %+v, %v", r, err)
	}
	t.waits(a, b) // nobody is told of what it got at once
	t.counts(locks.ModeStats{}, locks.ModeStats{Locks: 1, Holders: 2})
}

func testGrantedResult(t *tester) {
	s := t.someSessions(5)
	t.get(s[0], locks.Exclusive, "x", 1)
	t.get(s[0], locks.Shared, "x", 1)
	t.now = 1 * time.Second
	t.wait(s[1], locks.Exclusive, "x", 0)
	t.now = 3 * time.Second
	t.wait(s[2], locks.Exclusive, "x", 0)
	t.wait(s[3], locks.Shared, "x", 1)
	t.wait(s[4], locks.Shared, "x", 2)
	t.now = 10 * time.Second
	t.leave(s[0])
	t.now = time.Hour // what comes after the grant is not waited for
	t.granted(s[1], 1, 9*time.Second)
	t.granted(s[3], 1, 7*time.Second) // as it was when it was granted
	t.granted(s[4], 2, 7*time.Second)
	t.release(s[1], locks.Exclusive, "x", true)
	t.granted(s[2], 1, time.Hour-3*time.Second)
}

func testWithdrawnResult(t *tester) {
	s := t.someSessions(4)
	t.now = 1 * time.Second
	t.get(s[0], locks.Exclusive, "x", 1)
	t.get(s[0], locks.Shared, "x", 1)
	for _, m := range modes {
		t.now = 2 * time.Second
		for _, w := range s[1:] {
			t.wait(w, m, "x", 1)
		}
		t.now = 5 * time.Second
		want := locks.Result{Holders: 1, Queue: 2, Waited: 3 * time.Second}
		if m == locks.Exclusive {
			want.Holder, want.Since = s[0], 1*time.Second
		}
		t.withdraw(s[2], want)
		want.Queue = 1
		t.withdraw(s[1], want)
		want.Queue = 0
		t.withdraw(s[3], want)
	}
	t.holders(locks.Exclusive, "x", s[0])
	t.holders(locks.Shared, "x", s[0])
}

// testClockLags has sessions whose clocks were read at different moments, as
// those are of connections that read theirs once for many commands.
func testClockLags(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	for _, m := range modes {
		t.now = 5 * time.Second
		t.get(a, m, "x", 1)
		t.wait(b, m, "x", 1)
		t.wait(c, m, "x", 1)
		t.now = 3 * time.Second
		if r, err := t.table.Get(c, locks.Request{Now: t.now}); !errors.Is(err, locks.ErrQueue) || r.Waited != 0 {
			t.Fatalf("a wait that ends before it began: %+v, %v", r, err)
		}
		t.release(a, m, "x", true)
		t.granted(b, 1, 0)
		t.leave(b)
	}
}

func testNextRequestEnds(t *tester) {
	a, b := t.session(), t.session()
	t.get(a, locks.Exclusive, "x", 1)
	for _, r := range []locks.Request{
		{Mode: locks.Shared, Name: []byte("y")},
		{Mode: locks.Exclusive, Name: []byte("y"), Queue: locks.HonourQueue},
		{Mode: locks.Exclusive, Name: []byte("x"), Queue: locks.JoinQueue},
		{},
	} {
		t.wait(b, locks.Exclusive, "x", 0)
		if got, err := t.table.Get(b, r); !errors.Is(err, locks.ErrQueue) || got != t.resultOf(locks.Exclusive, a, 0) {
			t.Fatalf("a wait that ends with %+v: %+v, %v", r, got, err)
		}
		t.queue(locks.Exclusive, "x")
		t.wait(b, locks.Exclusive, "x", 0)
		t.release(a, locks.Exclusive, "x", true)
		t.told(b)
		if got, err := t.table.Get(b, r); err != nil || got != (locks.Result{Holders: 1, Token: got.Token}) {
			t.Fatalf("a granted wait that ends with %+v: %+v, %v", r, got, err)
		}
		t.counts(locks.ModeStats{Locks: 1, Holders: 1}, locks.ModeStats{})
		t.release(b, locks.Exclusive, "x", true)
		t.get(a, locks.Exclusive, "x", 1)
	}
}

func testHeldBeforeAsked(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
		t.wait(b, m, "x", 1)
		t.release(a, m, "x", true)
		t.inspect(m, "x", 1)
		t.holders(m, "x", b)
		t.refuseTry(c, m, "x", 1, busy(m), t.resultOf(m, b, 0))
		t.release(a, m, "x", false)
		t.granted(b, 1, 0)
		t.release(b, m, "x", true)
	}
	t.empty(0, 0)
}

func testGrantedIsHeld(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
		t.wait(b, m, "x", 1)
		t.release(a, m, "x", true)
		token := t.granted(b, 1, 0)
		if again := t.get(b, m, "x", 1); again != token {
			t.Fatalf("got again, the token %d became %d", token, again)
		}
		t.wait(c, m, "x", 1)
		t.release(b, m, "x", true)
		t.release(b, m, "x", false)
		t.granted(c, 1, 0)
		t.get(c, m, "y", 1)
		t.leave(c)
	}
	t.empty(2, 2)
}

func testWaitAndHold(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
		t.get(b, m, "y", 1)
		t.wait(b, m, "x", 1)
		t.holders(m, "y", b)
		t.giveUp(b)
		t.holders(m, "y", b)
		t.wait(b, m, "x", 1)
		t.release(a, m, "x", true)
		t.holders(m, "y", b)
		t.granted(b, 1, 0)
		t.list(m, held("x", b), held("y", b))
		t.release(b, m, "y", true)
		t.list(m, held("x", b))
		t.release(b, m, "x", true)
	}
	t.empty(0, 0)
}

func testWaitingIsNoOrphan(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
		t.wait(b, m, "x", 1)
		t.leave(b)
		t.leave(b)
		t.queue(m, "x")
		t.release(a, m, "x", true)
		t.waits(b)
	}
	t.empty(0, 0)
}

func testLeaveWaitingAndComeBack(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
		for range 3 {
			t.wait(b, m, "x", 1)
			t.leave(b)
			t.get(b, m, "y", 1)
			t.release(b, m, "y", true)
		}
		t.wait(b, m, "x", 1)
		t.release(a, m, "x", true)
		t.granted(b, 1, 0)
		t.leave(b)
	}
	t.empty(1, 1)
}

func testWaitersAreCounted(t *tester) {
	s := t.someSessions(6)
	x, sh := locks.ModeStats{Locks: 1, Holders: 1}, locks.ModeStats{Locks: 2, Holders: 2}
	t.get(s[0], locks.Exclusive, "x", 1)
	t.get(s[0], locks.Shared, "x", 1)
	t.get(s[0], locks.Shared, "y", 1)
	check := func(exclusive, shared uint64) {
		t.Helper()
		x.Waiters, sh.Waiters = exclusive, shared
		t.counts(x, sh)
	}
	check(0, 0)
	t.wait(s[1], locks.Exclusive, "x", 0)
	check(1, 0)
	t.wait(s[2], locks.Exclusive, "x", 0)
	check(2, 0)
	t.wait(s[3], locks.Shared, "x", 1)
	check(2, 1)
	t.wait(s[4], locks.Shared, "y", 1)
	check(2, 2)
	t.refuseTry(s[5], locks.Exclusive, "x", 0, locks.ErrQueue, t.resultOf(locks.Exclusive, s[0], 2))
	check(2, 2)
	t.giveUp(s[1])
	check(1, 2)
	t.leave(s[3])
	check(1, 1)
	t.leave(s[0]) // what it held goes to those who wait, and the rest ends
	x.Orphans, sh.Orphans, sh.Locks, sh.Holders = 1, 2, 1, 1
	check(0, 0)
	t.granted(s[2], 1, 0)
	t.granted(s[4], 1, 0)
	check(0, 0)
}

func testWaitingSince(t *tester) {
	s := t.someSessions(6)
	check := func(want time.Duration) {
		t.Helper()
		if got := t.table.Stats(); !got.Waiting || got.WaitingSince != want {
			t.Fatalf("the longest wait: %t, since %v, want %v", got.Waiting, got.WaitingSince, want)
		}
	}
	for _, name := range []string{"x", "y"} {
		t.get(s[0], locks.Exclusive, name, 1)
		t.get(s[0], locks.Shared, name, 1)
	}
	t.wait(s[1], locks.Exclusive, "x", 0) // at the very first moment
	check(0)
	for i, w := range s[2:] {
		t.now = time.Duration(i+1) * time.Second
		t.wait(w, modes[i%2], []string{"x", "y"}[i/2], 1)
		check(0)
	}
	t.giveUp(s[1])
	check(1 * time.Second)
	t.leave(s[3])
	check(1 * time.Second)
	t.now = time.Hour
	t.release(s[0], locks.Exclusive, "x", true)
	check(3 * time.Second)
	t.granted(s[2], 1, time.Hour-1*time.Second)
	t.giveUp(s[4])
	check(4 * time.Second)
	t.release(s[0], locks.Shared, "y", true)
	if got := t.table.Stats(); got.Waiting || got.WaitingSince != 0 {
		t.Fatalf("nobody waits, and yet: %+v", got)
	}
}

func testWaitBytes(t *tester) {
	bytes := func() int64 { return t.table.Stats().Bytes }
	for _, m := range modes {
		s := t.someSessions(6)
		t.get(s[0], m, "x", 1)
		held := bytes()
		t.wait(s[1], m, "x", 1)
		one := bytes() - held
		if one <= 0 {
			t.Fatalf("a wait counts %d bytes", one)
		}
		for _, w := range s[2:] {
			t.wait(w, m, "x", 1)
		}
		if got := bytes(); got != held+5*one {
			t.Fatalf("5 waits count %d bytes, and one %d", got-held, one)
		}
		t.giveUp(s[2])
		t.leave(s[3])
		if got := bytes(); got != held+3*one {
			t.Fatalf("3 waits count %d bytes, and one %d", got-held, one)
		}
		t.release(s[0], m, "x", true)
		if got := bytes(); got != held+2*one {
			t.Fatalf("2 waits count %d bytes, and one %d", got-held, one)
		}
		for _, left := range s {
			t.leave(left)
		}
		if got := bytes(); got != 0 {
			t.Fatalf("%d bytes are counted when all have left", got)
		}
	}
}
