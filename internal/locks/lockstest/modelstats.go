package lockstest

import (
	"time"

	"lockd/internal/locks"
)

// Stats counts everything anew. Bytes is only the names' and one for each hold
// and wait: what a real table needs is its own affair.
func (t *Model) Stats() locks.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	var of [len(modes)]locks.ModeStats
	var stats locks.Stats
	for _, m := range modes {
		of[m].Orphans = t.orphans[m]
	}
	for _, l := range t.locks {
		of[l.mode].Locks++
		of[l.mode].NameBytes += uint64(len(l.name))
		of[l.mode].Holders += uint64(len(l.holders))
		of[l.mode].Waiters += uint64(len(l.queue))
		stats.Bytes += int64(len(l.name) + len(l.holders) + len(l.queue))
		for _, w := range l.queue {
			if !stats.Waiting || w.since < stats.WaitingSince {
				stats.Waiting, stats.WaitingSince = true, w.since
			}
		}
	}
	stats.Exclusive, stats.Shared = of[locks.Exclusive], of[locks.Shared]
	return stats
}

// Durations does what [locks.Table.Durations] does.
func (t *Model) Durations() (exclusive, shared locks.Durations) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.durations[locks.Exclusive], t.durations[locks.Shared]
}

// observe counts d in the first bucket that is not too short for it.
func observe(h *locks.Histogram, d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < locks.HistogramBuckets-1 && d > locks.HistogramBound(i) {
		i++
	}
	h.Counts[i]++
	h.Micros += uint64(d.Microseconds())
}
