package lockstest

import (
	"bytes"
	"slices"
	"sync"

	"lockd/internal/locks"
)

// A Model is the lock table as one would explain it: a map of names to their
// holders, under one mutex. It is slow and obvious, and stands beside a real
// table in tests to say what is right.
type Model struct {
	// SessionHolds is [locks.Limits.SessionHolds].
	SessionHolds int

	mu      sync.Mutex
	held    [len(modes)]map[string][]*locks.Session
	orphans [len(modes)]uint64
}

// NewModel returns an empty model without limits.
func NewModel() *Model {
	m := new(Model)
	for i := range m.held {
		m.held[i] = make(map[string][]*locks.Session)
	}
	return m
}

// Get does what [locks.Table.Get] does, but it knows no limit of bytes.
func (t *Model) Get(s *locks.Session, m locks.Mode, name []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	holders := t.held[m][string(name)]
	switch {
	case slices.Contains(holders, s):
		return len(holders), nil
	case m == locks.Exclusive && len(holders) > 0:
		return 0, locks.ErrHeld
	case t.SessionHolds > 0 && t.holds(s) >= t.SessionHolds:
		return 0, locks.ErrSessionLimit
	}
	t.held[m][string(name)] = append(holders, s)
	return len(holders) + 1, nil
}

// Release does what [locks.Table.Release] does.
func (t *Model) Release(s *locks.Session, m locks.Mode, name []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.release(s, m, string(name))
}

func (t *Model) release(s *locks.Session, m locks.Mode, name string) bool {
	holders := t.held[m][name]
	i := slices.Index(holders, s)
	if i < 0 {
		return false
	}
	t.held[m][name] = slices.Delete(holders, i, i+1)
	if len(holders) == 1 {
		delete(t.held[m], name)
	}
	return true
}

// Leave does what [locks.Table.Leave] does.
func (t *Model) Leave(s *locks.Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range modes {
		for name := range t.held[m] {
			if t.release(s, m, name) {
				t.orphans[m]++
			}
		}
	}
}

// Holds returns the number of locks that s holds.
func (t *Model) Holds(s *locks.Session) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holds(s)
}

func (t *Model) holds(s *locks.Session) (n int) {
	for _, held := range t.held {
		for _, holders := range held {
			if slices.Contains(holders, s) {
				n++
			}
		}
	}
	return n
}

// Inspect does what [locks.Table.Inspect] does.
func (t *Model) Inspect(m locks.Mode, name []byte) int { return len(t.Holders(m, name)) }

// Holders does what [locks.Table.Holders] does.
func (t *Model) Holders(m locks.Mode, name []byte) []*locks.Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.held[m][string(name)])
}

// List does what [locks.Table.List] does.
func (t *Model) List(m locks.Mode) []locks.Held {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []locks.Held
	for name, holders := range t.held[m] {
		all = append(all, locks.Held{Name: []byte(name), Holders: slices.Clip(slices.Clone(holders))})
	}
	slices.SortFunc(all, func(a, b locks.Held) int { return bytes.Compare(a.Name, b.Name) })
	return all
}

// Stats counts everything anew. Bytes is only the names' and one for each hold:
// what a real table needs is its own affair.
func (t *Model) Stats() locks.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	var stats locks.Stats
	for _, m := range modes {
		of := locks.ModeStats{Locks: uint64(len(t.held[m])), Orphans: t.orphans[m]}
		for name, holders := range t.held[m] {
			of.NameBytes += uint64(len(name))
			of.Holders += uint64(len(holders))
			stats.Bytes += int64(len(name) + len(holders))
		}
		if m == locks.Exclusive {
			stats.Exclusive = of
		} else {
			stats.Shared = of
		}
	}
	return stats
}
