package server

import "sync/atomic"

// A connection has no goroutine of its own. It rests until something happens to it:
// bytes have come, a lock was granted, a time has come. Whoever brings that signals it,
// and the one whose signal ends its rest acts for it, turn by turn, until nothing has
// happened since the turn before. All others only leave their signals. So one at a
// time acts for a connection, and nobody waits for that.
//
// Who acts for many connections, as a loop of the poller does, must be free again
// soon. What may take long, a turn leaves then to a goroutine that is started for it.

// Turns tell who acts.
type turns struct{ state atomic.Uint32 }

// The state of turns.
const (
	ready  uint32 = 1 << iota // something has happened since the last turn began
	hungUp                    // it may be the end of the stream, or an error
	owned                     // somebody acts
)

// signal notes that something has happened. It reports whether the caller has to act
// now. Anybody may call it, and it does not wait.
func (t *turns) signal(what uint32) (act bool) { return t.state.Or(what|owned)&owned == 0 }

// tryOwn is signal for who wants to act where nobody does and nothing has happened, and
// only then.
func (t *turns) tryOwn() bool { return t.state.CompareAndSwap(0, owned) }

// rest ends acting, unless something has happened meanwhile. It reports
// whether it did.
func (t *turns) rest() bool { return t.state.CompareAndSwap(owned, 0) }

// wake has the connection look at all there is to see soon. Anybody may call it,
// under any mutex, and it does not wait.
func (c *conn) wake() {
	if c.signal(ready) {
		c.actAside()
	}
}

// interrupt ends the connection soon. Anybody may call it, and it does not wait.
func (c *conn) interrupt() {
	c.cut.Store(true)
	c.link.interrupt()
	c.wake()
}

// actAside has a goroutine of its own act for the connection.
func (c *conn) actAside() {
	c.srv.poller.aside.Store(true)
	go act(c)
}

// act acts as long as that takes.
func act(a actor) {
	for a.step(false) {
	}
}

// step acts for one turn, and reports whether the caller must act on. With brief,
// it does nothing that may take long.
func (c *conn) step(brief bool) (again bool) {
	if brief && (c.link.backlogged() || len(c.unread) > briefLine) { // a write might wait, and copying takes long
		c.actAside()
		return false
	}
	c.brief, c.deferred, c.allowance = brief, false, briefAllowance
	c.turn(c.state.Swap(owned))
	switch {
	case c.deferred, c.err != nil && brief && !c.endsSoon():
		c.actAside()
		return false
	case c.err == errRefused && c.lingers(): // and is not over yet
	case c.err != nil:
		c.end() // and owned for ever
		return false
	}
	if err := c.link.attach(); err != nil && c.err == nil {
		c.err = err
		return true
	}
	return !c.rest()
}

const (
	// briefAllowance is what a brief turn may cost, in units of a cheap command.
	briefAllowance = 256
	// briefLine is the longest line that a brief turn reads and runs, in bytes.
	briefLine = 128 << 10
)

// An actor is a conn or a Listener.
type actor interface {
	// step gives it a turn. It reports whether it must have another.
	step(brief bool) (again bool)
}
