package locks

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A hash cannot be made to collide from outside, so this asks the
// shard itself.
func TestLocksOfOneHashAreToldApart(t *testing.T) {
	const hash = 42
	sh := &New(Limits{}, NewTokens(0)).shards[0]
	var all []ref
	for _, of := range []struct {
		hash uint32
		mode Mode
		name string
	}{
		{hash, Exclusive, "a"},
		{hash, Shared, "a"},
		{hash, Exclusive, "b"},
		{hash, Shared, ""},
		{hash + minChains, Exclusive, "a"}, // the same chain
	} {
		at, l := sh.locks.take()
		l.hash, l.mode = of.hash, of.mode
		sh.setName(l, []byte(of.name))
		all = append(all, at)
	}
	found := func(r ref) ref {
		l := sh.locks.at(r)
		at, _ := sh.lookup(l.hash, l.mode, sh.table.name(l))
		return at
	}
	for i, r := range all {
		if found(r) != 0 {
			t.Fatalf("lock %d is found before it is there", i)
		}
		sh.byName.insert(r, sh.locks.at(r))
	}
	for _, i := range []int{2, 0, 4, 3, 1} { // from the middle and both ends of the chain
		for j, r := range all {
			if got := found(r); got != r {
				t.Errorf("looking for lock %d finds another: %v", j, got)
			}
		}
		sh.byName.remove(all[i], sh.locks.at(all[i]))
		if found(all[i]) != 0 {
			t.Errorf("lock %d is found after it was removed", i)
		}
		sh.byName.insert(all[i], sh.locks.at(all[i]))
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

// A shelf is an index with what it is to hold.
type shelf struct {
	index[lock, *lock]
	stock stock[lock]
}

func newShelf() *shelf {
	s := &shelf{stock: stock[lock]{slab: new(slab[lock])}}
	s.objects = s.stock.slab
	return s
}

func (s *shelf) insert(r ref) { s.index.insert(r, s.objects.at(r)) }
func (s *shelf) remove(r ref) { s.index.remove(r, s.objects.at(r)) }

// lock returns a new lock that is not in the index.
func (s *shelf) lock(hash uint32) ref {
	r, l := s.stock.take()
	l.hash = hash
	return r
}

func TestAnIndexHasWhatWasInsertedAndNotRemoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newShelf()
		var all []ref
		insert := func(hash uint32) {
			all = append(all, x.lock(hash))
			x.insert(all[len(all)-1])
		}
		remove := func(t *rapid.T) {
			i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
			x.remove(all[i])
			x.stock.give(all[i])
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
			"": func(t *rapid.T) { checkIndex(t, x, all) },
		})
	})
}

func checkIndex(t *rapid.T, x *shelf, all []ref) {
	there := make(map[ref]int)
	for i, r := range x.chains {
		for r != 0 {
			there[r]++
			l := x.objects.at(r)
			if x.chain(l.hash) != &x.chains[i] {
				t.Fatalf("a lock of the hash %x is in chain %d of %d", l.hash, i, len(x.chains))
			}
			r = l.own.next
		}
	}
	for _, r := range all {
		if there[r] != 1 {
			t.Fatalf("the lock %d is there %d times", r, there[r])
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
	x := newShelf()
	all := make([]ref, 2_000)
	for i := range all {
		all[i] = x.lock(uint32(i) * 0x9e3779b9)
	}
	comeAndGo := func(few []ref) {
		before, resizes := len(x.chains), 0
		count := func() {
			if n := len(x.chains); n != before {
				before = n
				resizes++
			}
		}
		for range 5 {
			for _, r := range few {
				x.remove(r)
				count()
			}
			for _, r := range few {
				x.insert(r)
				count()
			}
		}
		if resizes > 1 {
			t.Fatalf("with %d locks, %d of which came and went, it was resized %d times", x.len, len(few), resizes)
		}
	}
	for i, r := range all {
		x.insert(r)
		comeAndGo(all[max(0, i-3) : i+1])
	}
	for i, r := range all {
		x.remove(r)
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
				x := newShelf()
				most := time.Duration(0)
				for range locks {
					r := x.lock(rand.Uint32())
					begun := time.Now()
					x.insert(r)
					most = max(most, time.Since(begun))
				}
				longest = append(longest, float64(most.Microseconds()))
			}
			slices.Sort(longest)
			b.ReportMetric(longest[len(longest)/2], "longest-µs")
		})
	}
}
