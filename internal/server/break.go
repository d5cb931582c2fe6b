package server

import (
	"log/slog"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A lock is never taken from a connection that stays: to break a lock is to close
// the connections that hold it.

// breakLock answers fr.
func (c *conn) breakLock(arg []byte) {
	if !c.mayBreak() {
		c.out = protocol.AppendDenied(c.out)
		return
	}
	shared, token, name, ok := protocol.ParseBreak(arg)
	if !ok {
		c.out = protocol.AppendBadArguments(c.out, protocol.Break)
		return
	}
	mode := locks.Exclusive
	if shared {
		mode = locks.Shared
	}
	var told []*conn
	for _, s := range c.srv.table.Break(mode, name, token) {
		told = append(told, s.Owner().(*conn))
	}
	if len(told) == 0 {
		c.out = protocol.AppendNotHeld(c.out, name)
		return
	}
	c.logGone("lock broken", told, slog.String("lock", string(name)), slog.Bool("shared", shared))
	c.answerGone(told)
}

// logGone logs that this client has had others disconnected.
func (c *conn) logGone(message string, told []*conn, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("by", c.session.Label()),
		slog.Int("disconnected", len(told)), slog.String("first", told[0].session.Label()))
	c.srv.throttle.inform(topicBreak, message, attrs...)
}

// Break implements locks.Owner.
func (c *conn) Break() { c.interrupt() }

// kick closes the connections that are shown with an address.
func (c *conn) kick(addr []byte) {
	if !c.mayBreak() {
		c.out = protocol.AppendDenied(c.out)
		return
	}
	if len(addr) == 0 {
		c.out = protocol.AppendBadArguments(c.out, protocol.Kick)
		return
	}
	var told []*conn
	c.srv.mu.Lock()
	for other := range c.srv.conns {
		if other.session.Addr() == string(addr) && !other.leaving.Load() {
			other.interrupt()
			told = append(told, other)
		}
	}
	c.srv.mu.Unlock()
	if len(told) == 0 {
		c.out = protocol.AppendNoConnection(c.out, addr)
		return
	}
	c.logGone("client disconnected by another", told, slog.String("address", string(addr)))
	c.answerGone(told)
}

// answerGone answers when connections that were interrupted are gone and their
// locks free. It gives up when this one was interrupted as well.
func (c *conn) answerGone(told []*conn) {
	s := c.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left.Broadcast() // one of them may itself be here
	s.snapshots.recheck()
	for _, other := range told {
		for s.has(other) && !c.cut.Load() {
			s.left.Wait()
		}
	}
	if c.cut.Load() {
		c.err = errInterrupted
		return
	}
	c.out = protocol.AppendGone(c.out, len(told))
}

// has must be called under mu.
func (s *Server) has(c *conn) bool {
	_, there := s.conns[c]
	return there
}

// mayBreak tells whether the client may use the commands for admins. A Unix
// socket's client has no IP address.
func (c *conn) mayBreak() bool {
	if c.settings.Admin == nil {
		return false
	}
	ip := ipOf(c.session.Addr())
	return (ip.IsValid() || c.transport == Unix) && c.settings.Admin(ip)
}
