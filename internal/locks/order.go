package locks

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// Listings are sorted by short keys, not by the rows themselves: most
// comparisons are of two numbers that lie beside each other, where those of names
// read four places far apart.

// A sortKey stands for a row while rows are sorted.
type sortKey struct {
	key   uint64 // seven bytes of the name, and how many there are
	place int    // of the row
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

// A sorter sorts parts; it may be used again and again.
type sorter struct {
	part part
	keys []sortKey
}

// sorted returns a copy of a part, in the order that [Table.List] has, with names
// of its own that lie in that order too: whoever goes along them needs each line of
// the cache once.
func (s *sorter) sorted(p part) part {
	s.part = p
	s.keys = s.keys[:0]
	for i := range p.rows {
		s.keys = append(s.keys, sortKey{place: i})
	}
	s.sortRows(s.keys, 0)
	return s.copied()
}

// copied returns the rows in the order of the keys.
func (s *sorter) copied() part {
	p := part{
		rows: make([]row, len(s.keys)), names: make([]byte, 0, len(s.part.names)), sessions: slices.Clone(s.part.sessions),
	}
	for i, k := range s.keys {
		r := s.part.rows[k.place]
		name := s.part.nameOf(&r)
		if i > 0 && bytes.Equal(p.nameOf(&p.rows[i-1]), name) {
			r.name = p.rows[i-1].name
		} else {
			r.name = uint32(len(p.names))
			p.names = append(p.names, name...)
		}
		p.rows[i] = r
	}
	return p
}

// name returns the name of the row that a key stands for.
func (s *sorter) name(k sortKey) []byte { return s.part.nameOf(&s.part.rows[k.place]) }

// compare compares the rows that keys stand for.
func (s *sorter) compare(a, b sortKey) int {
	return cmp.Or(bytes.Compare(s.name(a), s.name(b)), s.compareInName(a, b))
}

// compareInName compares those of the same name.
func (s *sorter) compareInName(a, b sortKey) int {
	return cmp.Compare(s.part.rows[a.place].rank, s.part.rows[b.place].rank)
}

// fewRows is how many are sorted without keys: reading names to make these is as
// much as comparing them.
const fewRows = 8

// sortRows sorts keys of rows whose names are the same up to depth.
func (s *sorter) sortRows(keys []sortKey, depth int) {
	if len(keys) <= fewRows {
		slices.SortFunc(keys, s.compare)
		return
	}
	depth += s.sameFrom(keys, depth)
	for i := range keys {
		keys[i].key = keyAt(s.name(keys[i]), depth)
	}
	slices.SortFunc(keys, func(a, b sortKey) int { return cmp.Compare(a.key, b.key) })
	for len(keys) > 0 {
		n := 1
		for n < len(keys) && keys[n].key == keys[0].key {
			n++
		}
		s.sortSame(keys[:n], depth)
		keys = keys[n:]
	}
}

// sortSame sorts rows of the same key at depth.
func (s *sorter) sortSame(keys []sortKey, depth int) {
	switch {
	case len(keys) == 1:
	case byte(keys[0].key) == moreBytes:
		s.sortRows(keys, depth+keyBytes)
	default: // the same name
		slices.SortFunc(keys, s.compareInName)
	}
}

// sameFrom returns how many bytes the names of all have in common from depth on.
func (s *sorter) sameFrom(keys []sortKey, depth int) int {
	same := s.name(keys[0])[depth:]
	for _, r := range keys[1:] {
		same = same[:commonPrefix(same, s.name(r)[depth:])]
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
	key uint64 // of the first row
	part
}

// over is the key of a run that has ended: no name has it.
const over = ^uint64(0)

func newMerger(parts []part) *merger {
	m := &merger{depth: commonDepth(parts), runs: make([]run, len(parts)), tree: make([]int, len(parts))}
	for i, part := range parts {
		m.runs[i].part = part
		m.runs[i].setKey(m.depth)
	}
	if len(parts) > 0 {
		m.tree[0] = m.play(1)
	}
	return m
}

// commonDepth returns how many bytes all names of sorted parts have in common.
func commonDepth(parts []part) int {
	if len(parts) == 0 {
		return 0
	}
	same := parts[0].nameOf(&parts[0].rows[0])
	for _, p := range parts {
		same = same[:commonPrefix(same, p.nameOf(&p.rows[0]))]
		same = same[:commonPrefix(same, p.nameOf(&p.rows[len(p.rows)-1]))]
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

// left tells whether there are rows left.
func (m *merger) left() bool { return len(m.runs) > 0 && len(m.runs[m.tree[0]].rows) > 0 }

// take takes the first of all, which must be there.
func (m *merger) take() Entry {
	winner := m.tree[0]
	r := &m.runs[winner]
	e := r.entry(&r.rows[0])
	r.rows = r.rows[1:]
	r.setKey(m.depth)
	for i := (winner + len(m.runs)) / 2; i > 0; i /= 2 {
		if m.less(m.tree[i], winner) {
			m.tree[i], winner = winner, m.tree[i]
		}
	}
	m.tree[0] = winner
	return e
}

func (m *merger) less(a, b int) bool {
	x, y := &m.runs[a], &m.runs[b]
	if x.key != y.key || x.key == over {
		return x.key < y.key
	}
	// A name has its two locks in different shards, in general.
	c := bytes.Compare(x.nameOf(&x.rows[0]), y.nameOf(&y.rows[0]))
	return c < 0 || c == 0 && x.rows[0].rank < y.rows[0].rank
}

func (r *run) setKey(depth int) {
	r.key = over
	if len(r.rows) > 0 {
		r.key = keyAt(r.nameOf(&r.rows[0]), depth)
	}
}
