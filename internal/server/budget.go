package server

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A budget bounds the memory of the listings under way. A listing that does not
// fit waits until others are done; one that is larger than the whole budget goes
// alone. A client that takes its listing slowly may do so, but not while others
// wait for theirs.
type budget struct {
	mu     sync.Mutex
	freed  sync.Cond // on mu
	limit  int64     // bytes; 0: no limit. Guarded by mu, as all below
	used   int64
	shares []*share // the oldest first
	closed bool
}

// A share is the part of a budget that one listing has.
type share struct {
	bytes int64
	reply int64 // of bytes, for a reply that is built whole
	evict func()
}

func newBudget() *budget {
	b := new(budget)
	b.freed.L = &b.mu
	return b
}

func (b *budget) setLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	b.freed.Broadcast()
}

// acquire takes n bytes, waiting until there is room. Evict, which must not block,
// has the listing end soon. Acquire fails when the budget is closed, or who waits has
// been cut off when recheck is called.
func (b *budget) acquire(n int64, patience time.Duration, cut *atomic.Bool, evict func()) (*share, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.await(func() bool { return b.fits(n) }, patience, cut); err != nil {
		return nil, err
	}
	s := &share{bytes: n, evict: evict}
	b.used += n
	b.shares = append(b.shares, s)
	return s, nil
}

// grow takes n bytes more, waiting as acquire does, but no longer than there is an
// older share: else two might wait for each other. So all together may come to twice
// the limit. A share that would be larger than the limit by itself fails with
// errListingTooLarge.
func (b *budget) grow(s *share, n int64, patience time.Duration, cut *atomic.Bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit > 0 && s.bytes+n > b.limit {
		return errListingTooLarge
	}
	if err := b.await(func() bool { return b.fits(n) || b.oldest() == s }, patience, cut); err != nil {
		return err
	}
	b.used += n
	s.bytes += n
	return nil
}

// await waits until there is room. After each patience of waiting the oldest share
// is evicted. No patience means to wait however long it takes.
func (b *budget) await(room func() bool, patience time.Duration, cut *atomic.Bool) error {
	if !room() && patience > 0 {
		defer b.evictEach(patience)()
	}
	for !room() && !b.closed && !cut.Load() {
		b.freed.Wait()
	}
	if b.closed || cut.Load() {
		return errInterrupted
	}
	return nil
}

func (b *budget) fits(n int64) bool {
	return n == 0 || b.limit == 0 || b.used == 0 || b.used+n <= b.limit
}

// oldest returns the oldest share that takes something, or nil.
func (b *budget) oldest() *share {
	for _, s := range b.shares {
		if s.bytes > 0 {
			return s
		}
	}
	return nil
}

// evictEach evicts the oldest share again and again until stop is called, under
// mu as evictEach itself.
func (b *budget) evictEach(patience time.Duration) (stop func()) {
	stopped := false
	var timer *time.Timer
	timer = time.AfterFunc(patience, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if stopped {
			return
		}
		if s := b.oldest(); s != nil {
			s.evict()
		}
		timer.Reset(patience)
	})
	return func() {
		stopped = true
		timer.Stop()
	}
}

func (b *budget) release(s *share) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= s.bytes
	b.shares = slices.DeleteFunc(b.shares, func(o *share) bool { return o == s })
	b.freed.Broadcast()
}

// recheck has those who wait see whether they have been cut off.
func (b *budget) recheck() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.freed.Broadcast()
}

// close ends all waiting, now and later.
func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.freed.Broadcast()
}
