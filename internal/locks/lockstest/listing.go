package lockstest

import (
	"bytes"
	"slices"

	"lockd/internal/locks"
)

func listingTests() []subtest {
	return []subtest{
		{"holders stand in the order they got it", testHolderOrder},
		{"listings are sorted by the bytes of the names", testListOrder},
		{"listings show every holder in order", testListHolders},
		{"a listing stays what it was", testListIsACopy},
		{"appending to a part of a listing changes no other", testListIsClipped},
	}
}

func held(name string, holders ...*locks.Session) locks.Held {
	return locks.Held{Name: []byte(name), Holders: holders}
}

// list wants a mode's listing to be this.
func (t *tester) list(m locks.Mode, want ...locks.Held) {
	t.Helper()
	equalHeld(t, t.table.List(m), want)
}

func equalHeld(t *tester, got, want []locks.Held) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b locks.Held) bool {
		return bytes.Equal(a.Name, b.Name) && slices.Equal(a.Holders, b.Holders)
	}) {
		t.Fatalf("the listing is %s, want %s", listing(got), listing(want))
	}
}

func listing(all []locks.Held) string {
	var text []byte
	for _, h := range all {
		text = append(text, '"')
		text = append(text, h.Name...)
		text = append(text, "\":"...)
		text = append(text, addrs(h.Holders)...)
		text = append(text, ' ')
	}
	return string(text)
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
		var want []locks.Held
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
	t.table.Leave(b)
	t.list(locks.Exclusive, held("b", a))
	t.list(locks.Shared, held("b", c, a))
}

func testListIsACopy(t *tester) {
	a, b := t.session(), t.session()
	for _, m := range modes {
		t.get(a, m, "abc", 1)
		t.get(a, m, "abd", 1)
		before, holders := t.table.List(m), t.table.Holders(m, []byte("abc"))
		t.table.Leave(a)
		for _, name := range []string{"xyz", "xyy", "abc"} {
			t.get(b, m, name, 1)
		}
		equalHeld(t, before, []locks.Held{held("abc", a), held("abd", a)})
		if !slices.Equal(holders, []*locks.Session{a}) {
			t.Fatalf("the holders became %s", addrs(holders))
		}
	}
}

func testListIsClipped(t *tester) {
	sessions := t.someSessions(256)
	var want []locks.Held
	for i, s := range sessions {
		name := string([]byte{'n', byte(i)})
		t.get(s, locks.Exclusive, name, 1)
		want = append(want, held(name, s))
	}
	got := t.table.List(locks.Exclusive)
	for _, h := range got {
		_ = append(h.Name, '!')
		_ = append(h.Holders, nil)
	}
	equalHeld(t, got, want)
}
