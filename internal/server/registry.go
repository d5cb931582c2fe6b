package server

import (
	"container/list"
	"sync"

	"lockd/internal/locks"
)

// The registry knows the named connections, for who. The name itself stands in
// the session, where listings find it.
type registry struct {
	mu    sync.Mutex
	order list.List // of sessions, by their last iam
	place map[*locks.Session]*list.Element
}

// set names a session, or takes its name back where name is empty.
func (r *registry) set(s *locks.Session, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.SetName(name)
	place, named := r.place[s]
	switch {
	case name != "" && named:
		r.order.MoveToBack(place)
	case name != "":
		r.place[s] = r.order.PushBack(s)
	case named:
		r.order.Remove(place)
		delete(r.place, s)
	}
}

// list returns the named sessions in the order of their last iam.
func (r *registry) list() []*locks.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	sessions := make([]*locks.Session, 0, r.order.Len())
	for e := r.order.Front(); e != nil; e = e.Next() {
		sessions = append(sessions, e.Value.(*locks.Session))
	}
	return sessions
}
