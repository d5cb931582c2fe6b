package locks

import (
	"bytes"
	"encoding/binary"
	"iter"
	"time"
	"unsafe"
)

// A lock is a name that somebody holds. It belongs to its shard's mutex.
//
// Most locks are exclusive ones with a short name that nobody waits for. All of
// such a lock, its hold included, is one line of the processor's cache, 64 bytes.
// What else a lock can have is elsewhere.
type lock struct {
	own     hold // of an exclusive lock; its session is 0 where there is none
	hash    uint32
	extra   ref // 0 where nothing of it was needed yet
	mode    Mode
	nameLen uint8           // tooLong: see slabs.longs
	short   [shortName]byte // the name, or where it begins the ref of a longer one
}

const (
	shortName  = 22
	mediumName = 64
	tooLong    = mediumName + 1
)

// An extra is what most locks do without.
type extra struct {
	holders list[alongLock] // of a shared lock
	queue   list[inQueue]   // nobody waits where nobody holds
}

// A hold is one session's part in one lock. It stands in the session's list, in
// the order the holds came to be.
type hold struct {
	grant                    grant
	since                    time.Duration
	session                  ref
	prevHolding, nextHolding ref // in session.holds
	next                     ref // in the shard's index, of the lock or of the shared hold
}

// A sharedHold is that of a shared lock. It also stands in the lock's list, in
// order, and in its shard's index.
type sharedHold struct {
	hold
	key                    uint32 // for the index
	lock                   ref
	prevHolder, nextHolder ref // in extra.holders
}

// A session has its holds of both modes in one list. The highest bit of a
// reference tells a shared hold from a lock, whose own hold is meant.
const sharedRef ref = 1 << 31

// holdAt returns the hold of which r is the reference in its session's list.
func (t *Table) holdAt(r ref) *hold {
	if r&sharedRef != 0 {
		return &t.holds.at(r &^ sharedRef).hold
	}
	return &t.locks.at(r).own
}

// lockOf returns the lock that such a hold is of.
func (t *Table) lockOf(r ref) ref {
	if r&sharedRef != 0 {
		return t.holds.at(r &^ sharedRef).lock
	}
	return r
}

// A grant is a fencing token. The bit that tokens leave free says that the hold
// is broken: its session was told to leave because of it.
type grant uint64

const broken grant = 1 << 63

func (g grant) token() uint64 { return uint64(g &^ broken) }

// name returns the name of l, which is only lent.
func (t *Table) name(l *lock) []byte {
	switch {
	case l.nameLen <= shortName:
		return l.short[:l.nameLen]
	case l.nameLen <= mediumName:
		return t.mediums.at(l.longer())[:l.nameLen]
	}
	return *t.longs.at(l.longer())
}

// longer returns the ref of a name that has no place in the lock.
func (l *lock) longer() ref { return ref(binary.NativeEndian.Uint32(l.short[:])) }

// setName names a new lock.
func (sh *shard) setName(l *lock, name []byte) {
	var r ref
	switch n := len(name); {
	case n <= shortName:
		l.nameLen = uint8(copy(l.short[:], name))
		return
	case n <= mediumName:
		at, medium := sh.mediums.take()
		r, l.nameLen = at, uint8(copy(medium[:], name))
	default:
		at, long := sh.longs.take()
		r, l.nameLen, *long = at, tooLong, bytes.Clone(name)
	}
	binary.NativeEndian.PutUint32(l.short[:], uint32(r))
}

// discard takes back l and all that it has.
func (sh *shard) discard(r ref, l *lock) {
	switch {
	case l.nameLen <= shortName:
	case l.nameLen <= mediumName:
		sh.mediums.give(l.longer())
	default:
		sh.longs.give(l.longer())
	}
	if l.extra != 0 {
		sh.extras.give(l.extra)
	}
	sh.locks.give(r)
}

// holders returns how many hold the lock.
func (t *Table) holders(l *lock) int {
	switch {
	case l.mode == Shared:
		return int(t.extras.at(l.extra).holders.len)
	case l.own.session != 0:
		return 1
	}
	return 0
}

// holdsOf goes through the holds of a lock, in the order they came to be.
func (t *Table) holdsOf(l *lock) iter.Seq[*hold] {
	return func(yield func(*hold) bool) {
		if l.mode == Exclusive {
			_ = l.own.session == 0 || yield(&l.own)
			return
		}
		for r := t.extras.at(l.extra).holders.first; r != 0; {
			h := t.holds.at(r)
			if !yield(&h.hold) {
				return
			}
			r = h.nextHolder
		}
	}
}

// What the limit on the table's size counts: the objects, their places in the
// indexes, and names, each with its length whether or not it has a place in its lock.
const waiterBytes = int64(unsafe.Sizeof(waiter{}))

// lockBytes returns what a lock takes without the holds of it that are objects of
// their own.
func lockBytes(m Mode, nameLen int) int64 {
	sum := int64(unsafe.Sizeof(lock{})) + 2*refBytes + int64(nameLen)
	if m == Shared {
		sum += int64(unsafe.Sizeof(extra{}))
	}
	return sum
}

// holdBytes returns what a hold takes.
func holdBytes(m Mode) int64 {
	if m == Exclusive {
		return 0
	}
	return int64(unsafe.Sizeof(sharedHold{})) + refBytes
}

// The lists of holds. Those of waiters are in waiter.go.
type (
	alongSession struct{ *Table } // of holds
	alongLock    struct{ *Table } // of shared holds
)

func (via alongSession) of(r ref) (prev, next *ref) {
	h := via.holdAt(r)
	return &h.prevHolding, &h.nextHolding
}

func (via alongLock) of(r ref) (prev, next *ref) {
	h := via.holds.at(r)
	return &h.prevHolder, &h.nextHolder
}
