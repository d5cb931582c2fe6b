package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A link is what carries a connection's bytes. It belongs to the connection's
// goroutine, but for interrupt.
type link interface {
	// read waits until the client has sent something and returns it behind in,
	// the beginning of a line of up to limit bytes. io.EOF says that the client
	// will send no more.
	read(in []byte, limit int) ([]byte, error)
	// write sends replies: one, if the transport has messages, which p then fills.
	// It does not wait for the client while the backlog has room.
	write(p []byte) error
	// drain waits until what was written is the kernel's to deliver.
	drain() error
	// interrupt makes read, write and drain fail from now on.
	interrupt()
	// refuse writes p instead of serving the client.
	refuse(p []byte)
	// Close ends the connection. The session must hold nothing any more.
	Close() error
}

// A conn is one client's connection. All but the link's interrupt belongs to its
// goroutine.
type conn struct {
	srv       *Server
	link      link
	session   *locks.Session
	transport Transport
	stripe    *stripe
	perReply  bool // replies are sent one by one, not batch by batch

	settings *Settings // of this batch
	lines    protocol.Lines
	spoken   bool   // a line has come, so that none is the first any more
	in       []byte // received and not run yet: the beginning of a line
	out      []byte // replies of this batch, not sent yet
	err      error  // why the connection must end
}

// errRefused ends a connection that was answered as what it is: not a client.
var errRefused = errors.New("not a client of this protocol")

// errInterrupted ends a connection that Destroy disconnects.
var errInterrupted = errors.New("disconnected by the server")

func newConn(s *Server, l link, addr string, t Transport) *conn {
	return &conn{
		srv: s, link: l, transport: t,
		session:  locks.NewSession(addr),
		stripe:   s.counters.stripe(s.serial.Add(1)),
		perReply: t == WebSocket,
		spoken:   t == WebSocket, // it has begun with HTTP, and may
	}
}

func (c *conn) serve() {
	c.debug("client connected")
	for c.err == nil {
		c.turn()
	}
	c.end()
}

// turn reads once, runs what is complete, and answers with one write.
func (c *conn) turn() {
	in, err := c.link.read(c.in, c.srv.settings.Load().LineBytes)
	c.settings = c.srv.settings.Load() // after the wait, which may have been long
	switch {
	case err == nil:
		c.run(in)
	case errors.Is(err, io.EOF):
		c.in = in
		c.runLast()
		if c.err == nil {
			c.err = err
		}
	default:
		c.in, c.err = nil, err
	}
	c.flush()
}

// run executes the lines in what was received and keeps what is incomplete.
func (c *conn) run(in []byte) {
	line, rest, cut := c.lines.Next(in, c.settings.LineBytes)
	for cut != protocol.Incomplete && c.err == nil {
		c.take(line, cut)
		if len(c.out) > outputSize-inputSize || c.perReply {
			c.flush()
		}
		line, rest, cut = c.lines.Next(rest, c.settings.LineBytes)
	}
	if c.err != nil {
		rest = nil
	}
	c.keep(in, rest)
}

// smallRest is how many bytes of an incomplete line are moved out of a buffer,
// rather than keep the buffer for them.
const smallRest = 1 << 10

// keep puts the incomplete line at the end of in where it costs least.
func (c *conn) keep(in, rest []byte) {
	switch {
	case len(rest) == 0:
		c.in = nil
	case len(rest) <= smallRest:
		c.in = append([]byte(nil), rest...)
	default:
		c.in = in[:copy(in, rest)]
		return
	}
	c.srv.inputs.put(in)
}

// runLast executes what the client sent without an LF before it ended its side.
func (c *conn) runLast() {
	if len(c.in) > 0 {
		c.take(c.in, protocol.Complete)
		c.in = nil
	}
}

// take does what a line asks for.
func (c *conn) take(line []byte, cut protocol.Cut) {
	first := !c.spoken
	c.spoken = true
	tooLong := cut == protocol.TooLong
	switch {
	case first && (protocol.IsHTTPRequest(line) || tooLong && protocol.MayBeHTTPRequest(line)):
		c.refuseHTTP()
	case tooLong:
		c.stripe.read[protocol.Unknown].Add(1)
	default:
		c.execute(line)
	}
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
	if handle := handlers[command.Verb]; handle != nil {
		if c.out == nil {
			c.out = c.srv.outputs.get()
		}
		handle(c, command.Arg)
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

// flushPart sends a part of a long reply, where the transport has no messages:
// one that has them must see the reply whole.
func (c *conn) flushPart() {
	if len(c.out) > outputSize-inputSize && !c.perReply {
		c.sendReplies()
		c.out = c.out[:0]
	}
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
	held := c.session.Holds()
	c.srv.table.Leave(c.session)
	c.srv.registry.set(c.session, "")
	c.link.Close()
	c.debug("client gone", slog.Int("orphans", held), slog.String("reason", reason(c.err)))
	c.srv.untrack(c)
}

// reason words why a connection ended, for the log.
func reason(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "closed by client"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errInterrupted.Error()
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
