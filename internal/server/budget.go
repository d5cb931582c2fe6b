package server

import "sync"

// A budget bounds the memory of the listings under way. A listing that does not
// fit waits its turn; one that is larger than the whole budget goes alone.
type budget struct {
	mu     sync.Mutex
	freed  sync.Cond // on mu
	limit  int64     // bytes; 0: no limit. Guarded by mu, as all below
	used   int64
	closed bool
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

// acquire takes n bytes, waiting until there is room. It fails when the budget
// is closed.
func (b *budget) acquire(n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.limit > 0 && b.used > 0 && b.used+n > b.limit && !b.closed {
		b.freed.Wait()
	}
	if b.closed {
		return errInterrupted
	}
	b.used += n
	return nil
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.freed.Broadcast()
}

// close ends all waiting, now and later.
func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.freed.Broadcast()
}
