package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A server that nobody uses any more allocates nothing, so its garbage is collected
// every two minutes only, and goes back to the system some minutes later. Who has let
// go of a million locks wants the memory for something else. So where most of the heap
// is garbage and nobody allocates, it is collected: that costs little, as there is
// little left to look through.
const (
	reclaimInterval = 5 * time.Second
	// reclaimLeast is how many bytes of garbage are worth it.
	reclaimLeast = 16 << 20
	// reclaimStill is by how much the heap may have changed in an interval in which
	// nobody has allocated, as far as that matters.
	reclaimStill = 1 << 20
	// connectionBytes is about what a connection takes (docs/performance.md).
	connectionBytes = 1 << 10
)

// reclaim gives memory back to the system until ctx ends.
func (d *daemon) reclaim(ctx context.Context) {
	tick := time.NewTicker(reclaimInterval)
	defer tick.Stop()
	var watch heapWatch
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		stats := d.server.Stats()
		if watch.due(heapBytes(), stats.Locks.Bytes+connectionBytes*int64(stats.Connections())) {
			debug.FreeOSMemory()
			watch.left = heapBytes()
		}
	}
}

// heapBytes is what objects take, those included that are garbage, and what has been
// collected but not given back to the system.
func heapBytes() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
}

// A heapWatch decides when garbage is to be collected.
type heapWatch struct {
	last int64 // the heap when it was looked at last, in bytes
	left int64 // what the last collection has left, or less
}

// due tells whether it is, with this much of the heap and of that about this much in
// use, in bytes. Should more be in use than that, a collection in vain is not repeated
// before the heap has grown.
func (w *heapWatch) due(heap, use int64) bool {
	still := max(heap, w.last)-min(heap, w.last) < reclaimStill
	w.last = heap
	w.left = min(w.left, heap)
	return still && use < heap/2 && heap-max(use, w.left) > reclaimLeast
}
