package lockstest

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"lockd/internal/locks"
)

func listingTests() []subtest {
	return []subtest{
		{"holders stand in the order they got it", testHolderOrder},
		{"listings are sorted by the bytes of the names", testListOrder},
		{"listings show every holder in order", testListHolders},
		{"a listing stays what it was", testListIsACopy},
		{"appending to a part of a listing changes no other", testListIsClipped},
		{"a listing tells of each hold its token and since when", testListTokens},
		{"a listing has who waits behind who holds, in order", testListWaiters},
		{"who waits is listed only where asked for", testListWithoutWaiters},
		{"both modes of a name stand together, exclusive first", testListBothModes},
		{"a listing of no mode is empty", testListNoMode},
		{"a prefix chooses names by their first bytes", testListPrefix},
		{"an exact name chooses it alone", testListExact},
		{"a long queue is listed in order", testListLongQueue},
	}
}

// A heldLock is what a listing of holders tells of one lock.
type heldLock struct {
	name    string
	holders []*locks.Session
}

func held(name string, holders ...*locks.Session) heldLock { return heldLock{name, holders} }

// queryOf asks for the holders of a mode.
func queryOf(m locks.Mode) locks.Query {
	return locks.Query{Exclusive: m == locks.Exclusive, Shared: m == locks.Shared}
}

func sessionsOf(entries []locks.Entry) []*locks.Session {
	var sessions []*locks.Session
	for _, e := range entries {
		sessions = append(sessions, e.Session)
	}
	return sessions
}

// byLock puts together what a listing tells of each lock.
func byLock(entries []locks.Entry) []heldLock {
	var all []heldLock
	for _, e := range entries {
		if len(all) == 0 || all[len(all)-1].name != string(e.Name) {
			all = append(all, heldLock{name: string(e.Name)})
		}
		last := &all[len(all)-1]
		last.holders = append(last.holders, e.Session)
	}
	return all
}

// listed returns a mode's listing.
func (t *tester) listed(m locks.Mode) []heldLock {
	return byLock(slices.Collect(t.table.List(queryOf(m))))
}

// list wants a mode's listing to be this.
func (t *tester) list(m locks.Mode, want ...heldLock) {
	t.Helper()
	equalHeld(t, t.listed(m), want)
}

func equalHeld(t *tester, got, want []heldLock) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b heldLock) bool {
		return a.name == b.name && slices.Equal(a.holders, b.holders)
	}) {
		t.Fatalf("the listing is %s, want %s", listing(got), listing(want))
	}
}

func listing(all []heldLock) string {
	var text []byte
	for _, l := range all {
		text = fmt.Appendf(text, "%q:%s ", l.name, addrs(l.holders))
	}
	return string(text)
}

// entry is what is wanted of one line of a listing.
type entry struct {
	name    string
	mode    locks.Mode
	session *locks.Session
	token   uint64
	since   time.Duration
	limit   int
	waiting bool
}

func holder(m locks.Mode, name string, s *locks.Session, token uint64, since time.Duration) entry {
	return entry{name: name, mode: m, session: s, token: token, since: since}
}

func waiter(m locks.Mode, name string, s *locks.Session, limit int, since time.Duration) entry {
	return entry{name: name, mode: m, session: s, since: since, limit: limit, waiting: true}
}

func entryOf(e locks.Entry) entry {
	return entry{string(e.Name), e.Mode, e.Session, e.Token, e.Since, e.Max, e.Waiting}
}

func (e entry) String() string {
	return fmt.Sprintf("{%s %q %s token=%d since=%v max=%d waiting=%t}",
		modeWord(e.mode), e.name, e.session.Addr(), e.token, e.since, e.limit, e.waiting)
}

// entries wants the answer to a query to be this.
func (t *tester) entries(q locks.Query, want ...entry) {
	t.Helper()
	var got []entry
	for _, e := range slices.Collect(t.table.List(q)) {
		got = append(got, entryOf(e))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the answer to %+v is\n%v, want\n%v", q, got, want)
	}
}

func testHolderOrder(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	t.get(b, locks.Shared, "x", 1)
	t.get(a, locks.Shared, "x", 2)
	t.get(c, locks.Shared, "x", 3)
	t.holders(locks.Shared, "x", b, a, c)
	t.get(b, locks.Shared, "x", 3) // again: keeps its place
	t.holders(locks.Shared, "x", b, a, c)
	t.release(b, locks.Shared, "x", true)
	t.holders(locks.Shared, "x", a, c)
	t.get(b, locks.Shared, "x", 3) // anew: the last
	t.holders(locks.Shared, "x", a, c, b)
	t.release(c, locks.Shared, "x", true)
	t.holders(locks.Shared, "x", a, b)
	t.holders(locks.Exclusive, "x")
	t.holders(locks.Shared, "y")
}

func testListOrder(t *tester) {
	a := t.session()
	for _, m := range modes {
		var want []heldLock
		for i := range oddNames {
			// Some order that is not the sorted one; 7 and their number share no divisor.
			t.get(a, m, oddNames[i*7%len(oddNames)], 1)
			want = append(want, held(oddNames[i], a))
		}
		t.list(m, want...)
	}
}

func testListHolders(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	t.get(a, locks.Exclusive, "b", 1)
	t.get(b, locks.Exclusive, "a", 1)
	t.get(c, locks.Shared, "b", 1)
	t.get(b, locks.Shared, "b", 2)
	t.get(a, locks.Shared, "b", 3)
	t.get(b, locks.Shared, "", 1)
	t.list(locks.Exclusive, held("a", b), held("b", a))
	t.list(locks.Shared, held("", b), held("b", c, b, a))
	t.leave(b)
	t.list(locks.Exclusive, held("b", a))
	t.list(locks.Shared, held("b", c, a))
}

func testListIsACopy(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "abc", 1)
		t.get(a, m, "abd", 1)
		exact := queryOf(m)
		exact.Name, exact.Exact = []byte("abc"), true
		before, one := slices.Collect(t.table.List(queryOf(m))), slices.Collect(t.table.List(exact))
		copy(exact.Name, "xyz") // it was only lent
		t.leave(a)
		for _, name := range []string{"xyz", "xyy", "abc"} {
			t.get(b, m, name, 1)
		}
		equalHeld(t, byLock(before), []heldLock{held("abc", a), held("abd", a)})
		equalHeld(t, byLock(one), []heldLock{held("abc", a)})
	}
}

func testListIsClipped(t *tester) {
	sessions := t.someSessions(256)
	var want []heldLock
	for i, s := range sessions {
		name := string([]byte{'n', byte(i)})
		t.get(s, locks.Exclusive, name, 1)
		want = append(want, held(name, s))
	}
	got := slices.Collect(t.table.List(queryOf(locks.Exclusive)))
	for _, e := range got {
		_ = append(e.Name, '!')
	}
	equalHeld(t, byLock(got), want)
}

func testListTokens(t *tester) {
	a, b := t.session(), t.session()
	t.now = 1 * time.Second
	x := t.get(a, locks.Exclusive, "x", 1)
	t.now = 2 * time.Second
	first := t.get(a, locks.Shared, "x", 1)
	t.now = 3 * time.Second
	second := t.get(b, locks.Shared, "x", 2)
	t.now = 4 * time.Second
	t.get(a, locks.Shared, "x", 2) // again: it has it since it got it
	t.entries(queryOf(locks.Exclusive), holder(locks.Exclusive, "x", a, x, 1*time.Second))
	t.entries(queryOf(locks.Shared),
		holder(locks.Shared, "x", a, first, 2*time.Second), holder(locks.Shared, "x", b, second, 3*time.Second))
	t.release(a, locks.Exclusive, "x", true)
	t.now = 5 * time.Second
	x = t.get(b, locks.Exclusive, "x", 1)
	t.entries(queryOf(locks.Exclusive), holder(locks.Exclusive, "x", b, x, 5*time.Second))
}

func testListWaiters(t *tester) {
	s := t.someSessions(5)
	first := t.get(s[0], locks.Shared, "x", 1)
	second := t.get(s[3], locks.Shared, "x", 2)
	for i, of := range []struct{ session, limit int }{{4, 2}, {1, 9}, {2, 0}} {
		t.now = time.Duration(i+1) * time.Second
		t.wait(s[of.session], locks.Shared, "x", of.limit)
	}
	q := locks.Query{Shared: true, Waiters: true}
	t.entries(q, holder(locks.Shared, "x", s[0], first, 0), holder(locks.Shared, "x", s[3], second, 0),
		waiter(locks.Shared, "x", s[4], 2, 1*time.Second), waiter(locks.Shared, "x", s[1], 9, 2*time.Second),
		waiter(locks.Shared, "x", s[2], 0, 3*time.Second))
	t.now = 4 * time.Second
	t.withdraw(s[1], locks.Result{Holders: 2, Queue: 2, Waited: 2 * time.Second})
	t.release(s[0], locks.Shared, "x", true)
	third, fourth := t.granted(s[4], 2, 3*time.Second), t.granted(s[2], 3, 1*time.Second)
	t.entries(q, holder(locks.Shared, "x", s[3], second, 0),
		holder(locks.Shared, "x", s[4], third, 4*time.Second), holder(locks.Shared, "x", s[2], fourth, 4*time.Second))
}

func testListWithoutWaiters(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		token := t.get(a, m, "x", 1)
		t.wait(b, m, "x", 1)
		want := []entry{holder(m, "x", a, token, 0)}
		q := queryOf(m)
		t.entries(q, want...)
		q.Name, q.Exact = []byte("x"), true
		t.entries(q, want...)
		q.Waiters = true
		want = append(want, waiter(m, "x", b, 1, 0))
		t.entries(q, want...)
		q.Name, q.Exact = nil, false
		t.entries(q, want...)
		t.leave(b)
	}
}

func testListBothModes(t *tester) {
	a, b, c := t.session(), t.session(), t.session()
	y := t.get(a, locks.Shared, "y", 1)
	x1, x2 := t.get(a, locks.Shared, "x", 1), t.get(b, locks.Shared, "x", 2)
	x := t.get(b, locks.Exclusive, "x", 1)
	z := t.get(b, locks.Exclusive, "z", 1)
	t.wait(c, locks.Exclusive, "x", 0)
	all := locks.Query{Exclusive: true, Shared: true, Waiters: true}
	onX := []entry{
		holder(locks.Exclusive, "x", b, x, 0), waiter(locks.Exclusive, "x", c, 0, 0),
		holder(locks.Shared, "x", a, x1, 0), holder(locks.Shared, "x", b, x2, 0),
	}
	t.entries(all, append(slices.Clone(onX), holder(locks.Shared, "y", a, y, 0), holder(locks.Exclusive, "z", b, z, 0))...)
	all.Name, all.Exact = []byte("x"), true
	t.entries(all, onX...)
}

func testListNoMode(t *tester) {
	a := t.session()
	for _, m := range modes {
		t.get(a, m, "x", 1)
	}
	t.entries(locks.Query{Waiters: true})
	t.entries(locks.Query{Waiters: true, Name: []byte("x"), Exact: true})
}

func testListPrefix(t *tester) {
	a := t.session()
	for _, name := range oddNames {
		t.get(a, locks.Exclusive, name, 1)
		t.get(a, locks.Shared, name, 1)
	}
	for _, prefix := range append(oddNames[:], "ab", "aaa", "map", "\xc3", "\xe4\xb8") {
		var want []heldLock
		for _, name := range oddNames {
			if bytes.HasPrefix([]byte(name), []byte(prefix)) {
				want = append(want, held(name, a))
			}
		}
		for _, m := range modes {
			q := queryOf(m)
			q.Name = []byte(prefix)
			equalHeld(t, byLock(slices.Collect(t.table.List(q))), want)
		}
	}
}

func testListExact(t *tester) {
	a := t.session()
	for i, name := range oddNames {
		for j, other := range oddNames {
			for _, m := range modes {
				q := queryOf(m)
				q.Name, q.Exact = []byte(other), true
				if got := slices.Collect(t.table.List(q)); len(got) != map[bool]int{true: 1}[j < i] {
					t.Fatalf("of %q, which is held: %t, there are %d entries", other, j < i, len(got))
				}
			}
		}
		t.get(a, locks.Exclusive, name, 1)
		t.get(a, locks.Shared, name, 1)
	}
}

func testListLongQueue(t *tester) {
	sessions := t.someSessions(1000)
	for _, m := range modes {
		token := t.get(sessions[0], m, "x", 1)
		want := []entry{holder(m, "x", sessions[0], token, t.now)}
		for _, s := range sessions[1:] {
			t.now += time.Second
			t.wait(s, m, "x", 1)
			want = append(want, waiter(m, "x", s, 1, t.now))
		}
		q := queryOf(m)
		q.Waiters = true
		t.entries(q, want...)
		q.Name, q.Exact = []byte("x"), true
		t.entries(q, want...)
		for _, s := range slices.Backward(sessions) { // so that nobody is granted it
			t.leave(s)
		}
	}
}
