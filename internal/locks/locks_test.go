package locks_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"lockd/internal/locks"
	"lockd/internal/locks/lockstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTable(t *testing.T) {
	lockstest.Run(t, func() lockstest.Table { return newTable(locks.Limits{}) })
}

// The model must pass too: what judges the table is judged itself.
func TestModel(t *testing.T) {
	lockstest.Run(t, func() lockstest.Table { return lockstest.NewModel() })
}

// newTable returns a table whose first token is 1.
func newTable(limits locks.Limits) *locks.Table { return locks.New(limits, locks.NewTokens(0)) }

// request is what level 1 asks, at the very first moment.
func request(m locks.Mode, name []byte) locks.Request { return locks.Request{Mode: m, Name: name} }

// waiting is a request of level 2 that waits for the lock's only place.
func waiting(m locks.Mode, name string) locks.Request {
	return locks.Request{Mode: m, Name: []byte(name), Max: 1, Queue: locks.JoinQueue}
}

func mustGet(t testing.TB, table *locks.Table, s *locks.Session, m locks.Mode, name string) {
	t.Helper()
	if _, err := table.Get(s, request(m, []byte(name))); err != nil {
		t.Fatalf("get %q: %v", name, err)
	}
}

func mustWait(t testing.TB, table *locks.Table, s *locks.Session, m locks.Mode, name string) {
	t.Helper()
	if _, err := table.Get(s, waiting(m, name)); !errors.Is(err, locks.ErrWaiting) {
		t.Fatalf("wait for %q: %v", name, err)
	}
}

func wantError(t *testing.T, table *locks.Table, s *locks.Session, r locks.Request, want error) {
	t.Helper()
	if got, err := table.Get(s, r); got.Token != 0 || !errors.Is(err, want) {
		t.Fatalf("get %.20q: %+v, %v; want %v", r.Name, got, err, want)
	}
}

func TestASessionIsCalledByItsNameOrElseItsAddress(t *testing.T) {
	s := locks.NewSession("127.0.0.1:4711", nil)
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
	table, s := newTable(locks.Limits{}), locks.NewSession("a", nil)
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
	table.Release(s, locks.Exclusive, []byte("x"), 0)
	table.Release(s, locks.Exclusive, []byte("x"), 0)
	want(1)
	table.Leave(s, 0)
	want(0)
}

func TestASessionKnowsHowManyLocksItWasGranted(t *testing.T) {
	table, a, b := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil)
	mustGet(t, table, a, locks.Exclusive, "x")
	mustGet(t, table, b, locks.Exclusive, "y")
	mustWait(t, table, b, locks.Exclusive, "x")
	mustGet(t, table, a, locks.Exclusive, "z")
	table.Leave(a, 0)
	mustGet(t, table, b, locks.Exclusive, "ends the wait")
	if a.Holds() != 0 || b.Holds() != 2 {
		t.Errorf("who left holds %d and who waited %d, want 0 and 2", a.Holds(), b.Holds())
	}
}

func TestASessionKnowsThatItsWaitIsGranted(t *testing.T) {
	table, a, b, c := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil), locks.NewSession("c", nil)
	want := func(wantB, wantC bool) {
		t.Helper()
		if b.Granted() != wantB || c.Granted() != wantC {
			t.Errorf("granted: %t and %t, want %t and %t", b.Granted(), c.Granted(), wantB, wantC)
		}
	}
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		mustGet(t, table, a, m, "x")
		mustGet(t, table, b, m, "y") // a lock got at once is no wait granted
		want(false, false)
		mustWait(t, table, b, m, "x")
		mustWait(t, table, c, m, "x")
		want(false, false)
		table.Release(a, m, []byte("x"), 0)
		want(true, false)
		mustGet(t, table, b, m, "ends the wait")
		want(false, false)
		table.Leave(b, 0)
		want(false, true)
		table.Leave(c, 0)
		want(false, false)
		mustGet(t, table, a, m, "x")
		mustWait(t, table, b, m, "x")
		wantError(t, table, b, locks.Request{}, locks.ErrQueue)
		want(false, false)
		table.Leave(a, 0)
	}
}

func TestWhoseMaximumIsBelowNoneHasNoMaximum(t *testing.T) {
	table, a, b := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil)
	mustGet(t, table, a, locks.Shared, "x")
	r := waiting(locks.Shared, "x")
	r.Max = -1
	if got, err := table.Get(b, r); err != nil || got.Holders != 2 {
		t.Errorf("beside one holder: %+v, %v", got, err)
	}
	table.Leave(b, 0)
	mustWait(t, table, b, locks.Shared, "x")
	c := locks.NewSession("c", nil)
	if got, err := table.Get(c, r); !errors.Is(err, locks.ErrWaiting) {
		t.Errorf("behind one who waits: %+v, %v", got, err)
	}
	table.Leave(a, 0)
	if got, err := table.Get(c, r); err != nil || got.Holders != 2 {
		t.Errorf("behind one who has waited: %+v, %v", got, err)
	}
	table.Leave(b, 0)
	table.Leave(c, 0)
	if got := table.Stats(); got.Bytes != 0 || got.Waiting {
		t.Errorf("when all have left: %+v", got)
	}
}

func TestASessionHasTheOwnerItWasGiven(t *testing.T) {
	owner := new(noOwner)
	if got := locks.NewSession("a", owner).Owner(); got != owner {
		t.Errorf("its owner is %v", got)
	}
	if locks.NewSession("a", nil).Owner() == nil {
		t.Error("without an owner, it has none that could be told anything")
	}
}

type noOwner struct{ _ int }

func (*noOwner) Granted()             {}
func (*noOwner) Break()               {}
func (*noOwner) Happened(locks.Event) {}
