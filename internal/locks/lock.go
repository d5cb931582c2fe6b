package locks

import "unsafe"

// A lock is a name that somebody holds. It belongs to its shard's mutex.
type lock struct {
	next    *lock // in the shard's index, or in its list of free ones
	hash    uint64
	name    []byte
	holders holdList[ofLock]
	own     hold // the first hold, so that a lock of one holder is one object
	mode    Mode
}

// A hold is one session's part in one lock. It stands in two lists, the lock's
// and the session's, both in the order the holds came to be; that of a shared
// lock also in its shard's index.
type hold struct {
	lock                     *lock
	session                  *Session
	prevHolder, nextHolder   *hold // in lock.holders
	prevHolding, nextHolding *hold // in session.holds
	next                     *hold // in the shard's index
}

// What the limit on the table's size counts: the structures, the name, and a
// place in the index for each lock and for each shared hold.
const (
	pointerBytes = int64(unsafe.Sizeof((*lock)(nil)))
	holdBytes    = int64(unsafe.Sizeof(hold{})) + pointerBytes
	lockBytes    = int64(unsafe.Sizeof(lock{})) + 2*pointerBytes
)

// A holdList is a doubly linked list through the holds themselves, along the
// links that the type parameter names.
type holdList[L links] struct {
	first, last *hold
	len         int
}

// links tells which of a hold's two pairs of pointers a list runs along.
type links interface {
	of(h *hold) (prev, next **hold)
}

type (
	ofLock    struct{}
	ofSession struct{}
)

func (ofLock) of(h *hold) (prev, next **hold)    { return &h.prevHolder, &h.nextHolder }
func (ofSession) of(h *hold) (prev, next **hold) { return &h.prevHolding, &h.nextHolding }

func (l *holdList[L]) append(h *hold) {
	var via L
	prev, _ := via.of(h)
	*prev = l.last
	if l.last == nil {
		l.first = h
	} else {
		_, next := via.of(l.last)
		*next = h
	}
	l.last = h
	l.len++
}

func (l *holdList[L]) remove(h *hold) {
	var via L
	prev, next := via.of(h)
	if *prev == nil {
		l.first = *next
	} else {
		_, n := via.of(*prev)
		*n = *next
	}
	if *next == nil {
		l.last = *prev
	} else {
		p, _ := via.of(*next)
		*p = *prev
	}
	*prev, *next = nil, nil
	l.len--
}
