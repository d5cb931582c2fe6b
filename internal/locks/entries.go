package locks

import (
	"bytes"
	"iter"
	"runtime"
	"slices"
	"time"
	"unsafe"
)

// An Entry is one holder of a lock or one who waits for it, as a listing shows
// it. Its name is a copy that nobody changes.
type Entry struct {
	Name    []byte
	Session *Session
	Token   uint64        // of a holder; 0 for who waits
	Since   time.Duration // when it got the lock, or began to wait
	Max     int           // of who waits; 0 is no limit
	Mode    Mode
	Waiting bool
}

// A Query tells what [Table.List] is to list.
type Query struct {
	Exclusive, Shared bool   // the modes
	Name              []byte // the beginning of the names listed; only lent
	Exact             bool   // Name is the one name listed
	Waiters           bool   // those who wait as well
}

// List returns the holders of locks: sorted by the bytes of the locks' names,
// exclusive locks before shared, the holders of a lock in the order they got it,
// then those who wait for it in the order they are served in. The list may be gone
// along once, by one goroutine; it is that of the time of the call.
//
// Each shard is copied under its mutex and all else, the allocation too, happens
// outside, so a listing delays nobody by more than the copying of one shard. It
// lets others have the processor all the time. Shards are seen one after the
// other: the list is exact for each lock, and for all of them where nothing changes
// meanwhile.
func (t *Table) List(q Query) iter.Seq[Entry] {
	if q.Exact {
		return slices.Values(t.listOne(q))
	}
	parts := make([]part, 0, len(t.shards))
	var c copier
	var s sorter
	for i := range t.shards {
		t.shards[i].list(q, &c)
		if len(c.part.rows) == 0 {
			continue
		}
		parts = append(parts, s.sorted(c.part))
		runtime.Gosched()
	}
	return merge(parts)
}

// mergeAtOnce is how many entries are merged before others have the processor:
// some tenths of a millisecond.
const mergeAtOnce = 1 << 10

// merge goes along sorted parts as if they were one.
func merge(parts []part) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		m := newMerger(parts)
		for n := 1; m.left(); n++ {
			if !yield(m.take()) {
				return
			}
			if n%mergeAtOnce == 0 {
				runtime.Gosched()
			}
		}
	}
}

// listOne lists one name.
func (t *Table) listOne(q Query) (entries []Entry) {
	name := bytes.Clone(q.Name)
	for m := range numModes {
		if q.wants(m) {
			entries = t.appendOne(entries, m, name, q.Waiters)
		}
	}
	return entries
}

func (t *Table) appendOne(dst []Entry, m Mode, name []byte, waiters bool) []Entry {
	hash, sh := t.find(m, name)
	for {
		sh.mu.Lock()
		_, l := sh.lookup(hash, m, name)
		n := 0
		if l != nil {
			n = t.holders(l) + t.waiting(l)
		}
		if n <= cap(dst)-len(dst) {
			defer sh.mu.Unlock()
			if l == nil {
				return dst
			}
			t.eachStanding(l, waiters, func(s standing) { dst = append(dst, s.entry(t, name, m)) })
			return dst
		}
		sh.mu.Unlock()
		dst = slices.Grow(dst, n+n/8)
	}
}

func (q Query) wants(m Mode) bool { return m == Exclusive && q.Exclusive || m == Shared && q.Shared }

// list copies what the shard has of what is wanted, in no order, in place of what
// c had.
func (sh *shard) list(q Query, c *copier) {
	c.part.rows, c.part.names, c.part.sessions, c.locks = c.part.rows[:0], c.part.names[:0], c.part.sessions[:0], c.locks[:0]
	sh.lockWithRoom(q, c)
	defer sh.mu.Unlock()
	// First only along the chains: the processor fetches many locks at a time then,
	// where it would wait for each while it copies.
	for _, r := range sh.byName.chains {
		for r != 0 {
			l := sh.locks.at(r)
			c.locks = append(c.locks, l)
			r = l.own.next
		}
	}
	for _, l := range c.locks {
		if q.wants(l.mode) && bytes.HasPrefix(sh.table.name(l), q.Name) {
			c.add(sh.table, l, q.Waiters)
		}
	}
}

// lockWithRoom locks the shard and has room in c for all that the query may find
// there, which was made while the shard was not locked.
func (sh *shard) lockWithRoom(q Query, c *copier) {
	for {
		sh.mu.Lock()
		rows, names := sh.size(q)
		locks := sh.byName.len
		if rows <= cap(c.part.rows) && names <= cap(c.part.names) && locks <= cap(c.locks) {
			return
		}
		sh.mu.Unlock()
		// Somewhat more, so that a shard that grows is caught up with.
		rows += rows/8 + 8
		c.part.rows = make([]row, 0, rows)
		c.part.names = make([]byte, 0, names+names/8+128)
		c.locks = make([]*lock, 0, locks+locks/8+8)
		c.part.sessions = make([]*Session, 0, rows)
	}
}

// size returns how many entries a query can find at most, and how many bytes
// their names have.
func (sh *shard) size(q Query) (entries, nameBytes int) {
	for m := range numModes {
		if q.wants(m) {
			entries += int(sh.counts[m].Holders)
			nameBytes += int(sh.counts[m].NameBytes)
			if q.Waiters {
				entries += int(sh.counts[m].Waiters)
			}
		}
	}
	return entries, nameBytes
}

// A row is an entry as it is kept between copying and listing: small, and without
// pointers, so that the collector has nothing to look for in it. (A listing of a
// million locks in entries made it run twice, and all others wait for that.)
type row struct {
	value   uint64 // token of who holds, max of who waits
	since   time.Duration
	session uint32 // in part.sessions
	name    uint32 // where it begins in part.names
	nameLen uint32
	rank    uint32 // among those of the same name: mode, then waiting, then place in the lock
}

const (
	rankShared  = 1 << 31
	rankWaiting = 1 << 30
)

// A part has the rows of a shard.
type part struct {
	rows     []row
	names    []byte     // of the rows
	sessions []*Session // of the rows; neighbours of one session share its place
}

func (p *part) nameOf(r *row) []byte { return p.names[r.name : r.name+r.nameLen : r.name+r.nameLen] }

// A copier copies the locks of a shard, into what it has from the one before where
// that is large enough.
type copier struct {
	part  part
	locks []*lock // of the shard
}

func (c *copier) add(t *Table, l *lock, waiters bool) {
	name := t.name(l)
	r := row{name: uint32(len(c.part.names)), nameLen: uint32(len(name))}
	if l.mode == Shared {
		r.rank = rankShared
	}
	c.part.names = append(c.part.names, name...)
	t.eachStanding(l, waiters, func(s standing) {
		r.session, r.since, r.value = c.session(t.member(s.session)), s.since, s.token
		if s.waiting {
			r.value = uint64(s.max)
			r.rank |= rankWaiting
		}
		c.part.rows = append(c.part.rows, r)
		r.rank++
	})
}

func (c *copier) session(s *Session) uint32 {
	p := &c.part
	if n := len(p.sessions); n == 0 || p.sessions[n-1] != s {
		p.sessions = append(p.sessions, s)
	}
	return uint32(len(p.sessions) - 1)
}

// A standing is one who holds a lock or waits for it.
type standing struct {
	session ref
	since   time.Duration
	token   uint64
	max     int
	waiting bool
}

// eachStanding calls f for those who hold the lock and then, if wanted, for those who
// wait.
func (t *Table) eachStanding(l *lock, waiters bool, f func(standing)) {
	var s standing
	for h := range t.holdsOf(l) {
		s.session, s.since, s.token = h.session, h.since, h.grant.token()
		f(s)
	}
	if !waiters || t.waiting(l) == 0 {
		return
	}
	s.waiting, s.token = true, 0
	for r := t.extras.at(l.extra).queue.first; r != 0; {
		w := t.waiters.at(r)
		s.session, s.since, s.max = w.session, w.since, w.max
		f(s)
		r = w.nextQueued
	}
}

func (s standing) entry(t *Table, name []byte, m Mode) Entry {
	return Entry{Name: name, Session: t.member(s.session), Token: s.token, Since: s.since, Max: s.max, Mode: m, Waiting: s.waiting}
}

// entry returns what a row stands for.
func (p *part) entry(r *row) Entry {
	e := Entry{Name: p.nameOf(r), Session: p.sessions[r.session], Since: r.since, Waiting: r.rank&rankWaiting != 0}
	if r.rank&rankShared != 0 {
		e.Mode = Shared
	}
	if e.Waiting {
		e.Max = int(r.value)
	} else {
		e.Token = r.value
	}
	return e
}

// ListBytes returns about how much memory List takes for a query, in a table with
// these counters.
func ListBytes(s Stats, q Query) int64 {
	if q.Exact {
		return 0
	}
	var sum int64
	for m, of := range [numModes]ModeStats{Exclusive: s.Exclusive, Shared: s.Shared} {
		if !q.wants(Mode(m)) {
			continue
		}
		entries := of.Holders
		if q.Waiters {
			entries += of.Waiters
		}
		sum += int64(entries)*int64(unsafe.Sizeof(row{})+unsafe.Sizeof((*Session)(nil))) + int64(of.NameBytes)
	}
	return sum
}
