// Package locks is the lock table: who holds what, and how many do.
//
// A [Table] is cut into shards, each a mutex over an index of its locks and
// their counters. A [Session] stands for one client connection; it keeps the
// list of what it holds, so that its leaving costs what it held and no more.
// Exclusive and shared locks are two name spaces served by one code: an
// exclusive lock is one with room for a single holder.
//
// The shard mutex is a leaf: under it there is no log, no channel, no second
// shard, and no work that grows with anything but that shard.
package locks

import (
	"errors"
	"hash/maphash"
	"sync/atomic"
)

// Mode tells the two name spaces apart.
type Mode uint8

// The modes.
const (
	Exclusive Mode = iota // one holder
	Shared                // any number of holders, counted
	numModes
)

// Why [Table.Get] gives nothing.
var (
	ErrHeld         = errors.New("lock is held by another session")
	ErrSessionLimit = errors.New("session holds as many locks as it may")
	ErrTableFull    = errors.New("lock table is full")
)

// Limits bound what clients can make the table grow to. Zero means no limit.
type Limits struct {
	SessionHolds int   // locks that one session may hold, both modes together
	Bytes        int64 // names and bookkeeping of all locks and their holders
}

// numShards is a power of two, large enough that two cores seldom meet on one
// shard and small enough that reading all counters takes a few microseconds.
const numShards = 256

// A Table holds the locks of one server. Its methods may be called from any
// goroutine, but for one session from one goroutine at a time.
type Table struct {
	seed   maphash.Seed
	limits atomic.Pointer[Limits]
	bytes  atomic.Int64
	shards [numShards]shard
}

// New returns an empty table.
func New(limits Limits) *Table {
	t := &Table{seed: maphash.MakeSeed()}
	t.SetLimits(limits)
	return t
}

// SetLimits replaces the limits. What is held already stays, over a lowered
// limit too.
func (t *Table) SetLimits(limits Limits) { t.limits.Store(&limits) }

// Get makes s a holder of the lock and returns the number of holders, s
// included. A lock that s holds already is got again and not counted twice.
// Otherwise the error is [ErrHeld], [ErrSessionLimit] or [ErrTableFull].
// Name is copied.
func (t *Table) Get(s *Session, m Mode, name []byte) (holders int, err error) {
	limits := t.limits.Load()
	hash, sh := t.find(m, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	l := sh.lookup(hash, m, name)
	if l != nil {
		if sh.holdOf(l, s) != nil {
			return l.holders.len, nil
		}
		if m == Exclusive {
			return 0, ErrHeld
		}
	}
	if limits.SessionHolds > 0 && s.holds.len >= limits.SessionHolds {
		return 0, ErrSessionLimit
	}
	size := holdBytes
	if l == nil {
		size = lockBytes + int64(len(name))
	}
	if used := t.bytes.Add(size); limits.Bytes > 0 && used > limits.Bytes {
		t.bytes.Add(-size)
		return 0, ErrTableFull
	}
	if l == nil {
		l = sh.create(hash, m, name)
	}
	sh.hold(l, s)
	return l.holders.len, nil
}

// Release ends the hold of s on the lock. It reports whether there was one.
func (t *Table) Release(s *Session, m Mode, name []byte) bool {
	hash, sh := t.find(m, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	l := sh.lookup(hash, m, name)
	if l == nil {
		return false
	}
	h := sh.holdOf(l, s)
	if h == nil {
		return false
	}
	t.bytes.Add(-sh.drop(h))
	return true
}

// Leave ends every hold of s, in the order it got them, and counts each as an
// orphan. Each hold takes its shard for itself alone, so nobody waits for a
// session that holds much. After Leave, s may be used again.
func (t *Table) Leave(s *Session) {
	for h := s.holds.first; h != nil; h = s.holds.first {
		sh := t.shard(h.lock.hash)
		sh.mu.Lock()
		sh.counts[h.lock.mode].Orphans++
		t.bytes.Add(-sh.drop(h))
		sh.mu.Unlock()
	}
}

// Inspect returns the number of holders of the lock, whoever they are.
func (t *Table) Inspect(m Mode, name []byte) int {
	hash, sh := t.find(m, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if l := sh.lookup(hash, m, name); l != nil {
		return l.holders.len
	}
	return 0
}

func (t *Table) find(m Mode, name []byte) (hash uint64, sh *shard) {
	// The odd constant keeps a name's exclusive and its shared lock apart: in
	// general they are not even in the same shard.
	hash = maphash.Bytes(t.seed, name) + uint64(m)*0x9e3779b97f4a7c15
	return hash, t.shard(hash)
}

// shard takes the highest bits: the index inside the shard uses the lowest.
func (t *Table) shard(hash uint64) *shard { return &t.shards[hash>>56%numShards] }
