package locks

// Stats are a table's counters.
type Stats struct {
	Exclusive, Shared ModeStats
	Bytes             int64 // names and bookkeeping of the locks held now
}

// ModeStats are the counters of one name space.
type ModeStats struct {
	Locks     uint64 // names that are held now
	NameBytes uint64 // of those names
	Holders   uint64 // holds on them now
	Orphans   uint64 // holds ended since the start by their session's leaving
}

// Stats adds up the counters of all shards. Its cost does not depend on how much
// is held. What ended before the call is counted; what goes on meanwhile may be
// seen in one shard and not yet in another.
func (t *Table) Stats() Stats {
	var sum [numModes]ModeStats
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		counts := sh.counts
		sh.mu.Unlock()
		for m, c := range counts {
			sum[m].Locks += c.Locks
			sum[m].NameBytes += c.NameBytes
			sum[m].Holders += c.Holders
			sum[m].Orphans += c.Orphans
		}
	}
	return Stats{Exclusive: sum[Exclusive], Shared: sum[Shared], Bytes: t.bytes.Load()}
}
