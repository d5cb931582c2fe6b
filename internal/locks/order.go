package locks

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// Listings are sorted by short keys, not by the entries themselves: most
// comparisons are of two numbers that lie beside each other, where those of names
// read four places far apart.

// A ref stands for an entry while entries are sorted.
type ref struct {
	key   uint64 // seven bytes of the name, and how many there are
	place int    // of the entry
}

// keyBytes is how much of a name a key has.
const keyBytes = 7

// moreBytes is the lowest byte of a key whose name goes on behind it.
const moreBytes = keyBytes + 1

// keyAt returns the key of a name from depth on. Keys are ordered as the names
// are, as far as they go: where one name ends, the lowest byte tells it from one
// that goes on with zeros.
func keyAt(name []byte, depth int) uint64 {
	rest := name[depth:]
	if len(rest) > keyBytes {
		return binary.BigEndian.Uint64(rest)&^0xff | moreBytes
	}
	var padded [8]byte
	padded[keyBytes] = byte(copy(padded[:], rest))
	return binary.BigEndian.Uint64(padded[:])
}

// A sorter sorts entries; it may be used again and again.
type sorter struct {
	entries []Entry
	refs    []ref
}

// sorted returns a copy of entries, in the order that [Table.List] has, with names
// of its own that lie in that order too: whoever goes along them needs each line of
// the cache once.
func (s *sorter) sorted(entries []Entry) []Entry {
	s.entries = entries
	s.refs = s.refs[:0]
	for i := range entries {
		s.refs = append(s.refs, ref{place: i})
	}
	s.sortRefs(s.refs, 0)
	return s.copied()
}

// copied returns the entries in the order of the refs.
func (s *sorter) copied() []Entry {
	all := make([]Entry, len(s.refs))
	names := make([]byte, 0, s.nameBytes())
	for i, r := range s.refs {
		e := s.entries[r.place]
		if i > 0 && bytes.Equal(all[i-1].Name, e.Name) {
			e.Name = all[i-1].Name
		} else {
			begin := len(names)
			names = append(names, e.Name...)
			e.Name = names[begin:len(names):len(names)]
		}
		all[i] = e
	}
	return all
}

// nameBytes returns how long the different names are together.
func (s *sorter) nameBytes() int {
	n := 0
	for i, r := range s.refs {
		if name := s.entries[r.place].Name; i == 0 || !bytes.Equal(name, s.entries[s.refs[i-1].place].Name) {
			n += len(name)
		}
	}
	return n
}

// fewRefs is how many are sorted without keys: reading names to make these is as
// much as comparing them.
const fewRefs = 8

// sortRefs sorts refs to entries whose names are the same up to depth.
func (s *sorter) sortRefs(refs []ref, depth int) {
	if len(refs) <= fewRefs {
		slices.SortFunc(refs, func(a, b ref) int { return compareEntries(&s.entries[a.place], &s.entries[b.place]) })
		return
	}
	depth += s.sameFrom(refs, depth)
	for i := range refs {
		refs[i].key = keyAt(s.entries[refs[i].place].Name, depth)
	}
	slices.SortFunc(refs, func(a, b ref) int { return cmp.Compare(a.key, b.key) })
	for len(refs) > 0 {
		n := 1
		for n < len(refs) && refs[n].key == refs[0].key {
			n++
		}
		s.sortSame(refs[:n], depth)
		refs = refs[n:]
	}
}

// sortSame sorts refs of the same key at depth.
func (s *sorter) sortSame(refs []ref, depth int) {
	switch {
	case len(refs) == 1:
	case byte(refs[0].key) == moreBytes:
		s.sortRefs(refs, depth+keyBytes)
	default: // the same name
		slices.SortFunc(refs, func(a, b ref) int { return compareInName(&s.entries[a.place], &s.entries[b.place]) })
	}
}

// sameFrom returns how many bytes the names of all refs have in common from depth on.
func (s *sorter) sameFrom(refs []ref, depth int) int {
	same := s.entries[refs[0].place].Name[depth:]
	for _, r := range refs[1:] {
		same = same[:commonPrefix(same, s.entries[r.place].Name[depth:])]
		if len(same) == 0 {
			break
		}
	}
	return len(same)
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// A merger merges sorted parts, by a tree of losers: a tournament in which each
// match keeps its loser, so that the next after the winner is found by playing
// again only the matches on the winner's way up.
type merger struct {
	depth int   // what all names have in common
	runs  []run // what is left of each part
	tree  []int // of runs: the winner, then the loser of each match; the match below i is i/2
}

// A run is a sorted part, but for what was taken from its front.
type run struct {
	key     uint64 // of the first entry
	entries []Entry
}

// over is the key of a run that has ended: no name has it.
const over = ^uint64(0)

func newMerger(parts [][]Entry) *merger {
	m := &merger{depth: commonDepth(parts), runs: make([]run, len(parts)), tree: make([]int, len(parts))}
	for i, part := range parts {
		m.runs[i] = run{entries: part}
		m.runs[i].setKey(m.depth)
	}
	if len(parts) > 0 {
		m.tree[0] = m.play(1)
	}
	return m
}

// commonDepth returns how many bytes all names of sorted parts have in common.
func commonDepth(parts [][]Entry) int {
	if len(parts) == 0 {
		return 0
	}
	same := parts[0][0].Name
	for _, part := range parts {
		same = same[:commonPrefix(same, part[0].Name)]
		same = same[:commonPrefix(same, part[len(part)-1].Name)]
	}
	return len(same)
}

// play plays the matches from i on down, and returns the winner. Behind the
// matches come the runs themselves.
func (m *merger) play(i int) int {
	if i >= len(m.runs) {
		return i - len(m.runs)
	}
	a, b := m.play(2*i), m.play(2*i+1)
	if m.less(b, a) {
		a, b = b, a
	}
	m.tree[i] = b
	return a
}

// take appends the first entry of all to dst. There must be one.
func (m *merger) take(dst []Entry) []Entry {
	winner := m.tree[0]
	r := &m.runs[winner]
	dst = append(dst, r.entries[0])
	r.entries = r.entries[1:]
	r.setKey(m.depth)
	for i := (winner + len(m.runs)) / 2; i > 0; i /= 2 {
		if m.less(m.tree[i], winner) {
			m.tree[i], winner = winner, m.tree[i]
		}
	}
	m.tree[0] = winner
	return dst
}

func (m *merger) less(a, b int) bool {
	x, y := &m.runs[a], &m.runs[b]
	if x.key != y.key || x.key == over {
		return x.key < y.key
	}
	return compareEntries(&x.entries[0], &y.entries[0]) < 0
}

func (r *run) setKey(depth int) {
	r.key = over
	if len(r.entries) > 0 {
		r.key = keyAt(r.entries[0].Name, depth)
	}
}

func compareEntries(a, b *Entry) int {
	if c := bytes.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return compareInName(a, b)
}

// compareInName compares entries of the same name.
func compareInName(a, b *Entry) int {
	return cmp.Or(cmp.Compare(a.Mode, b.Mode), cmp.Compare(a.place, b.place))
}
