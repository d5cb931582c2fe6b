package locks

// An Event is what has happened to a lock of a session (docs/protocol.md,
// "Watching").
type Event struct {
	Kind    EventKind
	Mode    Mode
	Token   uint64
	Session *Session
	Name    []byte
}

// An EventKind tells how a hold began or ended.
type EventKind uint8

// The kinds of events.
const (
	Granted  EventKind = iota // the session holds the lock now
	Released                  // by its own will
	Orphaned                  // by its leaving
	Forced                    // by its leaving, which was because this lock was broken
)

// happened tells the owner of s what has happened to its hold of l.
func (sh *shard) happened(s *Session, l *lock, h *hold, kind EventKind) {
	s.owner.Happened(Event{kind, l.mode, h.grant.token(), s, sh.table.name(l)})
}
