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
}

// What a refused client may still send, and for how long.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// refuse answers a client that speaks HTTP to a lock port.
func (c *conn) refuse() {
	c.lingering = &lingering{since: time.Now(), timer: time.AfterFunc(lingerTime, c.wake)}
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
	for more := true; more; {
		in, again, err := c.link.receive(nil, true, inputSize)
		l.bytes += len(in)
		c.srv.inputs.put(in)
		if err != nil || l.bytes > lingerBytes {
			return false
		}
		more = again
	}
	return c.err == errRefused && !c.cut.Load() && time.Since(l.since) < lingerTime
}
