package server

import (
	"cmp"
	"slices"
	"sync"

	"lockd/internal/locks"
)

// The registry knows the named connections, for who. The name itself stands in
// the session, where listings find it.
type registry struct {
	mu    sync.Mutex
	turn  uint64                    // of the last iam
	named map[*locks.Session]uint64 // the turn of each one's last iam
}

// set names a session, or takes its name back where name is empty.
func (r *registry) set(s *locks.Session, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.SetName(name)
	if name == "" {
		delete(r.named, s)
		return
	}
	r.turn++
	r.named[s] = r.turn
}

// list returns the named sessions in the order of their last iam.
func (r *registry) list() []*locks.Session {
	type entry struct {
		session *locks.Session
		turn    uint64
	}
	r.mu.Lock()
	entries := make([]entry, 0, len(r.named))
	for s, turn := range r.named {
		entries = append(entries, entry{s, turn})
	}
	r.mu.Unlock()
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.turn, b.turn) })
	sessions := make([]*locks.Session, len(entries))
	for i, e := range entries {
		sessions[i] = e.session
	}
	return sessions
}
