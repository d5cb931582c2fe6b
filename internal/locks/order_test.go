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

func someEntries() *rapid.Generator[[]Entry] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Entry {
		return Entry{
			Name: someName().Draw(t, "name"),
			Mode: rapid.SampledFrom([]Mode{Exclusive, Shared}).Draw(t, "mode"),
		}
	}), 0, 100)
}

// slowly sorts in the obvious way.
func slowly(entries []Entry) []Entry {
	return slices.SortedFunc(slices.Values(entries), func(a, b Entry) int {
		return cmp.Or(strings.Compare(string(a.Name), string(b.Name)), cmp.Compare(a.Mode, b.Mode), cmp.Compare(a.place, b.place))
	})
}

func same(a, b []Entry) bool {
	return slices.EqualFunc(a, b, func(a, b Entry) bool {
		return string(a.Name) == string(b.Name) && a.Mode == b.Mode && a.place == b.place
	})
}

func TestEntriesAreSortedAsComparingThemDoes(t *testing.T) {
	var s sorter
	rapid.Check(t, func(t *rapid.T) {
		entries := someEntries().Draw(t, "entries")
		for i := range entries {
			entries[i].place = int32(i)
		}
		want := slowly(entries)
		if got := s.sorted(entries); !same(got, want) {
			t.Fatalf("sorted to %v, want %v", got, want)
		}
	})
}

func TestSortedPartsAreMergedAsSortingAllDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts [][]Entry
		var all []Entry
		for range rapid.IntRange(0, 20).Draw(t, "parts") {
			part := someEntries().Draw(t, "part")
			if len(part) == 0 {
				continue
			}
			for i := range part {
				part[i].place = int32(len(all) + i)
			}
			all = append(all, part...)
			parts = append(parts, slowly(part))
		}
		if got, want := merge(parts, len(all)), slowly(all); !same(got, want) {
			t.Fatalf("merged to %v, want %v", got, want)
		}
	})
}

// Holders of one lock must not take time as their square.
func TestManyHoldersOfOneLockAreSorted(t *testing.T) {
	entries := make([]Entry, 100_000)
	for i, place := range rand.Perm(len(entries)) {
		entries[i] = Entry{Name: []byte("some/lock/of/many"), Mode: Shared, place: int32(place)}
	}
	for i, e := range new(sorter).sorted(entries) {
		if e.place != int32(i) {
			t.Fatalf("at %d stands the holder %d", i, e.place)
		}
	}
}
