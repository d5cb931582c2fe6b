package lockstest

import (
	"fmt"
	"slices"
	"strings"

	"lockd/internal/locks"
)

func holdingTests() []subtest {
	return []subtest{
		{"an empty table holds nothing", testEmpty},
		{"a lock has one holder", testOneHolder},
		{"getting again is not counted twice and one release frees", testGetAgain},
		{"a release by another fails", testReleaseByAnother},
		{"a release of what nobody holds fails", testReleaseOfNothing},
		{"shared holders are counted", testSharedCounts},
		{"the two name spaces never meet", testNameSpaces},
		{"names are bytes", testNames},
		{"a name is copied", testNameIsCopied},
		{"names of 64 KB are told apart by their last byte", testLongNames},
		{"counters are exact", testCounters},
		{"holders become many and few again", testManyHolders},
		{"many locks are held at once", testManyLocks},
	}
}

func testEmpty(t *tester) {
	t.empty(0, 0)
	for _, m := range modes {
		t.inspect(m, "", 0)
		t.inspect(m, "a", 0)
		t.holders(m, "a")
	}
}

func testOneHolder(t *tester) {
	a, b := t.session(), t.session()
	t.get(a, locks.Exclusive, "x", 1)
	t.refuse(b, "x")
	t.refuse(b, "x")
	t.inspect(locks.Exclusive, "x", 1)
	t.holders(locks.Exclusive, "x", a)
	t.get(b, locks.Exclusive, "y", 1)
	t.release(a, locks.Exclusive, "x", true)
	t.get(b, locks.Exclusive, "x", 1)
	t.refuse(a, "x")
	t.holders(locks.Exclusive, "x", b)
}

func testGetAgain(t *tester) {
	a := t.session()
	for _, m := range modes {
		for range 3 {
			t.get(a, m, "x", 1)
		}
		t.holders(m, "x", a)
		t.release(a, m, "x", true)
		t.inspect(m, "x", 0)
		t.release(a, m, "x", false)
	}
	t.empty(0, 0)
}

func testReleaseByAnother(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
		t.release(b, m, "x", false)
		t.holders(m, "x", a)
		t.release(a, m, "x", true)
	}
	t.empty(0, 0)
}

func testReleaseOfNothing(t *tester) {
	a := t.session()
	for _, m := range modes {
		t.release(a, m, "", false)
		t.release(a, m, "x", false)
		t.get(a, m, "x", 1)
		t.release(a, m, "xx", false)
		t.release(a, m, "", false)
		t.release(a, m, "x", true)
	}
	t.empty(0, 0)
}

func testSharedCounts(t *tester) {
	sessions := t.someSessions(3)
	for i, s := range sessions {
		t.get(s, locks.Shared, "x", i+1)
		t.get(s, locks.Shared, "x", i+1)
		t.inspect(locks.Shared, "x", i+1)
	}
	t.get(sessions[0], locks.Shared, "x", 3)
	t.get(sessions[1], locks.Shared, "y", 1)
	for i, s := range sessions {
		t.release(s, locks.Shared, "x", true)
		t.release(s, locks.Shared, "x", false)
		t.inspect(locks.Shared, "x", 2-i)
	}
	t.inspect(locks.Shared, "y", 1)
}

func testNameSpaces(t *tester) {
	a, b := t.session(), t.session()
	t.get(a, locks.Exclusive, "x", 1)
	t.inspect(locks.Shared, "x", 0)
	t.holders(locks.Shared, "x")
	t.release(a, locks.Shared, "x", false)
	t.get(b, locks.Shared, "x", 1)
	t.release(b, locks.Exclusive, "x", false)
	t.refuse(b, "x")
	t.get(a, locks.Shared, "x", 2)
	t.release(a, locks.Exclusive, "x", true)
	t.inspect(locks.Exclusive, "x", 0)
	t.holders(locks.Shared, "x", b, a)
	t.release(b, locks.Shared, "x", true)
	t.release(a, locks.Shared, "x", true)
	t.empty(0, 0)
}

// oddNames are sorted by their bytes.
var oddNames = [...]string{
	"", "\x00", "\x00\x00", "\t", "\r", " ", " a", "A", "a", "a\x00", "a\x00b", "a ", "a b", "aa", "b", "map[x:y]", "x: y",
	"\x80", "\u00e9", "\u4e16\u754c", "\xfe", "\xff", "\xff\x00", "\xff\xff",
}

func testNames(t *tester) {
	for i, name := range oddNames {
		for _, m := range modes {
			t.get(t.session(), m, name, 1)
		}
		for j, other := range oddNames {
			for _, m := range modes {
				t.inspect(m, other, map[bool]int{true: 1}[j <= i])
			}
		}
	}
}

func testNameIsCopied(t *tester) {
	a := t.session()
	name := []byte("abc")
	for _, m := range modes {
		if _, err := t.table.Get(a, locks.Request{Mode: m, Name: name}); err != nil {
			t.Fatal(err)
		}
		copy(name, "xyz")
		t.inspect(m, "abc", 1)
		t.inspect(m, "xyz", 0)
		t.list(m, held("abc", a))
		copy(name, "abc")
	}
}

func testLongNames(t *tester) {
	base := strings.Repeat("n", 64<<10-1)
	names := []string{base + "a", base + "b", base, base[1:]}
	for round := range 2 {
		for _, m := range modes {
			for _, name := range names {
				t.inspect(m, name, 0)
				t.get(t.session(), m, name, 1)
			}
			if got := t.listed(m); len(got) != len(names) || len(got[0].name) != 64<<10-2 {
				t.Fatalf("round %d: %d locks are listed, the first with a name of %d bytes", round, len(got), len(got[0].name))
			}
			for _, name := range names {
				t.release(t.holdersOf(m, name)[0], m, name, true)
			}
		}
		t.empty(0, 0)
	}
}

func testCounters(t *tester) {
	a, b := t.session(), t.session()
	var x, s locks.ModeStats
	check := func(locksDelta, holdersDelta int, of *locks.ModeStats) {
		t.Helper()
		of.Locks += uint64(locksDelta)
		of.Holders += uint64(holdersDelta)
		t.counts(x, s)
	}
	t.get(a, locks.Exclusive, "x", 1)
	check(1, 1, &x)
	t.get(a, locks.Exclusive, "x", 1)
	check(0, 0, &x)
	t.refuse(b, "x")
	check(0, 0, &x)
	t.get(a, locks.Shared, "x", 1)
	check(1, 1, &s)
	t.get(b, locks.Shared, "x", 2)
	check(0, 1, &s)
	t.get(b, locks.Shared, "x", 2)
	check(0, 0, &s)
	t.get(b, locks.Exclusive, "y", 1)
	check(1, 1, &x)
	t.release(a, locks.Exclusive, "y", false)
	check(0, 0, &x)
	t.release(a, locks.Shared, "x", true)
	check(0, -1, &s)
	t.release(b, locks.Shared, "x", true)
	check(-1, -1, &s)
	t.release(b, locks.Exclusive, "y", true)
	check(-1, -1, &x)
	t.release(a, locks.Exclusive, "x", true)
	check(-1, -1, &x)
	t.empty(0, 0)
}

// testManyHolders lets the holders of one lock grow to each number up to 40 and
// leave in several orders, so whatever finds them changes on the way.
func testManyHolders(t *tester) {
	for n := 1; n <= 40; n++ {
		for _, order := range leavingOrders(n) {
			sessions := t.someSessions(n)
			for i, s := range sessions {
				t.get(s, locks.Shared, "x", i+1)
			}
			t.getAllAgain(sessions)
			left := slices.Clone(sessions)
			for _, i := range order {
				t.release(sessions[i], locks.Shared, "x", true)
				t.release(sessions[i], locks.Shared, "x", false)
				left = slices.DeleteFunc(left, func(s *locks.Session) bool { return s == sessions[i] })
				t.holders(locks.Shared, "x", left...)
				t.getAllAgain(left)
			}
			t.empty(0, 0)
		}
	}
}

func (t *tester) getAllAgain(holders []*locks.Session) {
	t.Helper()
	for _, s := range holders {
		t.get(s, locks.Shared, "x", len(holders))
	}
	t.inspect(locks.Shared, "x", len(holders))
}

// leavingOrders are: first in, first out; last in, first out; from the middle.
func leavingOrders(n int) [3][]int {
	var orders [3][]int
	for i := range n {
		orders[0] = append(orders[0], i)
		orders[1] = append(orders[1], n-1-i)
		orders[2] = slices.Insert(orders[2], i/2, i)
	}
	slices.Reverse(orders[2])
	return orders
}

func testManyLocks(t *tester) {
	const n = 20_000
	s, other := t.session(), t.session()
	name := func(i int) string { return fmt.Sprintf("lock/%d", i) }
	for i := range n {
		t.get(s, locks.Exclusive, name(i), 1)
	}
	full := locks.ModeStats{Locks: n, Holders: n}
	t.counts(full, locks.ModeStats{})
	for i := range n {
		t.refuse(other, name(i))
	}
	for i := 0; i < n; i += 2 {
		t.release(s, locks.Exclusive, name(i), true)
	}
	for i := range n {
		t.inspect(locks.Exclusive, name(i), i%2)
	}
	for i := 1; i < n; i += 2 {
		t.release(s, locks.Exclusive, name(i), true)
	}
	t.empty(0, 0)
}
