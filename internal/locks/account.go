package locks

import "sync/atomic"

// An account counts the bytes of one shard against the limit of the table. What all
// draw on is one number, and each change of it takes its cache line from the other
// processors: with it in every get and release, two processors together did hardly
// more than one. So an account draws a step ahead, and comes back for more, or to
// give some back, only when it has got a step away. It belongs to its shard's mutex.
type account struct {
	drawn *atomic.Int64 // by all accounts of the table
	limit int64         // on that; 0: none
	step  int64
	used  int64
	ahead int64 // drawn and not used
}

const (
	// maxStep is how much an account draws ahead where there is plenty.
	maxStep = 64 << 10
	// stepShift makes what all accounts together may have ahead, two steps each, a
	// 512th of the limit: the table is full that much too early. Below 64 MiB a step
	// is less than a lock, and the shards share a number again.
	stepShift = 18
)

// take counts n bytes more, unless that would be more than the limit.
func (a *account) take(n int64) bool {
	if n > a.ahead && !a.draw(n-a.ahead+a.step) && !a.draw(n-a.ahead) {
		return false
	}
	a.used += n
	a.ahead -= n
	return true
}

// force counts n bytes more, whatever the limit. They must be no more than were just
// given.
func (a *account) force(n int64) {
	a.used += n
	a.drawn.Add(n)
}

// give counts n bytes less. While the table is over a limit that was lowered, all
// that was drawn ahead goes back at once.
func (a *account) give(n int64) {
	a.used -= n
	a.ahead += n
	switch {
	case a.limit > 0 && a.drawn.Load() > a.limit:
		a.drawn.Add(-a.ahead)
		a.ahead = 0
	case a.ahead > 2*a.step:
		a.drawn.Add(a.step - a.ahead)
		a.ahead = a.step
	}
}

// setLimit puts a limit in force, under which nothing is ahead yet.
func (a *account) setLimit(limit int64) {
	a.drawn.Add(-a.ahead)
	a.ahead, a.limit, a.step = 0, limit, maxStep
	if limit > 0 {
		a.step = min(a.step, limit>>stepShift)
	}
}

func (a *account) draw(n int64) bool {
	if sum := a.drawn.Add(n); a.limit > 0 && sum > a.limit {
		a.drawn.Add(-n)
		return false
	}
	a.ahead += n
	return true
}
