package locks

import (
	"bytes"
	"time"
)

// A waiter is a session's place in the queue of a lock, and then what became of
// it. It belongs to the shard's mutex; of a session that was granted the lock, to
// the session.
type waiter struct {
	lock                     *lock
	session                  *Session
	prevQueued, nextQueued   *waiter // in lock.extra.queue
	prevArrived, nextArrived *waiter // in shard.waiters; next also in the list of free ones
	since                    time.Duration
	max                      int
	granted                  bool
	result                   Result // where granted
}

// A queue has those who wait for one lock, first come, first served.
type queue = list[waiter, inQueue]

type (
	inQueue   struct{}
	inArrival struct{}
)

func (inQueue) of(w *waiter) (prev, next **waiter)   { return &w.prevQueued, &w.nextQueued }
func (inArrival) of(w *waiter) (prev, next **waiter) { return &w.prevArrived, &w.nextArrived }

// waiting returns how many wait for the lock.
func (l *lock) waiting() int {
	if l.extra == nil || l.extra.queue == nil {
		return 0
	}
	return l.extra.queue.len
}

// fits tells whether one more may hold the lock, as far as its holders go. No
// more than limit may hold a shared lock then; 0 is no limit.
func (l *lock) fits(limit int) bool {
	if l.mode == Exclusive {
		return l.holders() == 0
	}
	return limit <= 0 || l.holders() < limit
}

// blocks tells why a request cannot be granted now, nil where it can. The lock is
// not held by who asks.
func (l *lock) blocks(r *Request) error {
	switch {
	case r.Queue != PassQueue && l.waiting() > 0:
		return ErrQueue
	case l.fits(r.Max):
		return nil
	case l.mode == Exclusive:
		return ErrHeld
	}
	return ErrLimit
}

// result tells of the lock as it is; nil is one that nobody holds.
func (l *lock) result() Result {
	if l == nil || l.holders() == 0 {
		return Result{}
	}
	r := Result{Holders: l.holders(), Queue: l.waiting()}
	if l.mode == Exclusive {
		r.Holder, r.Since = l.own.session, l.own.since
	}
	return r
}

// enqueue puts s at the end of l's queue.
func (sh *shard) enqueue(l *lock, s *Session, r *Request) {
	w := sh.free.waiter()
	w.lock, w.session, w.since, w.max = l, s, r.Now, r.Max
	more := sh.needExtra(l)
	if more.queue == nil {
		more.queue = new(queue)
	}
	more.queue.append(w)
	sh.waiters.append(w)
	sh.counts[l.mode].Waiters++
	s.wait = w
}

// serveAtOnce is how many are granted a lock before others get at the shard: waking
// one takes some microseconds.
const serveAtOnce = 64

// serve grants the lock to those who wait, as long as the first of them fits. It
// reports whether it has left the rest of those who may fit to unlockAndServe.
// Nobody overtakes these meanwhile, as they stand in the queue.
func (sh *shard) serve(l *lock, now time.Duration) (rest bool) {
	for range serveAtOnce {
		if l.waiting() == 0 || !l.fits(l.extra.queue.first.max) {
			return false
		}
		w := l.extra.queue.first
		sh.dequeue(w, now)
		h := sh.hold(l, w.session, now)
		sh.bytes.force(holdBytes(l.mode))
		w.granted = true
		w.result = Result{Holders: l.holders(), Token: h.grant.token(), Waited: max(now-w.since, 0)}
		w.session.granted.Store(true)
		w.session.owner.Granted()
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
	hash, m, name := l.hash, l.mode, bytes.Clone(l.name())
	sh.mu.Unlock()
	for rest {
		sh.mu.Lock()
		l := sh.lookup(hash, m, name)
		rest = l != nil && sh.serve(l, now)
		sh.mu.Unlock()
	}
}

// dequeue takes w, whose wait is over, out of the queue.
func (sh *shard) dequeue(w *waiter, now time.Duration) {
	m := w.lock.mode
	w.lock.extra.queue.remove(w)
	sh.waiters.remove(w)
	sh.counts[m].Waiters--
	sh.durations[m].Wait.observe(now - w.since)
	sh.bytes.give(waiterBytes)
}

// withdraw ends a wait without a grant. Those behind it may fit now; like serve, it
// may leave some of them to unlockAndServe.
func (sh *shard) withdraw(w *waiter, now time.Duration) (rest bool) {
	l := w.lock
	sh.dequeue(w, now)
	sh.forget(w)
	return sh.serve(l, now)
}

// forget ends what the session knows of its wait.
func (sh *shard) forget(w *waiter) {
	w.session.wait = nil
	w.session.granted.Store(false)
	sh.free.putWaiter(w)
}
