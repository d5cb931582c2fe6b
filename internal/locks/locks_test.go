package locks_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"lockd/internal/locks"
	"lockd/internal/locks/lockstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTable(t *testing.T) {
	lockstest.Run(t, func() lockstest.Table { return locks.New(locks.Limits{}) })
}

// The model must pass too: what judges the table is judged itself.
func TestModel(t *testing.T) {
	lockstest.Run(t, func() lockstest.Table { return lockstest.NewModel() })
}

func TestASessionIsCalledByItsNameOrElseItsAddress(t *testing.T) {
	s := locks.NewSession("127.0.0.1:4711")
	for _, tt := range []struct{ set, want string }{
		{"", "127.0.0.1:4711"}, {"web 1", "web 1"}, {"web 2", "web 2"}, {"", "127.0.0.1:4711"},
	} {
		s.SetName(tt.set)
		if s.Label() != tt.want || s.Addr() != "127.0.0.1:4711" {
			t.Errorf("named %q it is called %q at %q, want %q", tt.set, s.Label(), s.Addr(), tt.want)
		}
	}
}

func TestASessionKnowsHowManyLocksItHolds(t *testing.T) {
	table, s := locks.New(locks.Limits{}), locks.NewSession("a")
	want := func(n int) {
		t.Helper()
		if got := s.Holds(); got != n {
			t.Errorf("it holds %d, want %d", got, n)
		}
	}
	want(0)
	mustGet(t, table, s, locks.Exclusive, "x")
	mustGet(t, table, s, locks.Exclusive, "x")
	want(1)
	mustGet(t, table, s, locks.Shared, "x")
	want(2)
	table.Release(s, locks.Exclusive, []byte("x"))
	table.Release(s, locks.Exclusive, []byte("x"))
	want(1)
	table.Leave(s)
	want(0)
}

func mustGet(t testing.TB, table *locks.Table, s *locks.Session, m locks.Mode, name string) {
	t.Helper()
	if _, err := table.Get(s, m, []byte(name)); err != nil {
		t.Fatalf("get %q: %v", name, err)
	}
}

func wantError(t *testing.T, table *locks.Table, s *locks.Session, m locks.Mode, name string, want error) {
	t.Helper()
	if n, err := table.Get(s, m, []byte(name)); n != 0 || !errors.Is(err, want) {
		t.Fatalf("get %.20q: %d, %v; want %v", name, n, err, want)
	}
}

func TestASessionHoldsNoMoreThanItsLimit(t *testing.T) {
	table := locks.New(locks.Limits{SessionHolds: 2})
	a, b := locks.NewSession("a"), locks.NewSession("b")
	mustGet(t, table, a, locks.Exclusive, "x")
	mustGet(t, table, a, locks.Shared, "x") // both modes together
	before := table.Stats()
	wantError(t, table, a, locks.Exclusive, "y", locks.ErrSessionLimit)
	wantError(t, table, a, locks.Shared, "y", locks.ErrSessionLimit)
	if got := table.Stats(); got != before {
		t.Errorf("a refused get changed the counters from %+v to %+v", before, got)
	}
	mustGet(t, table, a, locks.Exclusive, "x") // held already
	mustGet(t, table, a, locks.Shared, "x")
	mustGet(t, table, b, locks.Shared, "x") // each session has its own
	mustGet(t, table, b, locks.Exclusive, "y")
	wantError(t, table, b, locks.Exclusive, "x", locks.ErrHeld) // what would be so without the limit too
	table.Release(a, locks.Shared, []byte("x"))
	mustGet(t, table, a, locks.Exclusive, "z")
	table.Leave(a)
	mustGet(t, table, a, locks.Exclusive, "x")
	mustGet(t, table, a, locks.Exclusive, "z")
}

func TestALoweredSessionLimitKeepsWhatIsHeld(t *testing.T) {
	table, s := locks.New(locks.Limits{}), locks.NewSession("a")
	for i := range 5 {
		mustGet(t, table, s, locks.Exclusive, fmt.Sprint(i))
	}
	table.SetLimits(locks.Limits{SessionHolds: 3})
	if s.Holds() != 5 || table.Stats().Exclusive.Locks != 5 {
		t.Errorf("of 5 locks, %d and %d are left", s.Holds(), table.Stats().Exclusive.Locks)
	}
	mustGet(t, table, s, locks.Exclusive, "4")
	for i := range 3 {
		wantError(t, table, s, locks.Exclusive, "new", locks.ErrSessionLimit)
		table.Release(s, locks.Exclusive, []byte(fmt.Sprint(i)))
	}
	mustGet(t, table, s, locks.Exclusive, "new")
	wantError(t, table, s, locks.Exclusive, "newer", locks.ErrSessionLimit)
	table.SetLimits(locks.Limits{})
	mustGet(t, table, s, locks.Exclusive, "newer")
}

// fill gets locks until the table is full, and returns their number.
func fill(t *testing.T, table *locks.Table, s *locks.Session, m locks.Mode) int {
	t.Helper()
	for i := range 1_000_000 {
		_, err := table.Get(s, m, fmt.Appendf(nil, "fill/%06d", i))
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
		table, a, b := locks.New(locks.Limits{Bytes: limit}), locks.NewSession("a"), locks.NewSession("b")
		n := fill(t, table, a, m)
		full := table.Stats()
		if n < 10 || full.Bytes > limit || full.Bytes < limit-limit/int64(n) {
			t.Fatalf("%d locks are %d bytes at a limit of %d", n, full.Bytes, limit)
		}
		wantError(t, table, b, locks.Exclusive, "another", locks.ErrTableFull)
		wantError(t, table, b, locks.Shared, "another", locks.ErrTableFull)
		if got := table.Stats(); got != full {
			t.Errorf("refused gets changed the counters from %+v to %+v", full, got)
		}
		mustGet(t, table, a, m, "fill/000000") // held already
		table.Release(a, m, []byte("fill/000000"))
		wantError(t, table, b, m, strings.Repeat("longer than what was released", 100), locks.ErrTableFull)
		mustGet(t, table, b, m, "other/00000")
		table.Leave(a)
		table.Leave(b)
		if got := table.Stats().Bytes; got != 0 {
			t.Errorf("an empty table counts %d bytes", got)
		}
	}
}

func TestHoldersOfOneLockCountForTheTablesLimit(t *testing.T) {
	table := locks.New(locks.Limits{Bytes: 10_000})
	for n := 0; ; n++ {
		before := table.Stats()
		got, err := table.Get(locks.NewSession("s"), locks.Shared, []byte("x"))
		if errors.Is(err, locks.ErrTableFull) && n > 10 {
			if after := table.Stats(); after != before {
				t.Errorf("a refused get changed the counters from %+v to %+v", before, after)
			}
			return
		}
		if err != nil || got != n+1 || n > 1000 {
			t.Fatalf("session %d: %d holders, %v", n, got, err)
		}
	}
}

func TestANameCountsWithItsLength(t *testing.T) {
	table, s := locks.New(locks.Limits{}), locks.NewSession("a")
	size := func(name string) int64 {
		mustGet(t, table, s, locks.Exclusive, name)
		defer table.Leave(s)
		return table.Stats().Bytes
	}
	empty, long := size(""), size(string(bytes.Repeat([]byte("x"), 5000)))
	if long-empty != 5000 || empty <= 0 {
		t.Errorf("the empty name counts %d bytes and one of 5000 counts %d", empty, long)
	}
}

func TestALoweredTableLimitKeepsWhatIsHeld(t *testing.T) {
	table, s := locks.New(locks.Limits{Bytes: 10_000}), locks.NewSession("a")
	n := fill(t, table, s, locks.Exclusive)
	before := table.Stats()
	table.SetLimits(locks.Limits{Bytes: 1000})
	if got := table.Stats(); got != before {
		t.Errorf("the counters changed from %+v to %+v", before, got)
	}
	mustGet(t, table, s, locks.Exclusive, "fill/000000")
	kept := n
	for ; kept > 0; kept-- {
		if _, err := table.Get(s, locks.Exclusive, []byte("new")); err == nil {
			break
		}
		table.Release(s, locks.Exclusive, fmt.Appendf(nil, "fill/%06d", kept-1))
	}
	if got := table.Stats().Bytes; got > 1000 || kept == 0 || kept == n {
		t.Errorf("with %d of %d locks, %d bytes, a new one was got", kept, n, got)
	}
}

func TestTheSizeOfAListingIsKnownBefore(t *testing.T) {
	if got := locks.ListBytes(locks.ModeStats{}); got != 0 {
		t.Errorf("a listing of nothing takes %d bytes", got)
	}
	const n = 50_000
	table, a, b := locks.New(locks.Limits{}), locks.NewSession("a"), locks.NewSession("b")
	for i := range n {
		name := fmt.Sprintf("some/lock/%d", i)
		mustGet(t, table, a, locks.Exclusive, name)
		mustGet(t, table, a, locks.Shared, name)
		mustGet(t, table, b, locks.Shared, name)
	}
	stats := table.Stats()
	for m, counts := range map[locks.Mode]locks.ModeStats{locks.Exclusive: stats.Exclusive, locks.Shared: stats.Shared} {
		want := allocated(func() { table.List(m) })
		if got := locks.ListBytes(counts); got < want*2/3 || got > want*3/2 {
			t.Errorf("mode %d: a listing that allocates %d bytes is said to take %d", m, want, got)
		}
	}
}
