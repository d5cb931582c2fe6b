package locks

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// A hash cannot be made to collide from outside, so this asks the
// shard itself.
func TestLocksOfOneHashAreToldApart(t *testing.T) {
	const hash = 42
	all := []*lock{
		{hash: hash, mode: Exclusive},
		{hash: hash, mode: Shared},
		{hash: hash, mode: Exclusive},
		{hash: hash, mode: Shared},
		{hash: hash + minChains, mode: Exclusive}, // the same chain
	}
	for i, name := range []string{"a", "a", "b", "", "a"} {
		all[i].setShortName([]byte(name))
	}
	var sh shard
	for i, l := range all {
		if got := sh.lookup(l.hash, l.mode, l.name()); got != nil {
			t.Fatalf("lock %d is found before it is there", i)
		}
		sh.locks.insert(l)
	}
	for _, i := range []int{2, 0, 4, 3, 1} { // from the middle and both ends of the chain
		for j, l := range all {
			if got := sh.lookup(l.hash, l.mode, l.name()); got != l {
				t.Errorf("looking for lock %d finds another: %v", j, got)
			}
		}
		sh.locks.remove(all[i])
		if got := sh.lookup(all[i].hash, all[i].mode, all[i].name()); got != nil {
			t.Errorf("lock %d is found after it was removed", i)
		}
		sh.locks.insert(all[i])
	}
}

// One byte more, and each lock would take the allocator's next size.
func TestAHeldLockIsOneObjectOf96Bytes(t *testing.T) {
	if size := unsafe.Sizeof(lock{}); size != 96 {
		t.Errorf("a lock has %d bytes", size)
	}
	if size := unsafe.Sizeof(extra{}); size > 64 {
		t.Errorf("what stands beside some has %d bytes", size)
	}
}

// Hashes of which many fall into one chain, and some are the same.
func crowdedHash() *rapid.Generator[uint32] {
	return rapid.OneOf(
		rapid.Uint32Range(0, 3),
		rapid.Map(rapid.Uint32Range(0, 99), func(n uint32) uint32 { return n * minChains }),
		rapid.Uint32(),
	)
}

func TestAnIndexHasWhatWasInsertedAndNotRemoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index[*lock]
		var all []*lock
		insert := func(hash uint32) {
			all = append(all, &lock{hash: hash})
			x.insert(all[len(all)-1])
		}
		remove := func(t *rapid.T) {
			i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
			x.remove(all[i])
			all = slices.Delete(all, i, i+1)
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) { insert(crowdedHash().Draw(t, "hash")) },
			"insert many": func(t *rapid.T) { // so that it grows
				for _, hash := range rapid.SliceOfN(crowdedHash(), 1, 200).Draw(t, "hashes") {
					insert(hash)
				}
			},
			"remove": func(t *rapid.T) {
				if len(all) > 0 {
					remove(t)
				}
			},
			"remove many": func(t *rapid.T) { // so that it shrinks
				for range rapid.IntRange(0, len(all)).Draw(t, "number") {
					remove(t)
				}
			},
			"": func(t *rapid.T) { checkIndex(t, &x, all) },
		})
	})
}

func checkIndex(t *rapid.T, x *index[*lock], all []*lock) {
	there := make(map[*lock]int)
	for i, l := range x.chains {
		for ; l != nil; l = l.next {
			there[l]++
			if x.chain(l.hash) != &x.chains[i] {
				t.Fatalf("a lock of the hash %x is in chain %d of %d", l.hash, i, len(x.chains))
			}
		}
	}
	for _, l := range all {
		if there[l] != 1 {
			t.Fatalf("a lock of the hash %x is there %d times", l.hash, there[l])
		}
	}
	if x.len != len(all) || len(there) != len(all) {
		t.Fatalf("there are %d locks, by the index's length %d, and there should be %d", len(there), x.len, len(all))
	}
	if n := len(x.chains); n < x.len || n > max(minChains, maxChains*(x.len+1)) {
		t.Fatalf("there are %d chains for %d locks", n, x.len)
	}
}

// At whatever size, on its way up and down: a few that come and go make an index
// resize once at most, not again and again.
func TestAnIndexStaysAsItIsWithWhatComesAndGoes(t *testing.T) {
	var x index[*lock]
	all := make([]*lock, 2_000)
	for i := range all {
		all[i] = &lock{hash: uint32(i) * 0x9e3779b9}
	}
	comeAndGo := func(few []*lock) {
		before, resizes := len(x.chains), 0
		count := func() {
			if n := len(x.chains); n != before {
				before = n
				resizes++
			}
		}
		for range 5 {
			for _, l := range few {
				x.remove(l)
				count()
			}
			for _, l := range few {
				x.insert(l)
				count()
			}
		}
		if resizes > 1 {
			t.Fatalf("with %d locks, %d of which came and went, it was resized %d times", x.len, len(few), resizes)
		}
	}
	for i, l := range all {
		x.insert(l)
		comeAndGo(all[max(0, i-3) : i+1])
	}
	for i, l := range all {
		x.remove(l)
		comeAndGo(all[i+1 : min(i+4, len(all))])
	}
}

// BenchmarkGrow measures how long others may be kept from a shard by one lock that
// comes: the longest of all inserts into an index that gets so many, as in a table
// with a million locks and with ten. GOGC=off leaves the collector out of it.
func BenchmarkGrow(b *testing.B) {
	for _, locks := range []int{4_000, 40_000} {
		b.Run(fmt.Sprintf("locks=%d", locks), func(b *testing.B) {
			longest := make([]float64, 0, 100)
			for b.Loop() {
				var x index[*lock]
				most := time.Duration(0)
				for range locks {
					l := &lock{hash: rand.Uint32()}
					begun := time.Now()
					x.insert(l)
					most = max(most, time.Since(begun))
				}
				longest = append(longest, float64(most.Microseconds()))
			}
			slices.Sort(longest)
			b.ReportMetric(longest[len(longest)/2], "longest-µs")
		})
	}
}
