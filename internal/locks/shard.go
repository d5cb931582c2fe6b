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
	shared    index[*sharedHold]      // the holds of shared locks
	waiters   list[waiter, inArrival] // in the order they came
	counts    [numModes]ModeStats
	durations [numModes]Durations
	bytes     account
	free      freeList
	_         [64]byte // keeps neighbours off this shard's cache line
}

// lookup returns the lock of that name and mode, or nil.
func (sh *shard) lookup(hash uint32, m Mode, name []byte) *lock {
	if sh.locks.len == 0 {
		return nil
	}
	for l := *sh.locks.chain(hash); l != nil; l = l.next {
		if l.hash == hash && l.mode == m && string(l.name()) == string(name) {
			return l
		}
	}
	return nil
}

// holdOf returns the hold of s on l, or nil. It takes no longer when a lock has
// many holders, or a session holds many locks.
func (sh *shard) holdOf(l *lock, s *Session) *hold {
	if l.mode == Exclusive {
		if l.own.session == s {
			return &l.own
		}
		return nil
	}
	for h := *sh.shared.chain(holdKey(l, s)); h != nil; h = h.next {
		if h.lock == l && h.session == s {
			return &h.hold
		}
	}
	return nil
}

// create puts a lock without holders into the index.
func (sh *shard) create(hash uint32, m Mode, name []byte) *lock {
	l := sh.free.lock()
	l.hash, l.mode = hash, m
	if len(name) > shortName {
		l.extra = sh.free.extra()
		l.setLongName(name)
	} else {
		l.setShortName(name)
		if m == Shared {
			sh.needExtra(l)
		}
	}
	sh.locks.insert(l)
	sh.counts[m].Locks++
	sh.counts[m].NameBytes += uint64(len(name))
	return l
}

// needExtra returns the extra of l, which it gives it where there is none. L has its
// name already.
func (sh *shard) needExtra(l *lock) *extra {
	if l.extra == nil {
		l.extra = sh.free.extra()
		l.extra.name = nil // another's
	}
	return l.extra
}

// hold makes s the last holder of l.
func (sh *shard) hold(l *lock, s *Session, now time.Duration) *hold {
	h := &l.own
	if l.mode == Shared {
		h = &sh.free.hold().hold
	}
	h.lock, h.session, h.since = l, s, now
	h.grant = grant(sh.table.tokens.next())
	s.holds.append(h)
	sh.counts[l.mode].Holders++
	if l.mode == Shared {
		l.extra.holders.append(h.shared())
		sh.shared.insert(h.shared())
	}
	h.happened(Granted)
	return h
}

// drop ends h, serves those who wait for its lock, and ends the lock where nobody
// holds it then. Like serve, it may leave some of that to unlockAndServe.
func (sh *shard) drop(h *hold, kind EventKind, now time.Duration) (rest bool) {
	h.happened(kind)
	l := h.lock
	h.session.holds.remove(h)
	sh.counts[l.mode].Holders--
	sh.durations[l.mode].Hold.observe(now - h.since)
	sh.bytes.give(holdBytes(l.mode))
	if l.mode == Shared {
		l.extra.holders.remove(h.shared())
		sh.shared.remove(h.shared())
		sh.free.putHold(h.shared())
	}
	h.session = nil
	if rest = sh.serve(l, now); l.holders() > 0 {
		return rest
	}
	nameLen := len(l.name())
	sh.bytes.give(lockBytes(l.mode, nameLen))
	sh.counts[l.mode].Locks--
	sh.counts[l.mode].NameBytes -= uint64(nameLen)
	sh.locks.remove(l)
	sh.free.putLock(l)
	return false
}

// A freeList keeps a few locks and holds for reuse, so that getting and
// releasing allocates nothing in the steady state. What is beyond that goes
// back to the collector: a burst leaves no memory behind.
type freeList struct {
	locks   *lock       // linked by next
	extras  *extra      // linked by next. No lock in locks has one
	holds   *sharedHold // linked by nextHolder
	waiters *waiter     // linked by nextArrived

	nLocks, nExtras, nHolds, nWaiters int
}

const (
	maxFreeLocks   = 16
	maxFreeExtras  = 16
	maxFreeHolds   = 64
	maxFreeWaiters = 16
	// maxFreeName bounds the name buffer that a free extra may keep, in bytes.
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
	if l.extra != nil {
		f.putExtra(l.extra)
		l.extra = nil // the next may do without
	}
	if f.nLocks == maxFreeLocks {
		return
	}
	l.next, f.locks = f.locks, l
	f.nLocks++
}

// extra returns one with the room for a name that it may have had.
func (f *freeList) extra() *extra {
	r := f.extras
	if r == nil {
		return new(extra)
	}
	f.extras, r.next = r.next, nil
	f.nExtras--
	return r
}

func (f *freeList) putExtra(r *extra) {
	if f.nExtras == maxFreeExtras || cap(r.name) > maxFreeName {
		return
	}
	r.next, f.extras = f.extras, r
	f.nExtras++
}

func (f *freeList) hold() *sharedHold {
	h := f.holds
	if h == nil {
		return new(sharedHold)
	}
	f.holds, h.nextHolder = h.nextHolder, nil
	f.nHolds--
	return h
}

func (f *freeList) putHold(h *sharedHold) {
	h.lock, h.session = nil, nil
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
