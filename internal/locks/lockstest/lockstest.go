// Package lockstest is what any implementation of the lock table must pass that
// a server is to speak for.
package lockstest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// A Table is what the server asks of a lock table.
type Table = server.Table

var modes = [...]locks.Mode{locks.Exclusive, locks.Shared}

// Run tests a table without limits. Each sub-test opens one of its own, which
// must be empty.
func Run(t *testing.T, open func() Table) {
	for _, test := range slices.Concat(holdingTests(), leavingTests(), listingTests(), concurrencyTests()) {
		t.Run(test.name, func(t *testing.T) { test.run(&tester{T: t, table: open()}) })
	}
}

type subtest struct {
	name string
	run  func(t *tester)
}

// A tester asks one table and fails where the answer is not the one wanted.
type tester struct {
	*testing.T
	table    Table
	sessions int
}

func (t *tester) session() *locks.Session {
	t.sessions++
	return locks.NewSession(fmt.Sprintf("unix:%d", t.sessions))
}

func (t *tester) someSessions(n int) []*locks.Session {
	sessions := make([]*locks.Session, n)
	for i := range sessions {
		sessions[i] = t.session()
	}
	return sessions
}

// get wants s to be one of so many holders.
func (t *tester) get(s *locks.Session, m locks.Mode, name string, holders int) {
	t.Helper()
	if n, err := t.table.Get(s, m, []byte(name)); err != nil || n != holders {
		t.Fatalf("get %s %q by %s: %d, %v; want %d", modeWord(m), name, s.Addr(), n, err, holders)
	}
}

// refuse wants s not to get the exclusive lock.
func (t *tester) refuse(s *locks.Session, name string) {
	t.Helper()
	if n, err := t.table.Get(s, locks.Exclusive, []byte(name)); n != 0 || !errors.Is(err, locks.ErrHeld) {
		t.Fatalf("get %q by %s: %d, %v; want ErrHeld", name, s.Addr(), n, err)
	}
}

func (t *tester) release(s *locks.Session, m locks.Mode, name string, want bool) {
	t.Helper()
	if got := t.table.Release(s, m, []byte(name)); got != want {
		t.Fatalf("release %s %q by %s: %t", modeWord(m), name, s.Addr(), got)
	}
}

func (t *tester) inspect(m locks.Mode, name string, want int) {
	t.Helper()
	if got := t.table.Inspect(m, []byte(name)); got != want {
		t.Fatalf("inspect %s %q: %d holders, want %d", modeWord(m), name, got, want)
	}
}

func (t *tester) holders(m locks.Mode, name string, want ...*locks.Session) {
	t.Helper()
	if got := t.table.Holders(m, []byte(name)); !slices.Equal(got, want) {
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
}

func (t *tester) nameBytes(m locks.Mode) (n uint64) {
	for _, h := range t.table.List(m) {
		n += uint64(len(h.Name))
	}
	return n
}

// empty wants nothing to be held and the orphans to be these.
func (t *tester) empty(exclusiveOrphans, sharedOrphans uint64) {
	t.Helper()
	t.counts(locks.ModeStats{Orphans: exclusiveOrphans}, locks.ModeStats{Orphans: sharedOrphans})
	for _, m := range modes {
		if held := t.table.List(m); len(held) != 0 {
			t.Fatalf("%d %s locks are listed, want none", len(held), modeWord(m))
		}
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
