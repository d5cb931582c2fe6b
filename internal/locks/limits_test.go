package locks_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"lockd/internal/locks"
)

func TestASessionHoldsNoMoreThanItsLimit(t *testing.T) {
	table := newTable(locks.Limits{SessionHolds: 2})
	a, b := locks.NewSession("a", nil), locks.NewSession("b", nil)
	mustGet(t, table, a, locks.Exclusive, "x")
	mustGet(t, table, a, locks.Shared, "x") // both modes together
	before := table.Stats()
	wantError(t, table, a, request(locks.Exclusive, []byte("y")), locks.ErrSessionLimit)
	wantError(t, table, a, request(locks.Shared, []byte("y")), locks.ErrSessionLimit)
	if got := table.Stats(); got != before {
		t.Errorf("a refused get changed the counters from %+v to %+v", before, got)
	}
	mustGet(t, table, a, locks.Exclusive, "x") // held already
	mustGet(t, table, a, locks.Shared, "x")
	mustGet(t, table, b, locks.Shared, "x") // each session has its own
	mustGet(t, table, b, locks.Exclusive, "y")
	wantError(t, table, b, request(locks.Exclusive, []byte("x")), locks.ErrHeld) // what would be so without the limit too
	table.Release(a, locks.Shared, []byte("x"), 0)
	mustGet(t, table, a, locks.Exclusive, "z")
	table.Leave(a, 0)
	mustGet(t, table, a, locks.Exclusive, "x")
	mustGet(t, table, a, locks.Exclusive, "z")
}

func TestALoweredSessionLimitKeepsWhatIsHeld(t *testing.T) {
	table, s := newTable(locks.Limits{}), locks.NewSession("a", nil)
	for i := range 5 {
		mustGet(t, table, s, locks.Exclusive, fmt.Sprint(i))
	}
	table.SetLimits(locks.Limits{SessionHolds: 3})
	if s.Holds() != 5 || table.Stats().Exclusive.Locks != 5 {
		t.Errorf("of 5 locks, %d and %d are left", s.Holds(), table.Stats().Exclusive.Locks)
	}
	mustGet(t, table, s, locks.Exclusive, "4")
	for i := range 3 {
		wantError(t, table, s, request(locks.Exclusive, []byte("new")), locks.ErrSessionLimit)
		table.Release(s, locks.Exclusive, []byte(fmt.Sprint(i)), 0)
	}
	mustGet(t, table, s, locks.Exclusive, "new")
	wantError(t, table, s, request(locks.Exclusive, []byte("newer")), locks.ErrSessionLimit)
	table.SetLimits(locks.Limits{})
	mustGet(t, table, s, locks.Exclusive, "newer")
}

// fill gets locks until the table is full, and returns their number.
func fill(t *testing.T, table *locks.Table, s *locks.Session, m locks.Mode) int {
	t.Helper()
	for i := range 1_000_000 {
		_, err := table.Get(s, request(m, fmt.Appendf(nil, "fill/%06d", i)))
		if errors.Is(err, locks.ErrTableFull) {
			return i
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the table is never full")
	return 0
}

func TestTheTableGrowsNoLargerThanItsLimit(t *testing.T) {
	const limit = 10_000
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		table, a, b := newTable(locks.Limits{Bytes: limit}), locks.NewSession("a", nil), locks.NewSession("b", nil)
		n := fill(t, table, a, m)
		full := table.Stats()
		if n < 10 || full.Bytes > limit || full.Bytes < limit-limit/int64(n) {
			t.Fatalf("%d locks are %d bytes at a limit of %d", n, full.Bytes, limit)
		}
		wantError(t, table, b, request(m, []byte("another/000")), locks.ErrTableFull) // as long as the others
		wantError(t, table, b, request(locks.Shared, []byte("another/000")), locks.ErrTableFull)
		if got := table.Stats(); got != full {
			t.Errorf("refused gets changed the counters from %+v to %+v", full, got)
		}
		mustGet(t, table, a, m, "fill/000000") // held already
		table.Release(a, m, []byte("fill/000000"), 0)
		wantError(t, table, b, request(m, []byte(strings.Repeat("longer than what was released", 100))), locks.ErrTableFull)
		mustGet(t, table, b, m, "other/00000")
		table.Leave(a, 0)
		table.Leave(b, 0)
		if got := table.Stats().Bytes; got != 0 {
			t.Errorf("an empty table counts %d bytes", got)
		}
	}
}

func TestHoldersOfOneLockCountForTheTablesLimit(t *testing.T) {
	table := newTable(locks.Limits{Bytes: 10_000})
	for n := 0; ; n++ {
		before := table.Stats()
		got, err := table.Get(locks.NewSession("s", nil), request(locks.Shared, []byte("x")))
		if errors.Is(err, locks.ErrTableFull) && n > 10 {
			if after := table.Stats(); after != before {
				t.Errorf("a refused get changed the counters from %+v to %+v", before, after)
			}
			return
		}
		if err != nil || got.Holders != n+1 || n > 1000 {
			t.Fatalf("session %d: %+v, %v", n, got, err)
		}
	}
}

func TestANameCountsWithItsLength(t *testing.T) {
	table, s := newTable(locks.Limits{}), locks.NewSession("a", nil)
	size := func(name string) int64 {
		mustGet(t, table, s, locks.Exclusive, name)
		defer table.Leave(s, 0)
		return table.Stats().Bytes
	}
	empty, long := size(""), size(string(bytes.Repeat([]byte("x"), 5000)))
	if long-empty != 5000 || empty <= 0 {
		t.Errorf("the empty name counts %d bytes and one of 5000 counts %d", empty, long)
	}
}

func TestALoweredTableLimitKeepsWhatIsHeld(t *testing.T) {
	table, s := newTable(locks.Limits{Bytes: 10_000}), locks.NewSession("a", nil)
	n := fill(t, table, s, locks.Exclusive)
	before := table.Stats()
	table.SetLimits(locks.Limits{Bytes: 1000})
	before.MaxBytes = 1000
	if got := table.Stats(); got != before {
		t.Errorf("the counters changed from %+v to %+v", before, got)
	}
	mustGet(t, table, s, locks.Exclusive, "fill/000000")
	kept := n
	for ; kept > 0; kept-- {
		if _, err := table.Get(s, request(locks.Exclusive, []byte("new"))); err == nil {
			break
		}
		table.Release(s, locks.Exclusive, fmt.Appendf(nil, "fill/%06d", kept-1), 0)
	}
	if got := table.Stats().Bytes; got > 1000 || kept == 0 || kept == n {
		t.Errorf("with %d of %d locks, %d bytes, a new one was got", kept, n, got)
	}
}

func TestASessionAtItsLimitDoesNotWait(t *testing.T) {
	table := newTable(locks.Limits{SessionHolds: 2})
	a, b, c := locks.NewSession("a", nil), locks.NewSession("b", nil), locks.NewSession("c", nil)
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		mustGet(t, table, a, m, "x")
		mustGet(t, table, b, m, "1")
	}
	before := table.Stats()
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		wantError(t, table, b, waiting(m, "x"), locks.ErrSessionLimit)
		wantError(t, table, b, waiting(m, "free"), locks.ErrSessionLimit)
	}
	if got := table.Stats(); got != before {
		t.Errorf("refused waits changed the counters from %+v to %+v", before, got)
	}
	if r, err := table.Get(b, waiting(locks.Exclusive, "1")); err != nil || r.Token == 0 { // held already
		t.Errorf("asked again: %+v, %v", r, err)
	}
	// A try is told what it would be without the limit too.
	try := waiting(locks.Exclusive, "x")
	try.Queue = locks.HonourQueue
	wantError(t, table, b, try, locks.ErrHeld)
	mustWait(t, table, c, locks.Exclusive, "x")
	wantError(t, table, b, try, locks.ErrQueue)
}

func TestASessionBelowItsLimitWaitsAndIsGranted(t *testing.T) {
	table := newTable(locks.Limits{SessionHolds: 2})
	a, b := locks.NewSession("a", nil), locks.NewSession("b", nil)
	mustGet(t, table, a, locks.Exclusive, "x")
	mustGet(t, table, b, locks.Exclusive, "y")
	mustWait(t, table, b, locks.Exclusive, "x")
	table.Leave(a, 0)
	mustGet(t, table, b, locks.Exclusive, "ends the wait")
	if n := b.Holds(); n != 2 {
		t.Errorf("it holds %d locks, want 2", n)
	}
	wantError(t, table, b, request(locks.Exclusive, []byte("z")), locks.ErrSessionLimit)
}

func TestALoweredLimitRefusesNobodyWhoWaits(t *testing.T) {
	table := newTable(locks.Limits{})
	a, b := locks.NewSession("a", nil), locks.NewSession("b", nil)
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		mustGet(t, table, b, m, "1")
		mustGet(t, table, a, m, "x")
		mustWait(t, table, b, m, "x")
		table.SetLimits(locks.Limits{SessionHolds: 1, Bytes: 1})
		table.Release(a, m, []byte("x"), 0)
		if r, err := table.Get(b, locks.Request{}); err != nil || r.Token == 0 {
			t.Errorf("mode %d: the wait ends with %+v, %v", m, r, err)
		}
		wantError(t, table, a, waiting(m, "x"), locks.ErrTableFull)
		wantError(t, table, b, waiting(m, "y"), locks.ErrSessionLimit)
		table.Leave(b, 0)
		table.SetLimits(locks.Limits{})
	}
}

// crowd has sessions wait for x until the table is full, and returns them.
func crowd(t *testing.T, table *locks.Table, m locks.Mode) []*locks.Session {
	t.Helper()
	var sessions []*locks.Session
	for range 1000 {
		r := waiting(m, "x")
		if len(sessions) > 0 {
			r.Max = 0
		}
		s := locks.NewSession("s", nil)
		if _, err := table.Get(s, r); errors.Is(err, locks.ErrTableFull) {
			return sessions
		} else if !errors.Is(err, locks.ErrWaiting) {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
	}
	t.Fatal("the table is never full")
	return nil
}

func TestWaitersCountForTheTablesLimit(t *testing.T) {
	const limit = 10_000
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		table, a := newTable(locks.Limits{Bytes: limit}), locks.NewSession("a", nil)
		mustGet(t, table, a, m, "x")
		sessions := crowd(t, table, m)
		full := table.Stats()
		if n := len(sessions); n < 10 || full.Bytes > limit || full.Bytes < limit-limit/int64(n) {
			t.Fatalf("%d waiters are %d bytes at a limit of %d", n, full.Bytes, limit)
		}
		wantError(t, table, locks.NewSession("s", nil), waiting(m, "x"), locks.ErrTableFull)
		wantError(t, table, locks.NewSession("s", nil), request(m, []byte(strings.Repeat("y", limit))), locks.ErrTableFull)
		if got := table.Stats(); got != full {
			t.Errorf("refused requests changed the counters from %+v to %+v", full, got)
		}
		mustGet(t, table, a, m, "x") // held already
		wantHandedOver(t, table, a, m, sessions, limit)
	}
}

// wantHandedOver wants a lock to go to all who wait for it, whether or not the
// table is full, and that to make the table no larger.
func wantHandedOver(t *testing.T, table *locks.Table, holder *locks.Session, m locks.Mode, sessions []*locks.Session, limit int64) {
	t.Helper()
	table.Release(holder, m, []byte("x"), 0)
	for i, s := range sessions {
		if r, err := table.Get(s, locks.Request{}); err != nil || r.Token == 0 {
			t.Fatalf("waiter %d of %d: %+v, %v", i, len(sessions), r, err)
		}
		if got := table.Stats().Bytes; got > limit {
			t.Fatalf("after grant %d, %d bytes at a limit of %d", i, got, limit)
		}
		if m == locks.Exclusive {
			table.Release(s, m, []byte("x"), 0)
		}
	}
	for _, s := range sessions {
		table.Leave(s, 0)
	}
	if got := table.Stats().Bytes; got != 0 {
		t.Errorf("an empty table counts %d bytes", got)
	}
}
