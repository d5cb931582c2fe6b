// Package lockstest is what any implementation of the lock table must pass that
// a server is to speak for.
package lockstest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// A Table is what the server asks of a lock table.
type Table = server.Table

var modes = [...]locks.Mode{locks.Exclusive, locks.Shared}

// Run tests a table without limits. Each sub-test opens one of its own, which
// must be empty.
func Run(t *testing.T, open func() Table) {
	for _, test := range slices.Concat(
		holdingTests(), leavingTests(), listingTests(), queueTests(), waitingTests(), tryingTests(), tellingTests(),
		breakingTests(), concurrencyTests(),
	) {
		t.Run(test.name, func(t *testing.T) { test.run(&tester{T: t, table: open()}) })
	}
}

type subtest struct {
	name string
	run  func(t *tester)
}

// A tester asks one table and fails where the answer is not the one wanted. All
// but the tests of concurrency ask from one goroutine.
type tester struct {
	*testing.T
	table    Table
	now      time.Duration
	sessions int
	events   []Event // since they were last looked at
}

// An owner of a session remembers what it is told.
type owner struct {
	t               *tester
	granted, broken int
}

func (o *owner) Granted()               { o.granted++ }
func (o *owner) Break()                 { o.broken++ }
func (o *owner) Happened(e locks.Event) { o.t.events = append(o.t.events, EventOf(e)) }

func (t *tester) session() *locks.Session {
	t.sessions++
	return locks.NewSession(fmt.Sprintf("unix:%d", t.sessions), &owner{t: t})
}

func (t *tester) someSessions(n int) []*locks.Session {
	sessions := make([]*locks.Session, n)
	for i := range sessions {
		sessions[i] = t.session()
	}
	return sessions
}

// ask has s ask as level 1 does: neither does it wait nor mind who does.
func (t *tester) ask(s *locks.Session, m locks.Mode, name string) (locks.Result, error) {
	return t.table.Get(s, locks.Request{Mode: m, Name: []byte(name), Now: t.now})
}

// get wants s to be one of so many holders, and returns the token of its hold.
func (t *tester) get(s *locks.Session, m locks.Mode, name string, holders int) uint64 {
	t.Helper()
	r, err := t.ask(s, m, name)
	if err != nil || r.Token == 0 || r != (locks.Result{Holders: holders, Token: r.Token}) {
		t.Fatalf("get %s %q by %s: %+v, %v; want %d", modeWord(m), name, s.Addr(), r, err, holders)
	}
	return r.Token
}

// refuse wants s not to get the exclusive lock.
func (t *tester) refuse(s *locks.Session, name string) {
	t.Helper()
	if r, err := t.ask(s, locks.Exclusive, name); !errors.Is(err, locks.ErrHeld) || r.Token != 0 || r.Holder == nil || r.Holder == s {
		t.Fatalf("get %q by %s: %+v, %v; want ErrHeld", name, s.Addr(), r, err)
	}
}

func (t *tester) release(s *locks.Session, m locks.Mode, name string, want bool) {
	t.Helper()
	if got := t.table.Release(s, m, []byte(name), t.now); got != want {
		t.Fatalf("release %s %q by %s: %t", modeWord(m), name, s.Addr(), got)
	}
}

func (t *tester) leave(s *locks.Session) { t.table.Leave(s, t.now) }

func (t *tester) inspect(m locks.Mode, name string, want int) {
	t.Helper()
	if got := t.table.Inspect(m, []byte(name)); got != want {
		t.Fatalf("inspect %s %q: %d holders, want %d", modeWord(m), name, got, want)
	}
}

func (t *tester) holdersOf(m locks.Mode, name string) []*locks.Session {
	q := queryOf(m)
	q.Name, q.Exact = []byte(name), true
	return sessionsOf(slices.Collect(t.table.List(q)))
}

func (t *tester) holders(m locks.Mode, name string, want ...*locks.Session) {
	t.Helper()
	if got := t.holdersOf(m, name); !slices.Equal(got, want) {
		t.Fatalf("holders of %s %q: %s, want %s", modeWord(m), name, addrs(got), addrs(want))
	}
}

// counts wants the counters to be these, those of the names' bytes to be what a
// listing shows, and the table's bytes to be some where something is held and
// none else.
func (t *tester) counts(exclusive, shared locks.ModeStats) {
	t.Helper()
	exclusive.NameBytes, shared.NameBytes = t.nameBytes(locks.Exclusive), t.nameBytes(locks.Shared)
	got := t.table.Stats()
	if got.Exclusive != exclusive || got.Shared != shared {
		t.Fatalf("stats: %+v, want exclusive %+v, shared %+v", got, exclusive, shared)
	}
	if held := exclusive.Locks+shared.Locks > 0; held != (got.Bytes > 0) || got.Bytes < 0 {
		t.Fatalf("%d bytes are counted for %d locks", got.Bytes, exclusive.Locks+shared.Locks)
	}
	if waits := exclusive.Waiters+shared.Waiters > 0; waits != got.Waiting || !waits && got.WaitingSince != 0 {
		t.Fatalf("stats: %+v with %d waiters", got, exclusive.Waiters+shared.Waiters)
	}
}

func (t *tester) nameBytes(m locks.Mode) (n uint64) {
	for _, l := range t.listed(m) {
		n += uint64(len(l.name))
	}
	return n
}

// empty wants nothing to be held or waited for and the orphans to be these.
func (t *tester) empty(exclusiveOrphans, sharedOrphans uint64) {
	t.Helper()
	t.counts(locks.ModeStats{Orphans: exclusiveOrphans}, locks.ModeStats{Orphans: sharedOrphans})
	if all := slices.Collect(t.table.List(locks.Query{Exclusive: true, Shared: true, Waiters: true})); len(all) != 0 {
		t.Fatalf("%d holders and waiters are listed, want none", len(all))
	}
}

func modeWord(m locks.Mode) string {
	if m == locks.Shared {
		return "shared"
	}
	return "exclusive"
}

func addrs(sessions []*locks.Session) string {
	words := make([]string, len(sessions))
	for i, s := range sessions {
		words[i] = s.Addr()
	}
	return "[" + strings.Join(words, " ") + "]"
}
