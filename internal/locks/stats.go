package locks

import "time"

// Stats are a table's counters.
type Stats struct {
	Exclusive, Shared ModeStats
	Bytes             int64 // names and bookkeeping of locks and waiters now
	MaxBytes          int64 // the limit in force on Bytes; 0: none
	// Waiting tells whether anybody waits, and WaitingSince since when the one
	// does who waits longest.
	Waiting      bool
	WaitingSince time.Duration
}

// ModeStats are the counters of one name space.
type ModeStats struct {
	Locks     uint64 // names that are held now
	NameBytes uint64 // of those names
	Holders   uint64 // holds on them now
	Waiters   uint64 // sessions that wait for them now
	Orphans   uint64 // holds ended since the start by their session's leaving
}

// Stats adds up the counters of all shards. Its cost does not depend on how much
// is held. What ended before the call is counted; what goes on meanwhile may be
// seen in one shard and not yet in another.
func (t *Table) Stats() Stats {
	sum := Stats{MaxBytes: t.limits.Load().Bytes}
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		sum.Bytes += sh.bytes.used
		sum.Exclusive.add(&sh.counts[Exclusive])
		sum.Shared.add(&sh.counts[Shared])
		if first := sh.arrived.first; first != 0 {
			if w := sh.waiters.at(first); !sum.Waiting || w.since < sum.WaitingSince {
				sum.Waiting, sum.WaitingSince = true, w.since
			}
		}
		sh.mu.Unlock()
	}
	return sum
}

func (s *ModeStats) add(other *ModeStats) {
	s.Locks += other.Locks
	s.NameBytes += other.NameBytes
	s.Holders += other.Holders
	s.Waiters += other.Waiters
	s.Orphans += other.Orphans
}

// Durations tell how long things took, of one name space, since the start.
type Durations struct {
	Hold Histogram // holds that have ended
	// Wait has the requests that honour or join the queue (all but [PassQueue]): those
	// that were granted, at once too, and those that waited in vain.
	Wait Histogram
}

// Durations adds up the histograms of all shards, like [Table.Stats].
func (t *Table) Durations() (exclusive, shared Durations) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		exclusive.add(&sh.durations[Exclusive])
		shared.add(&sh.durations[Shared])
		sh.mu.Unlock()
	}
	return exclusive, shared
}

func (d *Durations) add(other *Durations) {
	d.Hold.add(&other.Hold)
	d.Wait.add(&other.Wait)
}
