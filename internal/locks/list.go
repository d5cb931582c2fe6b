package locks

import (
	"bytes"
	"slices"
	"unsafe"
)

// A Held is a lock that is held, as a listing shows it. Its slices are copies
// that nobody changes.
type Held struct {
	Name    []byte
	Holders []*Session // in the order they got it; never empty
}

// List returns the held locks of a mode, sorted by the bytes of their names.
// Each shard is copied under its mutex and all else, the allocation too, happens
// outside, so a listing delays nobody by more than the copying of one shard.
// Shards are seen one after the other: the list is exact for each lock, and for
// all of them where nothing changes meanwhile.
func (t *Table) List(m Mode) []Held {
	parts := make([][]Held, len(t.shards))
	n := 0
	for i := range t.shards {
		parts[i] = t.shards[i].list(m)
		n += len(parts[i])
	}
	all := make([]Held, 0, n)
	for i, part := range parts {
		all = append(all, part...)
		parts[i] = nil
	}
	slices.SortFunc(all, func(a, b Held) int { return bytes.Compare(a.Name, b.Name) })
	return all
}

// list copies the shard's locks of a mode, in no order.
func (sh *shard) list(m Mode) []Held {
	c := sh.lockWithRoom(m)
	defer sh.mu.Unlock()
	for _, l := range sh.locks.chains {
		for ; l != nil; l = l.next {
			if l.mode == m {
				c.add(l)
			}
		}
	}
	return c.held
}

// lockWithRoom locks the shard and returns a copier that has room for all its
// locks of a mode, which was made while the shard was not locked.
func (sh *shard) lockWithRoom(m Mode) copier {
	var c copier
	for {
		sh.mu.Lock()
		counts := sh.counts[m]
		if c.fits(counts) {
			return c
		}
		sh.mu.Unlock()
		// Somewhat more, so that a shard that grows is caught up with.
		c = copier{
			held:    make([]Held, 0, counts.Locks+counts.Locks/8+8),
			holders: make([]*Session, 0, counts.Holders+counts.Holders/8+8),
			names:   make([]byte, 0, counts.NameBytes+counts.NameBytes/8+128),
		}
	}
}

// A copier copies locks into a few large slices.
type copier struct {
	held    []Held
	holders []*Session
	names   []byte
}

func (c *copier) fits(counts ModeStats) bool {
	return int(counts.Locks) <= cap(c.held) && int(counts.Holders) <= cap(c.holders) &&
		int(counts.NameBytes) <= cap(c.names)
}

func (c *copier) add(l *lock) {
	name, holder := len(c.names), len(c.holders)
	c.names = append(c.names, l.name...)
	c.holders = l.appendHolders(c.holders)
	c.held = append(c.held, Held{
		Name:    c.names[name:len(c.names):len(c.names)],
		Holders: c.holders[holder:len(c.holders):len(c.holders)],
	})
}

// Holders returns the sessions that hold the lock, in the order they got it.
func (t *Table) Holders(m Mode, name []byte) []*Session {
	hash, sh := t.find(m, name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	l := sh.lookup(hash, m, name)
	if l == nil {
		return nil
	}
	return l.appendHolders(make([]*Session, 0, l.holders.len))
}

func (l *lock) appendHolders(dst []*Session) []*Session {
	for h := l.holders.first; h != nil; h = h.nextHolder {
		dst = append(dst, h.session)
	}
	return dst
}

// ListBytes returns about how much memory List takes for a mode with these
// counters.
func ListBytes(c ModeStats) int64 {
	// Each shard's copy and the sorted whole stand beside each other.
	return int64(c.Locks)*2*int64(unsafe.Sizeof(Held{})) +
		int64(c.Holders)*int64(unsafe.Sizeof((*Session)(nil))) +
		int64(c.NameBytes)
}
