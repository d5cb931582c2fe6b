package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// A wsLink is the link of a WebSocket. Its owner reads from the library itself, as
// long as nobody needs to wake it. A read of the library cannot be given up without
// closing the connection, so from wakeable on a goroutine of its own, the pump,
// reads and hands what it gets to the owner, piece by piece: for each piece, that is
// two switches of goroutines, which most connections never need.
type wsLink struct {
	sock    *upgradeSocket
	ws      *websocket.Conn
	message io.Reader     // that is being read, by the owner or else by the pump; nil between two
	chunks  chan []byte   // from the pump; its buffer is lent until taken gets a token
	taken   chan struct{} // from the owner
	lent    bool          // the owner has a chunk
	wakes   bool          // wakeable was called
	written bool          // something was, since the last flush
	pumped  chan struct{} // closed when the pump has ended; nil where there is none
	end     time.Time     // of wakeAt
	woken   chan struct{} // gets a token from wake
	once    sync.Once
	cut     chan struct{} // closed by interrupt
}

// wsPiece is as much of a message as is read at a time, in bytes: the library waits
// until it has all of that, unless the frame ends before.
const wsPiece = 4 << 10

func newWSLink(ws *websocket.Conn, sock *upgradeSocket) *wsLink {
	l := &wsLink{sock: sock, ws: ws, cut: make(chan struct{}), woken: make(chan struct{}, 1)}
	sock.emptied = l.wake // not the socket's, which the library reads
	return l
}

// wakeable implements link.
func (l *wsLink) wakeable() { l.wakes = true }

// pump reads until the connection fails or closes, which upgradeSocket.lost
// tells the owner.
func (l *wsLink) pump() {
	defer close(l.pumped)
	defer l.sock.Close()
	buf := make([]byte, 0, wsPiece)
	for l.awaitMessage() == nil {
		p, err := l.readPiece(buf)
		if err != nil || !l.hand(p) {
			return
		}
	}
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

// hand lends p to the owner and waits until it is done with it, replies and all.
func (l *wsLink) hand(p []byte) bool {
	select {
	case l.chunks <- p:
	case <-l.sock.lost:
		return false
	}
	select {
	case <-l.taken:
		return true
	case <-l.sock.lost:
		return false
	}
}

func (l *wsLink) read(in []byte, limit int) ([]byte, error) {
	if err := l.flush(); err != nil {
		return nil, err
	}
	switch {
	case !l.wakes:
		return l.readItself(in, limit)
	case l.pumped == nil: // only now: what it reads may be the connection's end
		l.chunks, l.taken, l.pumped = make(chan []byte), make(chan struct{}), make(chan struct{})
		go l.pump()
	}
	if l.lent {
		l.lent = false
		select {
		case l.taken <- struct{}{}:
		case <-l.sock.lost:
			return nil, io.EOF
		}
	}
	var ended <-chan time.Time // never, where there is no end
	if !l.end.IsZero() {
		timer := time.NewTimer(time.Until(l.end))
		defer timer.Stop()
		ended = timer.C
	}
	select {
	case p := <-l.chunks:
		l.lent = true
		return append(roomFor(in, limit, l.sock.inputs), p...), nil
	case <-l.woken:
		return in, errWoken
	case <-ended:
		return in, errWoken
	case <-l.sock.lost:
		return nil, io.EOF
	case <-l.cut:
		return nil, errInterrupted
	}
}

// readItself is read without a pump. Where a message has brought no whole line yet
// it goes on, as a message in general is one line without its end.
func (l *wsLink) readItself(in []byte, limit int) ([]byte, error) {
	for l.awaitMessage() == nil { // before there is a buffer
		seen := len(in)
		var err error
		if in, err = l.readPiece(roomFor(in, limit, l.sock.inputs)); err != nil {
			break
		}
		if len(in) > limit || bytes.IndexByte(in[seen:], '\n') >= 0 {
			return in, nil
		}
	}
	select {
	case <-l.cut:
		return nil, errInterrupted
	default:
		return nil, io.EOF
	}
}

func (l *wsLink) wakeAt(t time.Time) {
	l.end = t
	select {
	case <-l.woken:
	default:
	}
}

func (l *wsLink) wake() {
	select {
	case l.woken <- struct{}{}:
	default: // one waits
	}
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

// flush writes what was gathered. It does not wait for the pump, which may be
// answering a ping of a client that does not read, where there is nothing.
func (l *wsLink) flush() error {
	if !l.written {
		return nil
	}
	l.written = false
	return l.sock.flush()
}

func (l *wsLink) roomy() bool { return l.sock.roomy() }

func (l *wsLink) drain() error { return errors.Join(l.flush(), l.sock.drain()) }

// refuse is never called: what begins a WebSocket is HTTP.
func (l *wsLink) refuse([]byte) {}

func (l *wsLink) interrupt() {
	l.once.Do(func() { close(l.cut) })
	l.sock.interrupt()
}

// Close implements link. The pump ends first: it may have a close frame to answer.
func (l *wsLink) Close() error {
	l.sock.uncount()
	if !l.sock.cut.Load() {
		l.flush() // where the end has come before the next read
	}
	select {
	case <-l.sock.lost:
	default:
		l.sock.interrupt()
		l.sock.lose()
	}
	if l.pumped != nil {
		<-l.pumped
	}
	return errors.Join(l.ws.CloseNow(), l.sock.closeUpgraded())
}
