package server

import (
	"bytes"
	"errors"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A wait blocks its own connection only. The connection rests meanwhile as an idle
// one does, and what arrives is read, so that its end and a cancel are seen at once;
// what else arrives runs when the wait is over. Whoever grants it the lock answers
// for it, or else wakes it, as its timer does. It may be woken for nothing: what
// counts is the table, where exactly one of all that can end a wait comes first.

// A pending is the gw or sgw that a connection waits for.
type pending struct {
	mode  locks.Mode
	wait  protocol.Wait
	end   time.Time       // zero: never
	timer *time.Timer     // wakes the connection then; nil for never
	ended protocol.Reason // why it is over, "" as long as it is not
}

// errPiledUp ends a client that sends on behind a wait as if there were none.
var errPiledUp = errors.New("more than a line's limit was sent behind a wait")

func (c *conn) getWait(arg []byte) {
	w, ok := protocol.ParseWait(arg)
	if !ok {
		c.out = protocol.AppendBadArguments(c.out, protocol.GetWait)
		return
	}
	c.acquireInQueue(locks.Exclusive, w)
}

func (c *conn) sharedGetWait(arg []byte) {
	w, ok := protocol.ParseSharedWait(arg)
	if !ok {
		c.out = protocol.AppendBadArguments(c.out, protocol.SharedGetWait)
		return
	}
	c.acquireInQueue(locks.Shared, w)
}

// acquireInQueue gets a lock or, where w allows that, begins to wait for it.
func (c *conn) acquireInQueue(m locks.Mode, w protocol.Wait) {
	if w.Limit != 0 && !c.sendAhead() {
		return
	}
	draining := c.srv.draining.Load()
	if w.Limit != 0 {
		c.clock = 0 // the wait begins now, however long the commands before it took
	}
	queueing := locks.HonourQueue
	if w.Limit != 0 && !draining {
		queueing = locks.JoinQueue
	}
	result, err := c.srv.table.Get(c.session, locks.Request{Mode: m, Name: w.Name, Now: c.now(), Max: w.Max, Queue: queueing})
	if errors.Is(err, locks.ErrWaiting) {
		c.beginWait(m, w)
		return
	}
	c.srv.counters.countLimit(err)
	why := reasonOf(err)
	if draining && w.Limit != 0 && why != "" && why != protocol.ReasonTooMany {
		why = protocol.ReasonDraining
	}
	c.answerWait(m, w, result, why)
}

// sendAhead sends the replies to earlier commands where that may have to wait for the
// client: once it stands in a queue, nothing must keep it from seeing the end of its
// wait. A brief turn never waits for the client. It reports whether the connection
// stands.
func (c *conn) sendAhead() bool {
	if !c.brief && c.link.backlogged() {
		c.flush()
		c.fail(c.link.flush())
		c.beginReply()
	}
	return c.err == nil
}

// reasonOf returns no reason for no error.
func reasonOf(err error) protocol.Reason {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, locks.ErrHeld):
		return protocol.ReasonHeld
	case errors.Is(err, locks.ErrQueue):
		return protocol.ReasonQueue
	case errors.Is(err, locks.ErrLimit):
		return protocol.ReasonLimit
	}
	return protocol.ReasonTooMany
}

// answerWait words what came of a gw or sgw. Where it was granted, why is empty.
func (c *conn) answerWait(m locks.Mode, w protocol.Wait, r locks.Result, why protocol.Reason) {
	failure := protocol.Failure{Reason: why, Count: r.Holders, Max: w.Max, Queue: r.Queue}
	if r.Holder != nil {
		failure.Held = c.now() - r.Since
		if c.settings.Dump {
			failure.Holder = r.Holder.Addr()
		}
	}
	switch {
	case why == "" && m == locks.Exclusive:
		c.out = protocol.AppendGranted(c.out, r.Token, r.Waited, w.Name)
	case why == "":
		c.out = protocol.AppendSharedGranted(c.out, r.Holders, r.Token, w.Max, r.Waited, w.Name)
	case m == locks.Exclusive:
		c.out = protocol.AppendNotGranted(c.out, failure, w.Name)
	default:
		c.out = protocol.AppendSharedNotGranted(c.out, failure, w.Name)
	}
}

// beginWait has the connection wait, now that its session does. The lines behind
// this one stay unread.
func (c *conn) beginWait(m locks.Mode, w protocol.Wait) {
	w.Name = bytes.Clone(w.Name) // the buffer it stands in will be given back
	c.pending = &pending{mode: m, wait: w}
	if w.Limit > 0 {
		c.pending.end = c.srv.started.Add(c.now()).Add(w.Limit)
		c.pending.timer = time.AfterFunc(time.Until(c.pending.end), c.wake)
	}
	c.waiting.Store(true)
}

// judgeWait tells whether the wait is over: granted, or to be given up for the
// reason that it puts into pending.ended.
func (c *conn) judgeWait() bool {
	p := c.pending
	switch {
	case c.session.Granted():
		return true
	case p.ended != "":
	case c.takeCancel(), c.ended:
		p.ended = protocol.ReasonCancelled
	case c.srv.draining.Load():
		p.ended = protocol.ReasonDraining
	case !p.end.IsZero() && !time.Now().Before(p.end):
		p.ended = protocol.ReasonTimeout
	}
	return p.ended != ""
}

// checkPile ends the connection where more has piled up behind a wait than a line
// may have.
func (c *conn) checkPile() {
	if len(c.unread) > c.settings.LineBytes {
		c.flush()
		c.fail(errPiledUp)
	}
}

// endWait ends the wait: with the grant that there is, or else for the reason in
// pending.ended.
func (c *conn) endWait() {
	p := c.pending
	result, err := c.leaveQueue()
	if err == nil {
		p.ended, c.cancelled = "", false
	}
	c.beginReply()
	c.answerWait(p.mode, p.wait, result, p.ended)
}

// leaveQueue is endWait without an answer. A lock that was granted meanwhile is held.
func (c *conn) leaveQueue() (locks.Result, error) {
	c.pending.stopTimer()
	c.pending = nil
	c.waiting.Store(false)
	c.clock = 0
	return c.srv.table.Get(c.session, locks.Request{Now: c.now()})
}

func (p *pending) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// takeCancel tells whether the next line is there and is cancel. Blank lines before
// it go.
func (c *conn) takeCancel() bool {
	for {
		line, rest, found := bytes.Cut(c.unread, []byte{'\n'})
		if !found || len(line) > c.settings.LineBytes {
			return false
		}
		if verb, ok := protocol.VerbOf(line); ok {
			c.cancelled = verb == protocol.Cancel
			return c.cancelled
		}
		c.unread = rest
	}
}

// cancel answers for the cancel that has ended a wait, and for one that had none
// to end.
func (c *conn) cancel([]byte) {
	if !c.cancelled {
		c.out = protocol.AppendNothingToCancel(c.out)
		return
	}
	c.cancelled = false
	c.out = protocol.AppendOK(c.out)
}
