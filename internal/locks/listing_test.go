package locks_test

import (
	"fmt"
	"testing"

	"lockd/internal/locks"
)

func TestTheSizeOfAListingIsKnownBefore(t *testing.T) {
	if got := locks.ListBytes(locks.Stats{}, locks.Query{Exclusive: true, Shared: true, Waiters: true}); got != 0 {
		t.Errorf("a listing of nothing takes %d bytes", got)
	}
	const n = 20_000
	table, a, b := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil)
	for i := range n {
		name := fmt.Sprintf("some/lock/%d", i)
		mustGet(t, table, a, locks.Exclusive, name)
		mustGet(t, table, a, locks.Shared, name)
		mustGet(t, table, b, locks.Shared, name)
		mustWait(t, table, locks.NewSession("w", nil), locks.Exclusive, name)
		if i%5 == 0 {
			mustWait(t, table, locks.NewSession("w", nil), locks.Shared, name)
		}
	}
	stats := table.Stats()
	for _, q := range []locks.Query{
		{Exclusive: true},
		{Shared: true},
		{Exclusive: true, Shared: true},
		{Exclusive: true, Waiters: true},
		{Shared: true, Waiters: true},
		{Exclusive: true, Shared: true, Waiters: true},
	} {
		want := allocated(func() { goAlong(table, q) })
		if got := locks.ListBytes(stats, q); got < want*2/3 || got > want*3/2 {
			t.Errorf("%+v: a listing that allocates %d bytes is said to take %d", q, want, got)
		}
	}
}

// A listing by a prefix or of one lock may take as little as it finds, but no more
// than is told.
func TestAListingTakesNoMoreThanIsKnownBefore(t *testing.T) {
	const n = 20_000
	table, a := newTable(locks.Limits{}), locks.NewSession("a", nil)
	for i := range n {
		mustGet(t, table, a, locks.Exclusive, fmt.Sprintf("some/lock/%d", i))
	}
	q := locks.Query{Exclusive: true, Name: []byte("some/lock/1")}
	if took, told := allocated(func() { goAlong(table, q) }), locks.ListBytes(table.Stats(), q); took > told*3/2 {
		t.Errorf("a listing that is said to take %d bytes took %d", told, took)
	}
}

// goAlong lists, and keeps nothing.
func goAlong(table *locks.Table, q locks.Query) {
	for range table.List(q) {
	}
}
