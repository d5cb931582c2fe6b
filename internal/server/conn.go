package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A link is what carries a connection's bytes. It belongs to the connection's
// goroutine, but for wake and interrupt.
type link interface {
	// read waits until the client has sent something and returns it behind in,
	// which is received already and has not run: the beginning of a line of up to
	// limit bytes or, during a wait, any lines. io.EOF says that the client will send no more, errWoken that wake was
	// called or the time of wakeAt has come.
	read(in []byte, limit int) ([]byte, error)
	// wakeAt has the next read end with errWoken at that time; the zero time is
	// never. It takes back a wake that came before.
	wakeAt(t time.Time)
	// wakeable must be called before a read that wake or wakeAt is to end.
	wakeable()
	// wake has a read end with errWoken, the next one if there is none under way.
	// Anybody may call it, and it does not wait.
	wake()
	// write sends replies: one, if the transport has messages, which p then fills.
	// It does not wait for the client while the backlog has room.
	write(p []byte) error
	// roomy tells whether write would not wait for the client. Where it is not, a
	// read ends with errWoken when the client has taken all.
	roomy() bool
	// drain waits until what was written is the kernel's to deliver.
	drain() error
	// interrupt makes read, write and drain fail from now on. Anybody may call it,
	// and it does not wait.
	interrupt()
	// refuse writes p instead of serving the client.
	refuse(p []byte)
	// Close ends the connection. The session must hold nothing any more.
	Close() error
}

// A conn is one client's connection, and the owner of its session. All belongs
// to who has acting, but what says otherwise.
type conn struct {
	srv       *Server
	link      link
	session   *locks.Session
	transport Transport
	stripe    *stripe
	perReply  bool // replies are sent one by one, not batch by batch

	cut     atomic.Bool // interrupt was called; set by anybody
	waiting atomic.Bool // in the queue of a lock; read by who closes the server
	leaving atomic.Bool // holds nothing any more, and will soon be closed; read by kick

	// acting is locked by the connection's goroutine, but while that reads during a
	// wait for a lock. Whoever locks it then can end the wait.
	acting        sync.Mutex
	noted         atomic.Bool // in Server.granted
	grantedBefore *conn       // the next in there; belongs to who takes it out

	settings  *Settings     // of this batch
	clock     time.Duration // when it came, since the start of the server; 0 until asked for
	lines     protocol.Lines
	spoken    bool     // a line has come, so that none is the first any more
	level     int      // of the protocol, as agreed on
	pending   *pending // nil where it does not wait for a lock
	cancelled bool     // the next line is the cancel that has ended a wait
	watcher   *watcher // nil where it does not watch
	in        []byte   // the buffer of what was received
	unread    []byte   // the end of in that has not run yet
	out       []byte   // replies of this batch, not sent yet
	err       error    // why the connection must end
}

var (
	// errRefused ends a connection that was answered as what it is: not a client.
	errRefused = errors.New("not a client of this protocol")
	// errInterrupted ends a connection that the server disconnects.
	errInterrupted = errors.New("disconnected by the server")
	// errWoken ends a read without anything read.
	errWoken = errors.New("woken")
)

func newConn(s *Server, l link, addr string, t Transport) *conn {
	c := &conn{
		srv: s, link: l, transport: t,
		stripe:   s.counters.stripe(s.serial.Add(1)),
		perReply: t == WebSocket,
		spoken:   t == WebSocket, // it has begun with HTTP, and may
		level:    1,
	}
	c.session = locks.NewSession(addr, c)
	return c
}

// interrupt ends the connection soon. Anybody may call it, and it does not wait.
func (c *conn) interrupt() {
	c.cut.Store(true)
	c.link.interrupt()
}

func (c *conn) serve() {
	c.acting.Lock()
	c.debug("client connected")
	for c.err == nil {
		if c.pending == nil {
			c.turn()
		} else {
			c.turnWaiting()
		}
	}
	c.end()
}

// turn reads once, runs what is complete, and answers with one write.
func (c *conn) turn() {
	in, err := c.link.read(c.unread, c.srv.settings.Load().LineBytes)
	c.begun(in)
	c.received(err)
}

// received does what a read has brought.
func (c *conn) received(err error) {
	switch {
	case err == nil:
		c.run()
	case errors.Is(err, errWoken):
		c.link.wakeAt(time.Time{})
	case errors.Is(err, io.EOF):
		c.runLast()
		if c.err == nil {
			c.err = err
		}
	default:
		c.unread, c.err = nil, err
	}
	c.answer()
}

// answer sends what a turn has brought.
func (c *conn) answer() {
	c.flush()
	c.sendEvents()
	c.keep()
}

// begun notes that a new batch begins, with what was received.
func (c *conn) begun(in []byte) {
	c.in, c.unread = in, in
	c.settings = c.srv.settings.Load() // after the read, which may have waited for long
	c.clock = 0
}

// now is when this batch came, as a time of the table. The clock is read once
// for all of it.
func (c *conn) now() time.Duration {
	if c.clock == 0 {
		c.clock = c.srv.now()
	}
	return c.clock
}

// run executes the lines in what was received, up to one that has to wait.
func (c *conn) run() {
	for c.err == nil && c.pending == nil {
		line, rest, cut := c.lines.Next(c.unread, c.settings.LineBytes)
		c.unread = rest
		if cut == protocol.Incomplete {
			return
		}
		if c.isCommand(line, cut) {
			c.execute(line)
			c.srv.answerGranted()
		}
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
	verb, ok := protocol.VerbOf(c.unread)
	switch {
	case !ok:
	case verb.Level() > 1:
		c.stripe.read[protocol.Unknown].Add(1)
	default:
		if c.isCommand(c.unread, protocol.Complete) {
			c.execute(c.unread)
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
		c.refuseHTTP()
	case tooLong:
		c.stripe.read[protocol.Unknown].Add(1)
		if c.level > 1 {
			c.begin()
			c.out = protocol.AppendTooLong(c.out)
		}
	default:
		return true
	}
	return false
}

// refuseHTTP answers a client that speaks HTTP and ends the connection before
// any line of it can be taken for a command.
func (c *conn) refuseHTTP() {
	c.srv.gate.refuse(refusedHTTP)
	c.srv.logRefusal(c.session.Addr(), refusedHTTP)
	c.link.refuse(protocol.AppendHTTPAnswer(nil, c.settings.MetricsURL))
	c.err = errRefused
}

// execute runs one line.
func (c *conn) execute(line []byte) {
	command, ok := protocol.Parse(line)
	if !ok {
		return
	}
	c.stripe.read[command.Verb].Add(1)
	c.begin()
	handlers[command.Verb](c, command.Arg)
}

// begin has c.out ready for a reply.
func (c *conn) begin() {
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
	if len(c.out) > outputSize-inputSize || c.perReply {
		c.flush()
	}
}

// flushPart sends a part of a long reply, where the transport has no messages:
// one that has them must see the reply whole. It reports whether it did.
func (c *conn) flushPart() bool {
	if len(c.out) <= outputSize-inputSize || c.perReply {
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
	if err := c.link.write(c.out); err != nil {
		c.err = err
	}
}

// end takes the connection down, in the order that protocol.md promises: whoever
// sees the stream end finds its locks free and its name gone.
func (c *conn) end() {
	if errors.Is(c.err, io.EOF) {
		if err := c.link.drain(); err != nil {
			c.err = err
		}
	}
	orphans := c.leave()
	c.srv.hub.change(c.watcher, nil)
	c.srv.registry.set(c.session, "")
	c.leaving.Store(true)
	c.link.Close()
	c.debug("client gone", slog.Int("orphans", orphans), slog.String("reason", reason(c.err)))
	c.srv.untrack(c)
}

// reason words why a connection ended, for the log.
func reason(err error) string {
	if errors.Is(err, io.EOF) {
		return "closed by client"
	}
	return err.Error()
}

func (c *conn) debug(message string, attrs ...slog.Attr) {
	if !c.srv.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs = append(attrs, slog.String("address", c.session.Addr()), slog.String("transport", c.transport.String()))
	c.srv.log.LogAttrs(context.Background(), slog.LevelDebug, message, attrs...)
}
