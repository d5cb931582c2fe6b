package locks

import (
	"sync"
	"time"
)

// A shard is a part of the table under one mutex.
type shard struct {
	table *Table

	mu        sync.Mutex
	locks     index[*lock]            // guarded by mu, as all below
	shared    index[*hold]            // the holds of shared locks
	waiters   list[waiter, inArrival] // in the order they came
	counts    [numModes]ModeStats
	durations [numModes]Durations
	free      freeList
	_         [64]byte // keeps neighbours off this shard's cache line
}

// lookup returns the lock of that name and mode, or nil.
func (sh *shard) lookup(hash uint64, m Mode, name []byte) *lock {
	if sh.locks.len == 0 {
		return nil
	}
	for l := *sh.locks.chain(hash); l != nil; l = l.next {
		if l.hash == hash && l.mode == m && string(l.name) == string(name) {
			return l
		}
	}
	return nil
}

// holdOf returns the hold of s on l, or nil. It takes no longer when a lock has
// many holders, or a session holds many locks.
func (sh *shard) holdOf(l *lock, s *Session) *hold {
	if l.mode == Exclusive {
		if h := l.holders.first; h != nil && h.session == s {
			return h
		}
		return nil
	}
	for h := *sh.shared.chain(holdKey(l, s)); h != nil; h = h.next {
		if h.lock == l && h.session == s {
			return h
		}
	}
	return nil
}

// create puts a lock without holders into the index.
func (sh *shard) create(hash uint64, m Mode, name []byte) *lock {
	l := sh.free.lock()
	l.hash, l.mode = hash, m
	l.name = append(l.name[:0], name...)
	sh.locks.insert(l)
	sh.counts[m].Locks++
	sh.counts[m].NameBytes += uint64(len(name))
	return l
}

// hold makes s the last holder of l.
func (sh *shard) hold(l *lock, s *Session, now time.Duration) *hold {
	h := &l.own
	if h.session != nil {
		h = sh.free.hold()
	}
	h.lock, h.session, h.since = l, s, now
	h.grant = grant(sh.table.tokens.next())
	l.holders.append(h)
	s.holds.append(h)
	sh.counts[l.mode].Holders++
	if l.mode == Shared {
		sh.shared.insert(h)
	}
	h.happened(Granted)
	return h
}

// drop ends h, serves those who wait for its lock, and ends the lock where nobody
// holds it then. Like serve, it may leave some of that to unlockAndServe.
func (sh *shard) drop(h *hold, kind EventKind, now time.Duration) (rest bool) {
	h.happened(kind)
	l := h.lock
	l.holders.remove(h)
	h.session.holds.remove(h)
	sh.counts[l.mode].Holders--
	sh.durations[l.mode].Hold.observe(now - h.since)
	if l.mode == Shared {
		sh.shared.remove(h)
	}
	h.session = nil
	if h != &l.own {
		sh.free.putHold(h)
	}
	rest = sh.serve(l, now)
	if l.holders.len > 0 {
		sh.table.bytes.Add(-holdBytes)
		return rest
	}
	sh.table.bytes.Add(-lockBytes - int64(len(l.name)))
	sh.counts[l.mode].Locks--
	sh.counts[l.mode].NameBytes -= uint64(len(l.name))
	sh.locks.remove(l)
	sh.free.putLock(l)
	return false
}

// A freeList keeps a few locks and holds for reuse, so that getting and
// releasing allocates nothing in the steady state. What is beyond that goes
// back to the collector: a burst leaves no memory behind.
type freeList struct {
	locks                    *lock   // linked by next
	holds                    *hold   // linked by nextHolder
	waiters                  *waiter // linked by nextArrived
	nLocks, nHolds, nWaiters int
}

const (
	maxFreeLocks   = 16
	maxFreeHolds   = 64
	maxFreeWaiters = 16
	// maxFreeName bounds the name buffer that a free lock may keep, in bytes.
	maxFreeName = 64
)

func (f *freeList) lock() *lock {
	l := f.locks
	if l == nil {
		return new(lock)
	}
	f.locks, l.next = l.next, nil
	f.nLocks--
	return l
}

func (f *freeList) putLock(l *lock) {
	if f.nLocks == maxFreeLocks || cap(l.name) > maxFreeName {
		return
	}
	l.next, f.locks = f.locks, l
	f.nLocks++
}

func (f *freeList) hold() *hold {
	h := f.holds
	if h == nil {
		return new(hold)
	}
	f.holds, h.nextHolder = h.nextHolder, nil
	f.nHolds--
	return h
}

func (f *freeList) putHold(h *hold) {
	h.lock = nil
	if f.nHolds == maxFreeHolds {
		return
	}
	h.nextHolder, f.holds = f.holds, h
	f.nHolds++
}

func (f *freeList) waiter() *waiter {
	w := f.waiters
	if w == nil {
		return new(waiter)
	}
	f.waiters, w.nextArrived = w.nextArrived, nil
	f.nWaiters--
	return w
}

func (f *freeList) putWaiter(w *waiter) {
	*w = waiter{}
	if f.nWaiters == maxFreeWaiters {
		return
	}
	w.nextArrived, f.waiters = f.waiters, w
	f.nWaiters++
}
