// Package locks is the lock table: who holds what, who waits for it, and how
// many do.
//
// A [Table] is cut into shards, each a mutex over an index of its locks and
// their counters. A [Session] stands for one client connection; it keeps the
// list of what it holds and the one wait it has, so that its leaving costs that
// and no more. Exclusive and shared locks are two name spaces served by one
// code: an exclusive lock is one with room for a single holder.
//
// Under a shard's mutex there is no log, no channel that can block, no second shard,
// and no work that grows with anything but that shard. All that a table has lies in
// slabs, without pointers but for the longest names and one for each session.
//
// Times are durations since a moment that the caller chooses once, such as the
// start of the server. The table has no clock.
package locks

import (
	"errors"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Mode tells the two name spaces apart.
type Mode uint8

// The modes.
const (
	Exclusive Mode = iota // one holder
	Shared                // any number of holders, counted
	numModes
)

// Why [Table.Get] does not make its session a holder.
var (
	ErrHeld         = errors.New("lock is held by another session")
	ErrQueue        = errors.New("others wait for the lock")              // where they may not be passed
	ErrLimit        = errors.New("lock has as many holders as asked for") // Request.Max
	ErrSessionLimit = errors.New("session holds as many locks as it may") // Limits.SessionHolds
	ErrTableFull    = errors.New("lock table is full")                    // Limits.Bytes
	ErrWaiting      = errors.New("session waits for the lock")            // as JoinQueue asks for
)

// Limits bound what clients can make the table grow to. Zero means no limit.
type Limits struct {
	SessionHolds int   // locks that one session may hold, both modes together
	Bytes        int64 // names and bookkeeping of all locks, holders and waiters
}

// numShards is a power of two, large enough that two cores seldom meet on one
// shard and small enough that reading all counters takes a few microseconds.
const numShards = 256

// A Table holds the locks of one server. Its methods may be called from any
// goroutine, but for one session from one goroutine at a time.
type Table struct {
	seed     maphash.Seed
	tokens   *Tokens
	limits   atomic.Pointer[Limits]
	limiting sync.Mutex   // orders SetLimits
	drawn    atomic.Int64 // bytes, by the accounts of the shards
	entering sync.Mutex   // guards members, but for reading them. It is a leaf
	members  stock[*Session]
	slabs
	shards [numShards]shard
}

// New returns an empty table, which takes a fencing token for each grant.
func New(limits Limits, tokens *Tokens) *Table {
	t := &Table{seed: maphash.MakeSeed(), tokens: tokens}
	t.members.slab = new(slab[*Session])
	for i := range t.shards {
		t.shards[i].init(t)
	}
	t.SetLimits(limits)
	return t
}

// SetLimits replaces the limits. What is held already stays, over a lowered
// limit too, and who waits already may get it.
func (t *Table) SetLimits(limits Limits) {
	t.limiting.Lock()
	defer t.limiting.Unlock()
	t.limits.Store(&limits)
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		sh.bytes.setLimit(limits.Bytes)
		sh.mu.Unlock()
	}
}

// A Request is what a session asks of [Table.Get].
type Request struct {
	Mode Mode
	Name []byte // only lent
	Now  time.Duration
	// Max is the most holders, this one included, that a shared lock may have for
	// the request to be granted; 0 is no limit. It is no property of the lock: each
	// request brings its own.
	Max int
	// Queue tells what the request does about those who wait.
	Queue Queueing
}

// Queueing is how a request behaves where others wait for the lock.
type Queueing uint8

// The ways to behave. A queue for an exclusive lock cannot be passed.
const (
	PassQueue   Queueing = iota // get it before them
	HonourQueue                 // get it only where nobody waits
	JoinQueue                   // wait, last in the queue, for what cannot be got now
)

// A Result is what came of a request. Where it was not granted, it tells of the
// lock as it is.
type Result struct {
	Holders int           // of the lock; where granted, as it was then, this one included
	Token   uint64        // of this session's hold; 0 where it has none
	Waited  time.Duration // by the request, until it was granted or given up
	Holder  *Session      // who holds the exclusive lock, where that is another
	Since   time.Duration // when Holder got it
	Queue   int           // others that wait
}

// Get makes the session a holder of the lock. A lock that it holds already it
// gets again: with the same token, not counted twice, whatever the request asks.
// Otherwise the error is [ErrHeld], [ErrQueue], [ErrLimit], [ErrSessionLimit],
// [ErrTableFull] or [ErrWaiting].
//
// With [ErrWaiting] the session waits: once it is granted the lock,
// [Session.Granted] is true and its owner is told. Then, or to give up, the next
// Get ends the wait, whatever lock it names: it returns what was granted, or
// leaves the queue and returns [ErrQueue].
func (t *Table) Get(s *Session, r Request) (result Result, err error) {
	if s.wait != 0 {
		return t.endWait(s, r.Now)
	}
	if s.id == 0 {
		t.enter(s)
	}
	hash, sh := t.find(r.Mode, r.Name)
	sh.mu.Lock()
	at, l := sh.lookup(hash, r.Mode, r.Name)
	h, l, err := sh.get(at, l, s, &r, hash)
	switch {
	case err == nil:
		result.Holders, result.Token = t.holders(l), h.grant.token()
	case err != ErrWaiting:
		result = t.result(l)
	}
	sh.mu.Unlock()
	return result, err
}

// get is Get for l, the lock at, which is nil where nobody holds it. It returns the
// hold that s has then, and its lock.
func (sh *shard) get(at ref, l *lock, s *Session, r *Request, hash uint32) (*hold, *lock, error) {
	blocked := error(nil)
	if l != nil {
		if holding := sh.holdOf(at, l, s); holding != 0 {
			return sh.table.holdAt(holding), l, nil
		}
		blocked = sh.table.blocks(l, r)
		if blocked != nil && r.Queue != JoinQueue {
			return nil, l, blocked
		}
	}
	if err := sh.charge(l, s, r, blocked != nil); err != nil {
		return nil, l, err
	}
	if blocked != nil {
		sh.enqueue(at, l, s, r)
		return nil, l, ErrWaiting
	}
	h, l := sh.grant(at, l, s, r, hash)
	return h, l, nil
}

// charge counts the bytes that it takes s to hold l, or to wait for it, unless that is
// more than a limit lets it.
func (sh *shard) charge(l *lock, s *Session, r *Request, waits bool) error {
	if most := sh.table.limits.Load().SessionHolds; most > 0 && s.Holds() >= most {
		return ErrSessionLimit
	}
	size := holdBytes(r.Mode)
	switch {
	case waits:
		size = waiterBytes
	case l == nil:
		size += lockBytes(r.Mode, len(r.Name))
	}
	if !sh.bytes.take(size) {
		return ErrTableFull
	}
	return nil
}

// grant makes s a holder as asked, of a new lock where l is nil.
func (sh *shard) grant(at ref, l *lock, s *Session, r *Request, hash uint32) (*hold, *lock) {
	if l == nil {
		at, l = sh.create(hash, r.Mode, r.Name)
	}
	if r.Queue != PassQueue {
		sh.durations[r.Mode].Wait.observe(0)
	}
	return sh.addHold(at, l, s, r.Now), l
}

// Release ends the session's hold on the lock. It reports whether there was one.
// A session that waits must end its wait first.
func (t *Table) Release(s *Session, m Mode, name []byte, now time.Duration) bool {
	hash, sh := t.find(m, name)
	sh.mu.Lock()
	at, l := sh.lookup(hash, m, name)
	if l == nil {
		sh.mu.Unlock()
		return false
	}
	holding := sh.holdOf(at, l, s)
	rest := holding != 0 && sh.drop(s, at, l, holding, Released, now)
	sh.unlockAndServe(l, rest, now)
	return holding != 0
}

// Leave ends the session's wait and every hold it has, in the order it got them,
// counts each hold as an orphan, and returns how many they were. Each takes its
// shard for itself alone, and others have the processor in between, so nobody waits
// for a session that holds much. After Leave, s may be used again.
func (t *Table) Leave(s *Session, now time.Duration) (orphans int) {
	if s.wait != 0 {
		t.endWait(s, now)
	}
	for r := s.holds.first; r != 0; r = s.holds.first {
		t.orphan(s, r, now)
		if orphans++; orphans%leaveAtOnce == 0 {
			runtime.Gosched()
		}
	}
	if s.id != 0 {
		t.exit(s)
	}
	return orphans
}

// leaveAtOnce is how many holds end before others have the processor: about a
// millisecond. Without, one of two processors went ten on its own now and then, and
// who was to be served there waited; four times as often, what stopping costs made
// the 99th percentile of others twice as long.
const leaveAtOnce = 1 << 12

// orphan ends a hold of a session that leaves.
func (t *Table) orphan(s *Session, holding ref, now time.Duration) {
	at := t.lockOf(holding)
	l := t.locks.at(at)
	sh := t.shard(l.hash)
	sh.mu.Lock()
	sh.counts[l.mode].Orphans++
	rest := sh.drop(s, at, l, holding, Orphaned, now)
	sh.unlockAndServe(l, rest, now)
}

// Inspect returns the number of holders of the lock, whoever they are.
func (t *Table) Inspect(m Mode, name []byte) int {
	hash, sh := t.find(m, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if _, l := sh.lookup(hash, m, name); l != nil {
		return t.holders(l)
	}
	return 0
}

// Break tells the owners of those who hold the lock to have them leave, and
// returns their sessions. A token other than 0 means only the holder with that
// one. Until they have left, they hold what they hold.
func (t *Table) Break(m Mode, name []byte, token uint64) []*Session {
	hash, sh := t.find(m, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, l := sh.lookup(hash, m, name)
	if l == nil {
		return nil
	}
	var told []*Session
	for h := range t.holdsOf(l) {
		if token != 0 && token != h.grant.token() {
			continue
		}
		h.grant |= broken
		s := t.member(h.session)
		s.owner.Break()
		told = append(told, s)
	}
	return told
}

func (t *Table) find(m Mode, name []byte) (hash uint32, sh *shard) {
	// The odd constant keeps a name's exclusive and its shared lock apart: in
	// general they are not even in the same shard.
	hash = uint32(maphash.Bytes(t.seed, name)) + uint32(m)*0x9e3779b9
	return hash, t.shard(hash)
}

// shard takes the highest bits: the index inside the shard uses the lowest.
func (t *Table) shard(hash uint32) *shard { return &t.shards[hash>>24%numShards] }
