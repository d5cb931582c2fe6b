package locks

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Names that have much in common, and zeros where others end.
func someName() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		common := rapid.SampledFrom([]string{"", "some/", "some/lock/", "some/lock/of/another/name/", "\x00\x00\x00\x00\x00\x00"}).Draw(t, "beginning")
		return append([]byte(common), rapid.StringOfN(rapid.RuneFrom([]rune("\x00a\xff")), 0, 10, 20).Draw(t, "rest")...)
	})
}

// A stand is a row with its name, or what was made of it.
type stand struct {
	name  string
	mode  Mode
	place int
}

func someStands(from int) *rapid.Generator[[]stand] {
	return rapid.Custom(func(t *rapid.T) []stand {
		stands := make([]stand, rapid.IntRange(0, 100).Draw(t, "rows"))
		for i := range stands {
			name := string(someName().Draw(t, "name"))
			stands[i] = stand{name, rapid.SampledFrom([]Mode{Exclusive, Shared}).Draw(t, "mode"), from + i}
		}
		return stands
	})
}

// partOf makes rows, whose token is their place.
func partOf(stands []stand) part {
	p := part{sessions: make([]*Session, 1)}
	for _, s := range stands {
		r := row{value: uint64(s.place), name: uint32(len(p.names)), nameLen: uint32(len(s.name)), rank: uint32(s.place)}
		if s.mode == Shared {
			r.rank |= rankShared
		}
		p.names = append(p.names, s.name...)
		p.rows = append(p.rows, r)
	}
	return p
}

func standsOf(parts ...part) (stands []stand) {
	for _, p := range parts {
		for i := range p.rows {
			stands = append(stands, standOf(p.entry(&p.rows[i])))
		}
	}
	return stands
}

func standOf(e Entry) stand { return stand{string(e.Name), e.Mode, int(e.Token)} }

// slowly sorts in the obvious way.
func slowly(stands []stand) []stand {
	return slices.SortedFunc(slices.Values(stands), func(a, b stand) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.mode, b.mode), cmp.Compare(a.place, b.place))
	})
}

func TestRowsAreSortedAsComparingThemDoes(t *testing.T) {
	var s sorter
	rapid.Check(t, func(t *rapid.T) {
		stands := someStands(0).Draw(t, "stands")
		want := slowly(stands)
		if got := standsOf(s.sorted(partOf(stands))); !slices.Equal(got, want) {
			t.Fatalf("sorted to %v, want %v", got, want)
		}
	})
}

func TestSortedPartsAreMergedAsSortingAllDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []part
		var all []stand
		for range rapid.IntRange(0, 20).Draw(t, "parts") {
			stands := someStands(len(all)).Draw(t, "stands")
			if len(stands) == 0 {
				continue
			}
			all = append(all, stands...)
			parts = append(parts, partOf(slowly(stands)))
		}
		var got []stand
		for e := range merge(parts) {
			got = append(got, standOf(e))
		}
		if want := slowly(all); !slices.Equal(got, want) {
			t.Fatalf("merged to %v, want %v", got, want)
		}
	})
}

// Holders of one lock must not take time as their square.
func TestManyHoldersOfOneLockAreSorted(t *testing.T) {
	stands := make([]stand, 100_000)
	for i, place := range rand.Perm(len(stands)) {
		stands[i] = stand{"some/lock/of/many", Shared, place}
	}
	for i, s := range standsOf(new(sorter).sorted(partOf(stands))) {
		if s.place != i {
			t.Fatalf("at %d stands the holder %d", i, s.place)
		}
	}
}
