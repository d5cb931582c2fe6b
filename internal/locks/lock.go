package locks

import (
	"iter"
	"time"
	"unsafe"
)

// A lock is a name that somebody holds. It belongs to its shard's mutex.
//
// Most locks are exclusive ones with a short name that nobody waits for. All of
// such a lock, its hold included, is one object of 96 bytes, which is a size that
// the allocator has: with the index some 105 bytes for a lock, where names and
// lists in every lock came to 190. What else a lock can have is in extra.
type lock struct {
	next    *lock  // in the shard's index, or in its list of free ones
	extra   *extra // nil where nothing of it was needed yet
	own     hold   // the hold of an exclusive lock; its session is nil where there is none
	hash    uint32
	mode    Mode
	nameLen uint8 // longName: the name is in extra
	short   [shortName]byte
}

const (
	shortName = 24
	longName  = shortName + 1
)

// An extra is what most locks do without.
type extra struct {
	holders list[sharedHold, ofLock] // of a shared lock
	queue   *queue                   // nil where nobody has waited yet. Nobody waits where nobody holds
	name    []byte                   // a long one
	next    *extra                   // in the list of free ones
}

// A hold is one session's part in one lock. It stands in the session's list, in
// the order the holds came to be.
type hold struct {
	lock                     *lock
	session                  *Session
	prevHolding, nextHolding *hold // in session.holds
	grant                    grant
	since                    time.Duration
}

// A sharedHold is that of a shared lock. It also stands in the lock's list, in
// order, and in its shard's index.
type sharedHold struct {
	hold
	prevHolder, nextHolder *sharedHold // in lock.extra.holders; next also in the list of free ones
	next                   *sharedHold // in the shard's index
}

// shared returns what h, a hold of a shared lock, is the beginning of. A session
// has its holds of both modes in one list, and this saves each the way back.
func (h *hold) shared() *sharedHold { return (*sharedHold)(unsafe.Pointer(h)) }

// A grant is a fencing token. The bit that tokens leave free says that the hold
// is broken: its session was told to leave because of it.
type grant uint64

const broken grant = 1 << 63

func (g grant) token() uint64 { return uint64(g &^ broken) }

// name returns the name, which is only lent.
func (l *lock) name() []byte {
	if l.nameLen == longName {
		return l.extra.name
	}
	return l.short[:l.nameLen]
}

func (l *lock) setShortName(name []byte) { l.nameLen = uint8(copy(l.short[:], name)) }

// setLongName needs the extra to be there.
func (l *lock) setLongName(name []byte) {
	l.nameLen = longName
	l.extra.name = append(l.extra.name[:0], name...)
}

// holders returns how many hold the lock.
func (l *lock) holders() int {
	switch {
	case l.mode == Shared:
		return l.extra.holders.len
	case l.own.session != nil:
		return 1
	}
	return 0
}

// holds goes through the holds, in the order they came to be.
func (l *lock) holds() iter.Seq[*hold] {
	return func(yield func(*hold) bool) {
		if l.mode == Exclusive {
			_ = l.own.session == nil || yield(&l.own)
			return
		}
		for h := l.extra.holders.first; h != nil; h = h.nextHolder {
			if !yield(&h.hold) {
				return
			}
		}
	}
}

// What the limit on the table's size counts: the structures, places in the indexes,
// and names, each with its length whether or not it has a place in its lock.
const (
	pointerBytes = int64(unsafe.Sizeof((*lock)(nil)))
	waiterBytes  = int64(unsafe.Sizeof(waiter{}))
)

// lockBytes returns what a lock takes without the holds of it that are objects of
// their own.
func lockBytes(m Mode, nameLen int) int64 {
	sum := int64(unsafe.Sizeof(lock{})) + 2*pointerBytes + int64(nameLen)
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
	return int64(unsafe.Sizeof(sharedHold{})) + pointerBytes
}

type (
	ofLock    struct{}
	ofSession struct{}
)

func (ofLock) of(h *sharedHold) (prev, next **sharedHold) { return &h.prevHolder, &h.nextHolder }
func (ofSession) of(h *hold) (prev, next **hold)          { return &h.prevHolding, &h.nextHolding }

// orphaned is what happens to the hold when its session leaves.
func (h *hold) orphaned() EventKind {
	if h.grant&broken != 0 {
		return Forced
	}
	return Orphaned
}
