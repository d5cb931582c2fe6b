package locks

import (
	"bytes"
	"time"
)

// A waiter is a session's place in the queue of a lock, and then what became of
// it. It belongs to the shard's mutex; of a session that was granted the lock, to
// the session.
type waiter struct {
	since                    time.Duration
	max                      int
	token                    uint64        // where granted, as the next two
	waited                   time.Duration // until then
	holders                  uint32        // then, this one included
	lock, session            ref
	prevQueued, nextQueued   ref // in extra.queue
	prevArrived, nextArrived ref // in shard.arrived
	granted                  bool
}

// Which lists there are of waiters.
type (
	inQueue   struct{ *Table } // first come, first served
	inArrival struct{ *Table }
)

func (via inQueue) of(r ref) (prev, next *ref) {
	w := via.waiters.at(r)
	return &w.prevQueued, &w.nextQueued
}

func (via inArrival) of(r ref) (prev, next *ref) {
	w := via.waiters.at(r)
	return &w.prevArrived, &w.nextArrived
}

// waiting returns how many wait for the lock.
func (t *Table) waiting(l *lock) int {
	if l.extra == 0 {
		return 0
	}
	return int(t.extras.at(l.extra).queue.len)
}

// fits tells whether one more may hold the lock, as far as its holders go. No
// more than limit may hold a shared lock then; 0 is no limit.
func (t *Table) fits(l *lock, limit int) bool {
	if l.mode == Exclusive {
		return t.holders(l) == 0
	}
	return limit <= 0 || t.holders(l) < limit
}

// blocks tells why a request for l cannot be granted now, nil where it can. The lock
// is not held by who asks.
func (t *Table) blocks(l *lock, r *Request) error {
	switch {
	case r.Queue != PassQueue && t.waiting(l) > 0:
		return ErrQueue
	case t.fits(l, r.Max):
		return nil
	case l.mode == Exclusive:
		return ErrHeld
	}
	return ErrLimit
}

// result tells of the lock as it is; nil is one that nobody holds.
func (t *Table) result(l *lock) Result {
	if l == nil || t.holders(l) == 0 {
		return Result{}
	}
	r := Result{Holders: t.holders(l), Queue: t.waiting(l)}
	if l.mode == Exclusive {
		r.Holder, r.Since = t.member(l.own.session), l.own.since
	}
	return r
}

// enqueue puts s at the end of the queue of a lock.
func (sh *shard) enqueue(at ref, l *lock, s *Session, r *Request) {
	place, w := sh.waiters.take()
	w.lock, w.session, w.since, w.max = at, s.id, r.Now, r.Max
	sh.extraOf(l).queue.append(inQueue{sh.table}, place, &w.prevQueued)
	sh.arrived.append(inArrival{sh.table}, place, &w.prevArrived)
	sh.counts[l.mode].Waiters++
	s.wait = place
}

// serveAtOnce is how many are granted a lock before others get at the shard: waking
// one takes some microseconds.
const serveAtOnce = 64

// serve grants the lock to those who wait, as long as the first of them fits. It
// reports whether it has left the rest of those who may fit to unlockAndServe.
// Nobody overtakes these meanwhile, as they stand in the queue.
func (sh *shard) serve(at ref, l *lock, now time.Duration) (rest bool) {
	for range serveAtOnce {
		if sh.table.waiting(l) == 0 {
			return false
		}
		w := sh.waiters.at(sh.extras.at(l.extra).queue.first)
		if !sh.table.fits(l, w.max) {
			return false
		}
		sh.dequeue(w, l, now)
		s := sh.table.member(w.session)
		h := sh.addHold(at, l, s, now)
		sh.bytes.force(holdBytes(l.mode))
		w.granted, w.holders, w.token, w.waited = true, uint32(sh.table.holders(l)), h.grant.token(), max(now-w.since, 0)
		s.granted.Store(true)
		s.owner.Granted()
	}
	return true
}

// unlockAndServe unlocks the shard and goes on where serve has left a rest of those
// who wait for l. Others get at the shard in between, and the lock may end.
func (sh *shard) unlockAndServe(l *lock, rest bool, now time.Duration) {
	if !rest {
		sh.mu.Unlock()
		return
	}
	hash, m, name := l.hash, l.mode, bytes.Clone(sh.table.name(l))
	sh.mu.Unlock()
	for rest {
		sh.mu.Lock()
		at, l := sh.lookup(hash, m, name)
		rest = l != nil && sh.serve(at, l, now)
		sh.mu.Unlock()
	}
}

// dequeue takes w, whose wait for l is over, out of the queue.
func (sh *shard) dequeue(w *waiter, l *lock, now time.Duration) {
	sh.extras.at(l.extra).queue.remove(inQueue{sh.table}, &w.prevQueued, &w.nextQueued)
	sh.arrived.remove(inArrival{sh.table}, &w.prevArrived, &w.nextArrived)
	sh.counts[l.mode].Waiters--
	sh.durations[l.mode].Wait.observe(now - w.since)
	sh.bytes.give(waiterBytes)
}

// endWait returns what the wait of s was granted, or takes it out of the queue.
// Those behind it may fit then.
func (t *Table) endWait(s *Session, now time.Duration) (Result, error) {
	w := t.waiters.at(s.wait)
	at, l := w.lock, t.locks.at(w.lock)
	sh := t.shard(l.hash)
	sh.mu.Lock()
	if w.granted {
		defer sh.mu.Unlock()
		r := Result{Holders: int(w.holders), Token: w.token, Waited: w.waited}
		sh.forget(s)
		return r, nil
	}
	waited := max(now-w.since, 0)
	sh.dequeue(w, l, now)
	sh.forget(s)
	rest := sh.serve(at, l, now)
	r := t.result(l)
	r.Waited = waited
	sh.unlockAndServe(l, rest, now)
	return r, ErrQueue
}

// forget ends what the session knows of its wait.
func (sh *shard) forget(s *Session) {
	sh.waiters.give(s.wait)
	s.wait = 0
	s.granted.Store(false)
}
