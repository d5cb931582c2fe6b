package locks

import (
	"bytes"
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
	place   int32         // within the lock: holders, then waiters, each in order
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
// then those who wait for it in the order they are served in.
//
// Each shard is copied under its mutex and all else, the allocation too, happens
// outside, so a listing delays nobody by more than the copying of one shard. It
// lets others have the processor all the time. Shards are seen one after the
// other: the list is exact for each lock, and for all of them where nothing changes
// meanwhile.
func (t *Table) List(q Query) []Entry {
	if q.Exact {
		return t.listOne(q)
	}
	parts := make([][]Entry, 0, len(t.shards))
	n := 0
	var c copier
	var s sorter
	for i := range t.shards {
		t.shards[i].list(q, &c)
		if len(c.entries) == 0 {
			continue
		}
		parts = append(parts, s.sorted(c.entries))
		n += len(c.entries)
		runtime.Gosched()
	}
	return merge(parts, n)
}

// mergeAtOnce is how many entries are merged before others have the processor:
// some tenths of a millisecond.
const mergeAtOnce = 1 << 10

// merge returns the n entries of sorted parts, sorted.
func merge(parts [][]Entry, n int) []Entry {
	if len(parts) == 1 {
		return parts[0]
	}
	all := make([]Entry, 0, n)
	m := newMerger(parts)
	for len(all) < n {
		all = m.take(all)
		if len(all)%mergeAtOnce == 0 {
			runtime.Gosched()
		}
	}
	return all
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
		l := sh.lookup(hash, m, name)
		n := 0
		if l != nil {
			n = l.holders() + l.waiting()
		}
		if n <= cap(dst)-len(dst) {
			defer sh.mu.Unlock()
			if l == nil {
				return dst
			}
			return l.appendEntries(dst, name, waiters)
		}
		sh.mu.Unlock()
		dst = slices.Grow(dst, n+n/8)
	}
}

func (q Query) wants(m Mode) bool { return m == Exclusive && q.Exclusive || m == Shared && q.Shared }

// list copies what the shard has of what is wanted, in no order, in place of what
// c had.
func (sh *shard) list(q Query, c *copier) {
	c.entries, c.names, c.locks = c.entries[:0], c.names[:0], c.locks[:0]
	sh.lockWithRoom(q, c)
	defer sh.mu.Unlock()
	// First only along the chains: the processor fetches many locks at a time then,
	// where it would wait for each while it copies.
	for _, l := range sh.locks.chains {
		for ; l != nil; l = l.next {
			c.locks = append(c.locks, l)
		}
	}
	for _, l := range c.locks {
		if q.wants(l.mode) && bytes.HasPrefix(l.name(), q.Name) {
			c.add(l, q.Waiters)
		}
	}
}

// lockWithRoom locks the shard and has room in c for all that the query may find
// there, which was made while the shard was not locked.
func (sh *shard) lockWithRoom(q Query, c *copier) {
	for {
		sh.mu.Lock()
		entries, names := sh.size(q)
		locks := sh.locks.len
		if entries <= cap(c.entries) && names <= cap(c.names) && locks <= cap(c.locks) {
			return
		}
		sh.mu.Unlock()
		// Somewhat more, so that a shard that grows is caught up with.
		c.entries = make([]Entry, 0, entries+entries/8+8)
		c.names = make([]byte, 0, names+names/8+128)
		c.locks = make([]*lock, 0, locks+locks/8+8)
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

// A copier copies the locks of a shard, into what it has from the one before where
// that is large enough.
type copier struct {
	entries []Entry
	names   []byte  // that the entries' are cut off from
	locks   []*lock // of the shard
}

func (c *copier) add(l *lock, waiters bool) {
	begin := len(c.names)
	c.names = append(c.names, l.name()...)
	c.entries = l.appendEntries(c.entries, c.names[begin:len(c.names):len(c.names)], waiters)
}

func (l *lock) appendEntries(dst []Entry, name []byte, waiters bool) []Entry {
	place := int32(0)
	for h := range l.holds() {
		dst = append(dst, Entry{
			Name: name, Session: h.session, Token: h.grant.token(), Since: h.since, place: place, Mode: l.mode,
		})
		place++
	}
	if !waiters || l.waiting() == 0 {
		return dst
	}
	for w := l.extra.queue.first; w != nil; w = w.nextQueued {
		dst = append(dst, Entry{
			Name: name, Session: w.session, Since: w.since, Max: w.max, place: place, Mode: l.mode, Waiting: true,
		})
		place++
	}
	return dst
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
		// Each shard's copy and the sorted whole stand beside each other.
		sum += int64(entries)*2*int64(unsafe.Sizeof(Entry{})) + int64(of.NameBytes)
	}
	return sum
}
