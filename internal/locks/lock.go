package locks

import (
	"time"
	"unsafe"
)

// A lock is a name that somebody holds. It belongs to its shard's mutex.
type lock struct {
	next    *lock // in the shard's index, or in its list of free ones
	hash    uint64
	name    []byte
	holders list[hold, ofLock]
	queue   *queue // nil where nobody has waited yet. Nobody waits where nobody holds
	own     hold   // the first hold, so that a lock of one holder is one object
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
	grant                    grant
	since                    time.Duration
}

// A grant is a fencing token. The bit that tokens leave free says that the hold
// is broken: its session was told to leave because of it.
type grant uint64

const broken grant = 1 << 63

func (g grant) token() uint64 { return uint64(g &^ broken) }

// What the limit on the table's size counts: the structures, the name, and a
// place in the index for each lock and for each shared hold.
const (
	pointerBytes = int64(unsafe.Sizeof((*lock)(nil)))
	holdBytes    = int64(unsafe.Sizeof(hold{})) + pointerBytes
	waiterBytes  = int64(unsafe.Sizeof(waiter{}))
	lockBytes    = int64(unsafe.Sizeof(lock{})) + 2*pointerBytes
)

type (
	ofLock    struct{}
	ofSession struct{}
)

func (ofLock) of(h *hold) (prev, next **hold)    { return &h.prevHolder, &h.nextHolder }
func (ofSession) of(h *hold) (prev, next **hold) { return &h.prevHolding, &h.nextHolding }

// orphaned is what happens to the hold when its session leaves.
func (h *hold) orphaned() EventKind {
	if h.grant&broken != 0 {
		return Forced
	}
	return Orphaned
}
