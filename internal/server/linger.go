package server

import (
	"time"

	"lockd/internal/protocol"
)

// A lingering is a client that speaks HTTP, was answered so, and has a moment to go:
// to close with bytes unread would make the kernel drop the answer.
type lingering struct {
	since time.Time
	timer *time.Timer // wakes the connection at the end of that moment
	bytes int         // it has sent since
	over  bool        // as too many linger
}

// What a refused client may still send, and for how long.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// maxLingering is how many sockets may linger. No limit on connections counts them any
// more, and they have descriptors: a part of those that the limit leaves for such.
func (s *Server) maxLingering() int32 {
	return int32(min(max(s.settings.Load().MaxConnections/8, leastSpared/4), sparedFiles/4))
}

// linger tells whether one more may, until doneLingering.
func (s *Server) linger() bool {
	if s.lingering.Add(1) <= s.maxLingering() {
		return true
	}
	s.doneLingering()
	return false
}

func (s *Server) doneLingering() { s.lingering.Add(-1) }

// endLinger ends a client's lingering, now that its socket is closed.
func (c *conn) endLinger() {
	if l := c.lingering; l != nil && !l.over {
		c.srv.doneLingering()
	}
}

// refuse answers a client that speaks HTTP to a lock port.
func (c *conn) refuse() {
	c.lingering = &lingering{since: time.Now(), timer: time.AfterFunc(lingerTime, c.wake), over: !c.srv.linger()}
	c.srv.gate.refuse(refusedHTTP)
	c.srv.logRefusal(c.session.Addr(), refusedHTTP)
	c.fail(c.link.refuse(protocol.AppendHTTPAnswer(nil, c.settings.MetricsURL)))
}

// lingers throws away what a refused client has sent, and tells whether it may stay.
func (c *conn) lingers() bool {
	if c.lingering == nil {
		c.refuse()
	}
	l := c.lingering
	for more := !l.over; more; {
		in, again, err := c.link.receive(nil, true, inputSize)
		l.bytes += len(in)
		c.srv.inputs.put(in)
		if err != nil || l.bytes > lingerBytes {
			return false
		}
		more = again
	}
	return c.err == errRefused && !l.over && !c.cut.Load() && time.Since(l.since) < lingerTime
}
