package locks

import (
	"sync"
	"time"
)

// A shard is a part of the table under one mutex.
type shard struct {
	table *Table

	mu        sync.Mutex
	byName    index[lock, *lock]             // guarded by mu, as all below
	byHolder  index[sharedHold, *sharedHold] // the holds of shared locks
	arrived   list[inArrival]                // waiters, in the order they came
	counts    [numModes]ModeStats
	durations [numModes]Durations
	bytes     account
	stocks
	_ [64]byte // keeps neighbours off this shard's cache line
}

// slabs have all that a table is made of.
type slabs struct {
	locks   slab[lock]
	holds   slab[sharedHold]
	waiters slab[waiter]
	extras  slab[extra]
	mediums slab[[mediumName]byte] // names too long for a lock
	longs   slab[[]byte]           // names too long for that
}

// stocks are a shard's part of them.
type stocks struct {
	locks   stock[lock]
	holds   stock[sharedHold]
	waiters stock[waiter]
	extras  stock[extra]
	mediums stock[[mediumName]byte]
	longs   stock[[]byte]
}

// init makes sh a shard of t.
func (sh *shard) init(t *Table) {
	sh.table = t
	sh.bytes.drawn = &t.drawn
	sh.locks.slab, sh.holds.slab, sh.waiters.slab = &t.locks, &t.holds, &t.waiters
	sh.extras.slab, sh.mediums.slab, sh.longs.slab = &t.extras, &t.mediums, &t.longs
	sh.byName.objects, sh.byHolder.objects = &t.locks, &t.holds
}

// lookup returns the lock of that name and mode, or nil.
func (sh *shard) lookup(hash uint32, m Mode, name []byte) (ref, *lock) {
	if sh.byName.len == 0 {
		return 0, nil
	}
	for r := *sh.byName.chain(hash); r != 0; {
		l := sh.locks.at(r)
		if l.hash == hash && l.mode == m && string(sh.table.name(l)) == string(name) {
			return r, l
		}
		r = l.own.next
	}
	return 0, nil
}

// holdOf returns the reference in the session's list of the hold of s on l, the lock
// at; 0 where there is none. It takes no longer when a lock has many holders, or a
// session holds many locks.
func (sh *shard) holdOf(at ref, l *lock, s *Session) ref {
	if l.mode == Exclusive {
		if s.id != 0 && l.own.session == s.id {
			return at
		}
		return 0
	}
	for r := *sh.byHolder.chain(holdKey(l, s.id)); r != 0; {
		h := sh.holds.at(r)
		if h.lock == at && h.session == s.id {
			return r | sharedRef
		}
		r = h.next
	}
	return 0
}

// create puts a lock without holders into the index.
func (sh *shard) create(hash uint32, m Mode, name []byte) (ref, *lock) {
	at, l := sh.locks.take()
	l.hash, l.mode = hash, m
	sh.setName(l, name)
	if m == Shared {
		sh.extraOf(l)
	}
	sh.byName.insert(at, l)
	sh.counts[m].Locks++
	sh.counts[m].NameBytes += uint64(len(name))
	return at, l
}

// extraOf returns the extra of l, which it gives it where there is none.
func (sh *shard) extraOf(l *lock) *extra {
	if l.extra != 0 {
		return sh.extras.at(l.extra)
	}
	at, x := sh.extras.take()
	l.extra = at
	return x
}

// addHold makes s the last holder of l, the lock at.
func (sh *shard) addHold(at ref, l *lock, s *Session, now time.Duration) *hold {
	h, holding := &l.own, at
	if l.mode == Shared {
		r, shared := sh.holds.take()
		shared.lock, shared.key = at, holdKey(l, s.id)
		sh.extras.at(l.extra).holders.append(alongLock{sh.table}, r, &shared.prevHolder)
		sh.byHolder.insert(r, shared)
		h, holding = &shared.hold, r|sharedRef
	}
	h.session, h.since = s.id, now
	h.grant = grant(sh.table.tokens.next())
	s.holds.append(alongSession{sh.table}, holding, &h.prevHolding)
	sh.counts[l.mode].Holders++
	sh.happened(s, l, h, Granted)
	return h
}

// drop ends a hold of s on l, the lock at, and serves those who wait for it; it ends
// the lock where nobody holds it then. Like serve, it may leave some of that to
// unlockAndServe.
func (sh *shard) drop(s *Session, at ref, l *lock, holding ref, kind EventKind, now time.Duration) (rest bool) {
	if l.mode == Exclusive {
		sh.endHold(s, l, &l.own, kind, now)
		l.own.session = 0
	} else {
		r := holding &^ sharedRef
		shared := sh.holds.at(r)
		sh.endHold(s, l, &shared.hold, kind, now)
		sh.extras.at(l.extra).holders.remove(alongLock{sh.table}, &shared.prevHolder, &shared.nextHolder)
		sh.byHolder.remove(r, shared)
		sh.holds.give(r)
	}
	if rest = sh.serve(at, l, now); sh.table.holders(l) > 0 {
		return rest
	}
	nameLen := len(sh.table.name(l))
	sh.bytes.give(lockBytes(l.mode, nameLen))
	sh.counts[l.mode].Locks--
	sh.counts[l.mode].NameBytes -= uint64(nameLen)
	sh.byName.remove(at, l)
	sh.discard(at, l)
	return false
}

// endHold is what drop does for holds of either mode.
func (sh *shard) endHold(s *Session, l *lock, h *hold, kind EventKind, now time.Duration) {
	if kind == Orphaned && h.grant&broken != 0 {
		kind = Forced
	}
	sh.happened(s, l, h, kind)
	s.holds.remove(alongSession{sh.table}, &h.prevHolding, &h.nextHolding)
	sh.counts[l.mode].Holders--
	sh.durations[l.mode].Hold.observe(now - h.since)
	sh.bytes.give(holdBytes(l.mode))
}
