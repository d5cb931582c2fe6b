package locks

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// A lock beyond a line of the cache takes two of them, and what a million locks or many
// connections take is in docs/performance.md.
func TestSizesOfObjects(t *testing.T) {
	for _, of := range []struct {
		name         string
		size, atMost uintptr
	}{
		{"lock", unsafe.Sizeof(lock{}), 64},
		{"shared hold", unsafe.Sizeof(sharedHold{}), 48},
		{"waiter", unsafe.Sizeof(waiter{}), 64},
		{"session", unsafe.Sizeof(Session{}), 64},
		{"extra", unsafe.Sizeof(extra{}), 24},
		{"chunk of locks", unsafe.Sizeof(chunk[lock]{}), 2 << 10},
	} {
		if of.size > of.atMost {
			t.Errorf("a %s has %d bytes, not %d at most", of.name, of.size, of.atMost)
		}
	}
}

// A pointer in any of them would have the collector go through all of them.
func TestTheCollectorHasNothingToLookForInATable(t *testing.T) {
	for _, of := range []reflect.Type{
		reflect.TypeFor[chunk[lock]](), reflect.TypeFor[chunk[sharedHold]](), reflect.TypeFor[chunk[waiter]](),
		reflect.TypeFor[chunk[extra]](), reflect.TypeFor[chunk[[mediumName]byte]](),
	} {
		if path := pointerIn(of); path != "" {
			t.Errorf("%v has a pointer in %s", of, path)
		}
	}
	if pointerIn(reflect.TypeFor[chunk[[]byte]]()) == "" {
		t.Error("no pointer is found where there is one")
	}
}

// pointerIn returns where a type has a pointer, "" where it has none.
func pointerIn(of reflect.Type) string {
	switch of.Kind() {
	case reflect.Struct:
		for f := range of.NumField() {
			if path := pointerIn(of.Field(f).Type); path != "" {
				return of.Field(f).Name + " " + path
			}
		}
		return ""
	case reflect.Array:
		return pointerIn(of.Elem())
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return ""
	}
	return of.String()
}

// Two stocks of one slab take and give, and are compared with maps of what they have.
func TestStocksKeepWhatWasTakenFromThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s slab[uint64]
		stocks := []stock[uint64]{{slab: &s}, {slab: &s}}
		have := []map[ref]uint64{{}, {}}
		next := uint64(0)
		which := func(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "stock") }
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				i := which(t)
				for range rapid.IntRange(1, 3*chunkSlots).Draw(t, "number") {
					r, at := stocks[i].take()
					if *at != 0 {
						t.Fatalf("what is new has %d in it", *at)
					}
					if r == 0 || r > maxRef || have[0][r] != 0 || have[1][r] != 0 {
						t.Fatalf("what is new has the number %d", r)
					}
					next++
					*at, have[i][r] = next, next
				}
			},
			"give": func(t *rapid.T) {
				i := which(t)
				refs := slices.Sorted(maps.Keys(have[i]))
				keep := rapid.IntRange(0, len(refs)).Draw(t, "kept")
				for _, r := range rapid.Permutation(refs).Draw(t, "order")[keep:] {
					stocks[i].give(r)
					delete(have[i], r)
				}
			},
			"": func(t *rapid.T) {
				for i := range stocks {
					for r, want := range have[i] {
						if got := *stocks[i].at(r); got != want {
							t.Fatalf("at %d is %d, and should be %d", r, got, want)
						}
					}
				}
				checkChunks(t, &s, have)
			},
		})
	})
}

// checkChunks wants no more chunks than those in use and a spare one for each stock.
func checkChunks(t *rapid.T, s *slab[uint64], have []map[ref]uint64) {
	used := make(map[uint32]bool)
	for _, refs := range have {
		for r := range refs {
			used[uint32(r>>slotBits)] = true
		}
	}
	there := 0
	if chunks := s.chunks.Load(); chunks != nil {
		for _, c := range *chunks {
			if c != nil {
				there++
			}
		}
	}
	if there < len(used) || there > len(used)+len(have) {
		t.Fatalf("there are %d chunks, and %d are in use", there, len(used))
	}
}

// A full chunk of which one object comes and goes, and one more that is needed and
// not, make no chunks.
func TestAStockThatComesAndGoesAllocatesNothing(t *testing.T) {
	for n := range 3 * chunkSlots {
		s := stock[uint64]{slab: new(slab[uint64])}
		var refs []ref
		for range n + 1 {
			r, _ := s.take()
			refs = append(refs, r)
		}
		few := refs[max(0, n-2):]
		comeAndGo := func() {
			for _, r := range few {
				s.give(r)
			}
			for i := range few {
				few[i], _ = s.take()
			}
		}
		if allocs := testing.AllocsPerRun(100, comeAndGo); allocs != 0 {
			t.Fatalf("with %d, %v allocations", n, allocs)
		}
	}
}
