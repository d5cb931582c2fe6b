package server

import (
	"strconv"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// handle calls the handler of a command: it asks the table and appends the reply to
// c.out.
func (c *conn) handle(verb protocol.Verb, arg []byte) {
	switch verb {
	case protocol.Get:
		c.get(arg)
	case protocol.Release:
		c.release(arg)
	case protocol.Inspect:
		c.inspect(arg)
	case protocol.SharedGet:
		c.sharedGet(arg)
	case protocol.SharedRelease:
		c.sharedRelease(arg)
	case protocol.SharedInspect:
		c.sharedInspect(arg)
	case protocol.List:
		c.list(arg)
	case protocol.SharedList:
		c.sharedList(arg)
	case protocol.Dump:
		c.dump(arg)
	case protocol.Me:
		c.me(arg)
	case protocol.Iam:
		c.iam(arg)
	case protocol.Who:
		c.who(arg)
	case protocol.Stats:
		c.stats(arg)
	case protocol.GetWait:
		c.getWait(arg)
	case protocol.SharedGetWait:
		c.sharedGetWait(arg)
	case protocol.Cancel:
		c.cancel(arg)
	case protocol.Ls:
		c.ls(arg)
	case protocol.Watch:
		c.watch(arg)
	case protocol.Unwatch:
		c.unwatch(arg)
	case protocol.Break:
		c.breakLock(arg)
	case protocol.Kick:
		c.kick(arg)
	case protocol.Ping:
		c.ping(arg)
	case protocol.Info:
		c.info(arg)
	default:
		c.unknown(arg)
	}
}

// costs has what each command may cost, in units of a cheap one: get takes some
// 0.3 µs. What may wait, be it for a log, or has no bound costs more than any brief
// turn has: tooMuch.
var costs = func() (costs [protocol.NumVerbs]int32) {
	for verb := range costs {
		costs[verb] = 1
	}
	costs[protocol.Stats] = briefAllowance / 4
	for _, verb := range []protocol.Verb{
		protocol.List, protocol.SharedList, protocol.Dump, protocol.Ls, protocol.Who,
		protocol.Watch, protocol.Unwatch, protocol.Break, protocol.Kick,
	} {
		costs[verb] = tooMuch
	}
	return costs
}()

const tooMuch = briefAllowance + 1

// costOfList is what d or sd may cost. With a name, most list one holder or a few.
func (c *conn) costOfList(m locks.Mode, name []byte) int32 {
	const few = 16
	if len(name) == 0 || c.perReply() || c.srv.table.Inspect(m, name) > few {
		return tooMuch
	}
	return few
}

// unknown answers a line that is no command: at level 1, not at all.
func (c *conn) unknown(word []byte) {
	if c.level > 1 {
		c.out = protocol.AppendUnknown(c.out, word)
	}
}

// endListing ends a listing, where the client has agreed to that.
func (c *conn) endListing() {
	if c.level > 1 {
		c.out = protocol.AppendEnd(c.out)
	}
}

func (c *conn) get(name []byte) {
	c.out = protocol.AppendGet(c.out, c.acquire(locks.Exclusive, name) > 0, name)
}

func (c *conn) release(name []byte) {
	c.out = protocol.AppendRelease(c.out, c.srv.table.Release(c.session, locks.Exclusive, name, c.now()), name)
}

func (c *conn) inspect(name []byte) {
	c.out = protocol.AppendInspect(c.out, c.srv.table.Inspect(locks.Exclusive, name) > 0, name)
}

func (c *conn) sharedGet(name []byte) {
	c.out = protocol.AppendSharedGet(c.out, c.acquire(locks.Shared, name), name)
}

func (c *conn) sharedRelease(name []byte) {
	c.out = protocol.AppendSharedRelease(c.out, c.srv.table.Release(c.session, locks.Shared, name, c.now()), name)
}

func (c *conn) sharedInspect(name []byte) {
	c.out = protocol.AppendSharedInspect(c.out, c.srv.table.Inspect(locks.Shared, name), name)
}

// acquire returns the number of holders with this one, 0 where it got nothing.
func (c *conn) acquire(m locks.Mode, name []byte) int {
	result, err := c.srv.table.Get(c.session, locks.Request{Mode: m, Name: name, Now: c.now()})
	if err != nil {
		c.srv.counters.countLimit(err)
		return 0
	}
	return result.Holders
}

// me answers who the client is. It may ask for a level of the protocol in doing
// so, and gets the highest there is up to that.
func (c *conn) me(arg []byte) {
	level, asked := protocol.ParseLevel(arg)
	if asked {
		c.level = int8(min(level, protocol.Level))
	}
	if asked && c.level > 1 {
		c.out = protocol.AppendHandshake(c.out, c.session.Addr(), c.shownName(c.session))
		return
	}
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
	if !c.brief { // a brief turn runs this only where there is nothing to settle: see affords
		c.srv.settle()
	}
	st := c.srv.Stats()
	for v, command := range st.Commands {
		if c.shows(protocol.Verb(v)+1, command.Value) {
			c.out = protocol.AppendCounter(c.out, "command_"+command.Name, command.Value)
		}
	}
	c.out = protocol.AppendCounter(c.out, "connections", st.Connections())
	c.out = protocol.AppendCounter(c.out, "invalid_commands", st.InvalidCommands)
	c.out = protocol.AppendCounter(c.out, "locks", st.Locks.Exclusive.Locks)
	c.out = protocol.AppendCounter(c.out, "orphans", st.Locks.Exclusive.Orphans)
	c.out = protocol.AppendCounter(c.out, "shared_locks", st.Locks.Shared.Locks)
	c.out = protocol.AppendCounter(c.out, "shared_orphans", st.Locks.Shared.Orphans)
	c.endListing()
}

// shows tells whether q has a line for the counter of a command. Existing clients
// compare the whole set of keys with the one they know: some counters are shown
// only when they have counted, those of level 2 only at level 2.
func (c *conn) shows(v protocol.Verb, count uint64) bool {
	switch v {
	case protocol.Iam, protocol.Me, protocol.Who:
		return count > 0
	}
	return v.Level() <= int(c.level)
}

func (c *conn) ping([]byte) { c.out = protocol.AppendPong(c.out) }

// info tells of the server and of this connection.
func (c *conn) info([]byte) {
	set := c.settings
	for _, line := range [...]struct{ key, value string }{
		{"address", c.session.Addr()},
		{"dead_peer_seconds", formatSeconds(c.link.deadPeer())},
		{"dump", onOff(set.Dump)},
		{"level", strconv.Itoa(protocol.Level)},
		{"line_bytes", strconv.Itoa(set.LineBytes)},
		{"name", c.session.Name()},
		{"registry", onOff(set.Registry)},
		{"transport", c.transport.String()},
		{"uptime_seconds", strconv.FormatInt(int64(c.srv.now()/time.Second), 10)},
		{"version", c.srv.version},
	} {
		c.out = protocol.AppendInfo(c.out, line.key, line.value)
	}
	c.out = protocol.AppendEnd(c.out)
}

func formatSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
