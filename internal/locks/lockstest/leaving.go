package lockstest

import (
	"fmt"

	"lockd/internal/locks"
)

func leavingTests() []subtest {
	return []subtest{
		{"leaving frees everything and counts orphans of each mode", testLeave},
		{"leaving with nothing held counts nothing", testLeaveWithNothing},
		{"leaving takes nothing from others", testLeaveSparesOthers},
		{"who left may come back", testLeaveAndComeBack},
		{"what was released is no orphan", testReleasedIsNoOrphan},
		{"many leave a lock of many holders", testManyLeave},
		{"a session with many locks leaves", testLeaveWithMany},
	}
}

func testLeave(t *tester) {
	a, b := t.session(), t.session()
	t.get(a, locks.Exclusive, "x", 1)
	for _, name := range []string{"x", "y", "z"} {
		t.get(a, locks.Shared, name, 1)
		t.get(a, locks.Shared, name, 1)
	}
	t.leave(a)
	t.empty(1, 3)
	t.get(b, locks.Exclusive, "x", 1)
	t.get(b, locks.Shared, "y", 1)
	t.release(a, locks.Exclusive, "x", false)
	t.release(a, locks.Shared, "z", false)
	t.leave(b)
	t.empty(2, 4)
}

func testLeaveWithNothing(t *tester) {
	a, b := t.session(), t.session()
	t.leave(a)
	t.get(b, locks.Exclusive, "x", 1)
	t.refuse(a, "x")
	t.leave(a)
	t.leave(a)
	t.counts(locks.ModeStats{Locks: 1, Holders: 1}, locks.ModeStats{})
	t.leave(b)
	t.leave(b)
	t.empty(1, 0)
}

func testLeaveSparesOthers(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	for i, s := range []*locks.Session{a, b, c} {
		t.get(s, locks.Shared, "x", i+1)
		t.get(s, locks.Exclusive, s.Addr(), 1)
	}
	t.leave(b)
	t.holders(locks.Shared, "x", a, c)
	t.holders(locks.Exclusive, a.Addr(), a)
	t.holders(locks.Exclusive, b.Addr())
	t.counts(locks.ModeStats{Locks: 2, Holders: 2, Orphans: 1}, locks.ModeStats{Locks: 1, Holders: 2, Orphans: 1})
	t.leave(a)
	t.holders(locks.Shared, "x", c)
	t.leave(c)
	t.empty(3, 3)
}

func testLeaveAndComeBack(t *tester) {
	a := t.session()
	for i := range uint64(3) {
		t.get(a, locks.Exclusive, "x", 1)
		t.get(a, locks.Shared, "x", 1)
		t.leave(a)
		t.empty(i+1, i+1)
	}
}

func testReleasedIsNoOrphan(t *tester) {
	a := t.session()
	for _, m := range modes {
		for _, name := range []string{"x", "y", "z"} {
			t.get(a, m, name, 1)
		}
		t.release(a, m, "y", true)
	}
	t.leave(a)
	t.empty(2, 2)
}

func testManyLeave(t *tester) {
	const n = 100
	sessions := t.someSessions(n)
	for i, s := range sessions {
		t.get(s, locks.Shared, "x", i+1)
	}
	for i, s := range sessions {
		t.leave(s)
		t.holders(locks.Shared, "x", sessions[i+1:]...)
	}
	t.empty(0, n)
}

func testLeaveWithMany(t *tester) {
	const n = 10_000
	a, b := t.session(), t.session()
	for i := range n {
		t.get(a, modes[i%2], fmt.Sprint(i), 1)
	}
	t.get(b, locks.Exclusive, "b", 1)
	t.leave(a)
	t.counts(locks.ModeStats{Locks: 1, Holders: 1, Orphans: n / 2}, locks.ModeStats{Orphans: n / 2})
	t.leave(b)
	t.empty(n/2+1, n/2)
}
