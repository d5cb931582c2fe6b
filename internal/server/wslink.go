package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// A wsLink is the link of a WebSocket. A read of its library cannot be given up
// without closing the connection. So a goroutine, the pump, does nothing but read, and
// acts for the connection when it has got something, as a loop of the poller would.
type wsLink struct {
	sock    *upgradeSocket
	ws      *websocket.Conn
	conn    *conn
	message io.Reader     // that is being read by the pump; nil between two
	pumped  chan struct{} // closed when the pump has ended

	chunk   []byte        // lent by the pump to who acts, from handed to taken
	handed  atomic.Bool   // there is a chunk that was not received yet
	lent    bool          // there is one that was
	taken   chan struct{} // gets a token when it has been dealt with
	dry     atomic.Bool   // the pump has ended, or is about to
	written bool          // something was, since the last flush
}

// wsPiece is as much of a message as is read at a time, in bytes: the library waits
// until it has all of that, unless the frame ends before.
const wsPiece = 4 << 10

func newWSLink(ws *websocket.Conn, sock *upgradeSocket) *wsLink {
	return &wsLink{sock: sock, ws: ws, taken: make(chan struct{}, 1), pumped: make(chan struct{})}
}

// pump reads until the connection fails or closes.
func (l *wsLink) pump() {
	defer close(l.pumped)
	for l.awaitMessage() == nil { // before there is a buffer
		buf := l.sock.srv.inputs.get()
		p, err := l.readLine(buf)
		on := err == nil && l.hand(p)
		l.sock.srv.inputs.put(buf)
		if !on {
			break
		}
	}
	l.dry.Store(true)
	l.conn.wake()
}

// awaitMessage waits until there is some of a message to read.
func (l *wsLink) awaitMessage() (err error) {
	if l.message == nil {
		_, l.message, err = l.ws.Reader(context.Background())
	}
	return err
}

// readPiece appends to buf some of the message, or the line end that the end of a
// message is. It needs room for a byte.
func (l *wsLink) readPiece(buf []byte) ([]byte, error) {
	n, err := l.message.Read(buf[len(buf):min(cap(buf), len(buf)+wsPiece)])
	buf = buf[:len(buf)+n]
	switch {
	case err == nil:
		return buf, nil
	case errors.Is(err, io.EOF) && !l.sock.ended:
		l.message = nil
		return append(buf, '\n'), nil
	}
	return nil, err
}

// readLine reads until there is the end of a line, or a piece. A message in general is
// one line without its end.
func (l *wsLink) readLine(buf []byte) ([]byte, error) {
	for len(buf) < wsPiece {
		seen := len(buf)
		var err error
		if buf, err = l.readPiece(buf); err != nil || bytes.IndexByte(buf[seen:], '\n') >= 0 {
			return buf, err
		}
		if err = l.awaitMessage(); err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// hand lends p to who acts for the connection, which may be the pump itself, until it
// has been dealt with, replies and all.
func (l *wsLink) hand(p []byte) bool {
	l.chunk = p
	l.handed.Store(true)
	if l.conn.signal(stirred) {
		for l.conn.step(true) {
		}
	}
	select {
	case <-l.taken:
		return true
	case <-l.sock.lost:
		return false
	}
}

// receive implements link.
func (l *wsLink) receive(in []byte, _ bool, limit int) (out []byte, more bool, err error) {
	b := l.sock.backlog.Load()
	switch {
	case b != nil && b.failure() != nil:
		return in, false, b.failure()
	case l.handed.Load():
		l.handed.Store(false)
		l.lent = true
		return append(roomFor(in, limit, &l.sock.srv.inputs), l.chunk...), false, nil
	case l.dry.Load():
		return nil, false, io.EOF
	}
	return in, false, nil
}

func (l *wsLink) write(p []byte) error {
	kind := websocket.MessageText
	if !utf8.Valid(p) {
		kind = websocket.MessageBinary
	}
	l.written = true
	l.sock.begin()
	return l.ws.Write(context.Background(), kind, p)
}

// flush implements link.
func (l *wsLink) flush() error {
	if !l.written {
		return nil
	}
	l.written = false
	return l.sock.flush()
}

// readOn implements link. Only now may the pump see that the client has closed: the
// library writes nothing more then.
func (l *wsLink) readOn() {
	if l.lent {
		l.lent = false
		l.taken <- struct{}{}
	}
}

func (l *wsLink) backlogged() bool { return l.sock.backlogged() }

func (l *wsLink) roomy() bool { return l.sock.roomy() }

func (l *wsLink) drain() error { return errors.Join(l.flush(), l.sock.drain()) }

// refuse is never called: what begins a WebSocket is HTTP.
func (l *wsLink) refuse([]byte) error { return nil }

func (l *wsLink) interrupt() { l.sock.interrupt() }

// Close implements link. The pump ends first: it may have a close frame to answer.
func (l *wsLink) Close() error {
	l.sock.uncount()
	if !l.sock.cut.Load() {
		l.flush() // where the end has come before the turn's
	}
	select {
	case <-l.sock.lost:
	default:
		l.sock.interrupt()
		l.sock.lose()
	}
	<-l.pumped
	return errors.Join(l.ws.CloseNow(), l.sock.closeUpgraded())
}
