package server

import (
	"errors"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// handlers has the handler of each command: it asks the table and appends the
// reply to c.out. There is none for what is not a command.
var handlers = [protocol.NumVerbs]func(c *conn, arg []byte){
	protocol.Get:           (*conn).get,
	protocol.Release:       (*conn).release,
	protocol.Inspect:       (*conn).inspect,
	protocol.SharedGet:     (*conn).sharedGet,
	protocol.SharedRelease: (*conn).sharedRelease,
	protocol.SharedInspect: (*conn).sharedInspect,
	protocol.List:          (*conn).list,
	protocol.SharedList:    (*conn).sharedList,
	protocol.Dump:          (*conn).dump,
	protocol.Me:            (*conn).me,
	protocol.Iam:           (*conn).iam,
	protocol.Who:           (*conn).who,
	protocol.Stats:         (*conn).stats,
}

func (c *conn) get(name []byte) {
	c.out = protocol.AppendGet(c.out, c.acquire(locks.Exclusive, name) > 0, name)
}

func (c *conn) release(name []byte) {
	c.out = protocol.AppendRelease(c.out, c.srv.table.Release(c.session, locks.Exclusive, name), name)
}

func (c *conn) inspect(name []byte) {
	c.out = protocol.AppendInspect(c.out, c.srv.table.Inspect(locks.Exclusive, name) > 0, name)
}

func (c *conn) sharedGet(name []byte) {
	c.out = protocol.AppendSharedGet(c.out, c.acquire(locks.Shared, name), name)
}

func (c *conn) sharedRelease(name []byte) {
	c.out = protocol.AppendSharedRelease(c.out, c.srv.table.Release(c.session, locks.Shared, name), name)
}

func (c *conn) sharedInspect(name []byte) {
	c.out = protocol.AppendSharedInspect(c.out, c.srv.table.Inspect(locks.Shared, name), name)
}

// acquire returns the number of holders with this one, 0 where it got nothing.
func (c *conn) acquire(m locks.Mode, name []byte) int {
	holders, err := c.srv.table.Get(c.session, m, name)
	switch {
	case err == nil:
		return holders
	case errors.Is(err, locks.ErrSessionLimit):
		c.srv.counters.limited[limitSession].Add(1)
	case errors.Is(err, locks.ErrTableFull):
		c.srv.counters.limited[limitTable].Add(1)
	}
	return 0
}

func (c *conn) me([]byte) {
	c.out = protocol.AppendMe(c.out, c.session.Addr(), c.shownName(c.session))
}

func (c *conn) iam(name []byte) {
	if !c.settings.Registry {
		c.out = protocol.AppendDisabled(c.out)
		return
	}
	c.srv.registry.set(c.session, string(name))
	c.out = protocol.AppendOK(c.out)
}

// shownName is what a session is called where the reply has HOLDER.
func (c *conn) shownName(s *locks.Session) string {
	if c.settings.Registry {
		return s.Label()
	}
	return s.Addr()
}

// stats answers with the counters, itself already counted.
func (c *conn) stats([]byte) {
	c.srv.settle()
	st := c.srv.Stats()
	for _, command := range st.Commands {
		if command.Value > 0 || !onlyOnceUsed(command.Name) {
			c.out = protocol.AppendCounter(c.out, "command_"+command.Name, command.Value)
		}
	}
	c.out = protocol.AppendCounter(c.out, "connections", st.Connections())
	c.out = protocol.AppendCounter(c.out, "invalid_commands", st.InvalidCommands)
	c.out = protocol.AppendCounter(c.out, "locks", st.Locks.Exclusive.Locks)
	c.out = protocol.AppendCounter(c.out, "orphans", st.Locks.Exclusive.Orphans)
	c.out = protocol.AppendCounter(c.out, "shared_locks", st.Locks.Shared.Locks)
	c.out = protocol.AppendCounter(c.out, "shared_orphans", st.Locks.Shared.Orphans)
}

// onlyOnceUsed tells the counters that q shows only when they have counted:
// existing clients compare the whole set of keys with the one they know.
func onlyOnceUsed(command string) bool {
	return command == "iam" || command == "me" || command == "who"
}
