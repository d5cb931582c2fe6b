package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A link is what carries a connection's bytes. It belongs to who acts for the
// connection, but for interrupt.
type link interface {
	// receive returns what the client has sent behind in, which was received before
	// and has not run: the beginning of a line of up to limit bytes or, during a
	// wait, any lines. It does not wait: where nothing has come, that is in. More
	// tells to call again; without hungUp, it need not tell of an end. io.EOF says
	// that the client will send no more.
	receive(in []byte, hungUp bool, limit int) (out []byte, more bool, err error)
	// write sends replies: one, if the transport has messages, which p then fills.
	// It waits for the client only where the backlog is full.
	write(p []byte) error
	// flush has what was written go out, and waits as write does.
	flush() error
	// attach has the connection be signalled of what comes from now on. It may be
	// called again.
	attach() error
	// backlogged tells whether write might wait for the client.
	backlogged() bool
	// roomy tells whether the next write or flush would not wait for the client. Where
	// it would, the connection is woken when the client has taken all.
	roomy() bool
	// drain waits until what was written is the kernel's to deliver.
	drain() error
	// interrupt makes receive, write and drain fail from now on. Anybody may call
	// it, and it does not wait.
	interrupt()
	// deadPeer is how soon, at the earliest, a client that vanished is taken for dead.
	deadPeer() time.Duration
	// refuse writes p, which is all that the client will be told, and waits for that.
	refuse(p []byte) error
	// Close ends the connection. The session must hold nothing any more.
	Close() error
}

// A conn is one client's connection, and the owner of its session. All belongs
// to who acts for it (turn.go), but what says otherwise.
type conn struct {
	srv       *Server
	link      link
	session   *locks.Session
	transport Transport
	brief     bool // a loop of the poller acts, which must be free again soon
	deferred  bool // the rest of this turn goes to a goroutine
	spoken    bool // a line has come, so that none is the first any more
	cancelled bool // the next line is the cancel that has ended a wait
	ended     bool // the client will send no more
	level     int8 // of the protocol, as agreed on

	allowance int32 // what this turn may still cost, where it is brief

	turns               // as the next ones, anybody's
	cut     atomic.Bool // interrupt was called
	waiting atomic.Bool // in the queue of a lock
	leaving atomic.Bool // holds nothing any more, and will soon be closed
	noted   atomic.Bool // in Server.granted

	grantedBefore *conn // the next in Server.granted; belongs to who takes it out

	stripe    *stripe
	settings  *Settings     // of this turn
	clock     time.Duration // when it began, since the start of the server; 0 until asked for
	lines     protocol.Lines
	pending   *pending   // nil where it does not wait for a lock
	watcher   *watcher   // nil where it does not watch
	lingering *lingering // nil where it was not refused
	in        []byte     // the buffer of what was received
	unread    []byte     // the end of in that has not run yet
	out       []byte     // replies of this turn, not sent yet
	err       error      // why the connection must end
}

var (
	// errRefused ends a connection that was answered as what it is: not a client.
	errRefused = errors.New("not a client of this protocol")
	// errInterrupted ends a connection that the server disconnects.
	errInterrupted = errors.New("disconnected by the server")
)

// newConn returns a connection that somebody acts for: the caller, until begin.
func newConn(s *Server, l link, addr string, t Transport) *conn {
	c := &conn{
		srv: s, link: l, transport: t,
		stripe: s.counters.stripe(s.serial.Add(1)),
		spoken: t == WebSocket, // it has begun with HTTP, and may
		level:  1,
	}
	c.state.Store(owned)
	c.session = locks.NewSession(addr, c)
	return c
}

// perReply tells whether replies are sent one by one, each a message, not batch by
// batch.
func (c *conn) perReply() bool { return c.transport == WebSocket }

// begin has the connection be served from now on. It does not wait. What the client has
// sent already, as most have, is answered.
func (c *conn) begin() {
	c.state.Or(ready)
	switch {
	case c.debugs(): // a log might wait
		c.srv.poller.aside.Store(true)
		go func() {
			c.debug("client connected")
			act(c)
		}()
	case c.step(true):
		c.actAside()
	}
}

// turn receives once, runs what is complete, and answers with one write.
func (c *conn) turn(signals uint32) {
	if c.err != nil {
		return
	}
	in, err := c.unread, error(nil)
	switch {
	case c.cut.Load():
		err = errInterrupted
	case signals&(ready|hungUp) != 0 && !c.ended:
		var more bool
		in, more, err = c.link.receive(in, signals&hungUp != 0, c.srv.settings.Load().LineBytes)
		if more {
			c.state.Or(signals)
		}
	}
	c.in, c.unread = in, in
	c.settings, c.clock = c.srv.settings.Load(), 0
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		c.ended = true
	default:
		c.unread, c.err = nil, err
	}
	c.advance()
	c.answer()
}

// advance does all that can be done without waiting.
func (c *conn) advance() {
	for c.err == nil {
		if c.pending != nil {
			if c.ended && c.perReply() {
				c.leaveQueue() // now: to end takes as long as replies are unread
				c.srv.answerGranted()
				c.unread, c.err = nil, io.EOF // nobody listens any more
				return
			}
			if !c.judgeWait() {
				c.checkPile()
				return
			}
			c.endWait()
			c.srv.answerGranted()
			c.flushReply()
		}
		c.run()
		if c.pending == nil {
			break
		}
	}
	if c.ended && !c.deferred && c.err == nil {
		if c.runLast(); c.err == nil && !c.deferred {
			c.err = io.EOF
		}
	}
}

// answer sends what a turn has brought.
func (c *conn) answer() {
	c.flush()
	c.sendEvents()
	switch mayWait := c.perReply() && !c.link.roomy(); {
	case mayWait && c.pending != nil: // for nothing but its lock: when there is room, it is woken
	case mayWait && c.brief:
		c.deferred = true
	default:
		c.fail(c.link.flush())
	}
	c.keep()
}

// fail has the connection end, where there is an error.
func (c *conn) fail(err error) {
	if err != nil {
		c.err = err
	}
}

// now is when this turn began, as a time of the table. The clock is read once
// for all of it.
func (c *conn) now() time.Duration {
	if c.clock == 0 {
		c.clock = c.srv.now()
	}
	return c.clock
}

// run executes the lines in what was received, up to one that has to wait, or that
// is left to others.
func (c *conn) run() {
	for c.err == nil && c.pending == nil && !c.deferred {
		line, rest, cut := c.lines.Next(c.unread, c.settings.LineBytes)
		if cut == protocol.Incomplete {
			c.unread = rest
			return
		}
		if c.isCommand(line, cut) {
			if c.execute(line); c.deferred {
				c.unread = c.unread[len(c.unread)-len(rest)-len("\n")-len(line):] // without what was passed over
				return
			}
			c.srv.answerGranted()
		}
		c.unread = rest
		c.flushReply()
	}
	if c.err != nil {
		c.unread = nil
	}
}

// smallRest is how many bytes are moved out of a buffer, rather than keep the
// buffer for them.
const smallRest = 1 << 10

// keep puts what has not run yet where it costs least.
func (c *conn) keep() {
	switch {
	case len(c.unread) == 0:
		c.srv.inputs.put(c.in)
		c.in, c.unread = nil, nil
		return
	case len(c.unread) > smallRest:
		c.in = c.in[:copy(c.in, c.unread)]
	case len(c.unread) < len(c.in) || cap(c.in) > smallRest:
		small := bytes.Clone(c.unread)
		c.srv.inputs.put(c.in)
		c.in = small
	}
	c.unread = c.in
}

// runLast executes what the client sent without an LF before it ended its side.
// A command of level 2 that was cut so is none: it might name another lock than
// was meant.
func (c *conn) runLast() {
	if c.perReply() {
		c.unread = nil // of a message that was cut
		return
	}
	verb, ok := protocol.VerbOf(c.unread)
	switch {
	case !ok:
	case verb.Level() > 1:
		c.stripe.read[protocol.Unknown].Add(1)
	default:
		if c.isCommand(c.unread, protocol.Complete) {
			if c.execute(c.unread); c.deferred {
				return
			}
			c.srv.answerGranted()
		}
	}
	c.unread = nil
}

// isCommand tells whether a line is to be executed, and answers it where it is not.
func (c *conn) isCommand(line []byte, cut protocol.Cut) bool {
	first := !c.spoken
	c.spoken = true
	tooLong := cut == protocol.TooLong
	switch {
	case first && (protocol.IsHTTPRequest(line) || tooLong && protocol.MayBeHTTPRequest(line)):
		c.err = errRefused // before any line of it can be taken for a command
	case tooLong:
		c.stripe.read[protocol.Unknown].Add(1)
		if c.level > 1 {
			c.beginReply()
			c.out = protocol.AppendTooLong(c.out)
		}
	default:
		return true
	}
	return false
}

// execute runs one line. Where that may take longer than this turn may, it leaves
// the line to others.
func (c *conn) execute(line []byte) {
	if c.brief && len(line) > briefLine {
		c.deferred = true
		return
	}
	command, ok := protocol.Parse(line)
	if c.brief && !c.affords(command, len(line)) {
		c.deferred = true
		return
	}
	if !ok {
		return
	}
	c.stripe.read[command.Verb].Add(1)
	c.beginReply()
	c.handle(command.Verb, command.Arg)
}

// affords tells whether a brief turn may run a command, which came in a line of that
// length. A blank line costs as much as a cheap command.
func (c *conn) affords(command protocol.Command, length int) bool {
	cost := costs[command.Verb]
	switch command.Verb {
	case protocol.List:
		cost = c.costOfList(locks.Exclusive, command.Arg)
	case protocol.SharedList:
		cost = c.costOfList(locks.Shared, command.Arg)
	case protocol.Stats:
		if !c.srv.settled() {
			return false
		}
	}
	c.allowance -= cost + int32(length>>10)
	return c.allowance >= 0
}

// beginReply has c.out ready for a reply.
func (c *conn) beginReply() {
	if c.out == nil {
		c.out = c.srv.outputs.get()
	}
}

// flush sends the replies that are there.
func (c *conn) flush() {
	if c.out != nil {
		c.sendReplies()
		c.srv.outputs.put(c.out)
		c.out = nil
	}
}

// flushReply sends what is there if a reply must go by itself, or if there is
// much.
func (c *conn) flushReply() {
	if len(c.out) > outputSize-inputSize || c.perReply() {
		c.flush()
	}
}

// flushPart sends a part of a long reply, where the transport has no messages:
// one that has them must see the reply whole. It reports whether it did.
func (c *conn) flushPart() bool {
	if len(c.out) <= outputSize-inputSize || c.perReply() {
		return false
	}
	c.sendReplies()
	c.out = c.out[:0]
	return true
}

func (c *conn) sendReplies() {
	lost := c.err != nil && !errors.Is(c.err, io.EOF)
	if len(c.out) == 0 || lost {
		return
	}
	c.fail(c.link.write(c.out))
	if c.brief && c.link.backlogged() { // the next one might wait
		c.deferred = true
	}
}

// endsSoon tells whether end takes no longer than a turn. A log might, as whoever
// reads it may be stuck, and so might the close frame of a WebSocket.
func (c *conn) endsSoon() bool {
	return c.pending == nil && c.watcher == nil && !c.perReply() && c.session.Holds() <= answeredAtOnce &&
		!c.link.backlogged() && (c.err != errRefused || c.lingering != nil) && !c.debugs()
}

// end takes the connection down, in the order that protocol.md promises: whoever
// sees the stream end finds its locks free and its name gone.
func (c *conn) end() {
	if errors.Is(c.err, io.EOF) {
		c.fail(c.link.drain())
	}
	c.stopTimers()
	orphans := c.leave()
	c.srv.hub.change(c.watcher, nil)
	c.srv.registry.set(c.session, "")
	c.leaving.Store(true)
	c.link.Close()
	c.endLinger()
	c.debug("client gone", slog.Int("orphans", orphans), slog.String("reason", reason(c.err)))
	c.srv.untrack(c)
}

func (c *conn) stopTimers() {
	if c.pending != nil {
		c.pending.stopTimer()
	}
	if c.lingering != nil {
		c.lingering.timer.Stop()
	}
}

// reason words why a connection ended, for the log.
func reason(err error) string {
	if errors.Is(err, io.EOF) {
		return "closed by client"
	}
	return err.Error()
}

func (c *conn) debug(message string, attrs ...slog.Attr) {
	if !c.debugs() {
		return
	}
	attrs = append(attrs, slog.String("address", c.session.Addr()), slog.String("transport", c.transport.String()))
	c.srv.log.LogAttrs(context.Background(), slog.LevelDebug, message, attrs...)
}

func (c *conn) debugs() bool { return c.srv.log.Enabled(context.Background(), slog.LevelDebug) }
