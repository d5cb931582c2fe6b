package locks

import (
	"math/bits"
	"time"
)

// A Histogram counts durations in buckets that grow by a factor of four.
type Histogram struct {
	Counts [HistogramBuckets]uint64 // by HistogramBound; the last has all that is longer
	// Micros is the sum of all, in whole microseconds each: a Duration would overflow
	// with a million locks held for some hours.
	Micros uint64
}

// HistogramBuckets is how many buckets a [Histogram] has.
const HistogramBuckets = 17

// histogramUnit is the bound of the first bucket. The last bound is 30 hours.
const histogramUnit = 100 * time.Microsecond

// HistogramBound returns the longest duration that bucket i counts. The last
// bucket has no bound.
func HistogramBound(i int) time.Duration { return histogramUnit << (2 * i) }

func (h *Histogram) observe(d time.Duration) {
	d = max(d, 0)
	// The whole units, less one so that a bound belongs to the bucket it ends.
	units := uint64(max(d-1, 0)) / uint64(histogramUnit)
	h.Counts[min((bits.Len64(units)+1)/2, HistogramBuckets-1)]++
	h.Micros += uint64(d.Microseconds())
}

func (h *Histogram) add(other *Histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Micros += other.Micros
}
