package locks

import (
	"cmp"
	"math/rand/v2"
	"sync/atomic"
)

// A Session is one client connection as the table sees it: an identity that is
// shown where its locks are listed, and what it holds.
type Session struct {
	id   uint64 // random, for hashing
	addr string
	name atomic.Pointer[string]

	// holds are in the order they were got. They belong to the goroutine that
	// calls Get, Release and Leave for this session.
	holds holdList[ofSession]
}

// NewSession returns a session that holds nothing. The address is what it is
// called as long as it has no name.
func NewSession(addr string) *Session { return &Session{id: rand.Uint64(), addr: addr} }

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
// is for the goroutine that the session belongs to.
func (s *Session) Holds() int { return s.holds.len }
