package locks

import (
	"cmp"
	"sync/atomic"
)

// An Owner is what a session stands for, in general a connection. Its methods are
// called under the mutex of a part of the table, by whoever made it so: they must
// be quick, wait for nothing, and not call the table.
type Owner interface {
	// Granted tells that the lock the session waits for is its own now. The next
	// Get of the session says more.
	Granted()
	// Break tells the owner to have its session leave: somebody has broken a lock
	// of it.
	Break()
	// Happened tells of what has happened to a lock of the session. The event's
	// name is only lent.
	Happened(e Event)
}

// A Session is one client connection as the table sees it: an identity that is
// shown where its locks are listed, what it holds, and what it waits for.
type Session struct {
	addr    string
	name    atomic.Pointer[string]
	owner   Owner
	granted atomic.Bool // wait is granted; set by the one who grants

	// The rest belongs to the goroutine that calls Get, Release and Leave for this
	// session. While it waits, who grants it the lock appends to holds, under the
	// mutex of that lock's shard.
	id    ref                // among the table's members; 0 where it is none
	wait  ref                // its waiter; 0 where it waits for nothing
	holds list[alongSession] // in the order they were got
}

// NewSession returns a session that holds nothing, for use with one table. The
// address is what it is called as long as it has no name. The owner may be nil.
func NewSession(addr string, owner Owner) *Session {
	if owner == nil {
		owner = nobody{}
	}
	return &Session{addr: addr, owner: owner}
}

// nobody is the owner of a session that has none.
type nobody struct{}

func (nobody) Granted()       {}
func (nobody) Break()         {}
func (nobody) Happened(Event) {}

// Owner returns what the session stands for.
func (s *Session) Owner() Owner { return s.owner }

// Addr returns the address.
func (s *Session) Addr() string { return s.addr }

// SetName gives the session a name; the empty one takes it back. Safe for use
// from any goroutine, like Name.
func (s *Session) SetName(name string) {
	if name == "" {
		s.name.Store(nil)
		return
	}
	s.name.Store(&name)
}

// Name returns the name, "" where there is none.
func (s *Session) Name() string {
	if name := s.name.Load(); name != nil {
		return *name
	}
	return ""
}

// Label returns the name, or the address where there is none.
func (s *Session) Label() string { return cmp.Or(s.Name(), s.addr) }

// Holds returns the number of locks the session holds. Like Get and Release, it
// is for the goroutine that the session belongs to, and not while it waits.
func (s *Session) Holds() int { return int(s.holds.len) }

// Granted tells whether the lock that the session waits for has become its own.
// Safe for use from any goroutine.
func (s *Session) Granted() bool { return s.granted.Load() }

// enter makes s a member of the table, so that locks can refer to it by number.
func (t *Table) enter(s *Session) {
	t.entering.Lock()
	defer t.entering.Unlock()
	id, place := t.members.take()
	s.id, *place = id, s
}

// exit ends what enter began. Nothing may refer to s any more.
func (t *Table) exit(s *Session) {
	t.entering.Lock()
	defer t.entering.Unlock()
	t.members.give(s.id)
	s.id = 0
}

// member returns the session that holds or waits for something by that number.
func (t *Table) member(id ref) *Session { return *t.members.at(id) }
