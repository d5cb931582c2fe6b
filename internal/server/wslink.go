package server

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// A wsLink is the link of a WebSocket (docs/protocol.md, "WebSocket"): a socket with
// frames on it, which package ws words and understands.
type wsLink struct {
	*socket

	// What is coming.
	state   ws.State  // tells whether the message goes on in the next frame
	header  ws.Header // of the data frame that is coming
	coming  bool      // one is
	done    int64     // of its payload, in bytes
	partial []byte    // a header or control frame of which more is to come
	source  bytes.Reader
	scratch [ws.MaxHeaderSize]byte // for headers
	over    bool                   // nothing more will be received

	// What is to go out.
	out      []byte // frames to be written together; nil where there are none
	farewell []byte // the payload of the close frame; nil where there is to be none
}

// newWSLink returns the link of a client that has sent the beginning of its frames
// already.
func newWSLink(s *socket, sent []byte) *wsLink {
	return &wsLink{socket: s, state: ws.StateServerSide, partial: bytes.Clone(sent)}
}

// receive implements link. What has come, it returns as lines: a message ends its last
// one.
func (l *wsLink) receive(in []byte, hungUp bool, limit int) (out []byte, more bool, err error) {
	if l.over {
		return in, false, io.EOF
	}
	pool := &l.srv.inputs
	raw, more, err := l.socket.receive(append(pool.get(), l.partial...), hungUp, inputSize)
	defer pool.put(raw)
	switch {
	case errors.Is(err, io.EOF):
		l.over, more = true, true
	case err != nil:
		return in, false, err
	}
	out, err = l.decode(roomFor(in, limit, pool), raw)
	if err != nil {
		l.over, more = true, true
		l.farewell = farewellFor(err)
	}
	return out, more, nil
}

// decode appends to out the messages in the frames that raw has, each with an LF behind.
// It fails at a close frame, and at what is no frame.
func (l *wsLink) decode(out, raw []byte) ([]byte, error) {
	l.partial = nil
	for {
		if l.coming {
			n := int(min(l.header.Length-l.done, int64(len(raw))))
			ws.Cipher(raw[:n], l.header.Mask, int(l.done%4))
			out, raw = append(out, raw[:n]...), raw[n:]
			if l.done += int64(n); l.done < l.header.Length {
				return out, nil
			}
			l.coming = false
			if l.header.Fin {
				out = append(out, '\n')
			}
		}
		if len(raw) == 0 {
			return out, nil
		}
		n, err := l.begin(raw)
		switch {
		case err != nil:
			return out, err
		case n == 0:
			l.partial = bytes.Clone(raw)
			return out, nil
		}
		raw = raw[n:]
	}
}

// begin takes the header of a frame from the front of raw, or a control frame, and
// returns how many bytes that were; 0 where more must come first.
func (l *wsLink) begin(raw []byte) (n int, err error) {
	l.source.Reset(raw)
	defer l.source.Reset(nil)
	h, err := ws.ReadHeaderBuffer(&l.source, l.scratch[:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, nil
	}
	if err = cmp.Or(err, ws.CheckHeader(h, l.state)); err != nil {
		return 0, err
	}
	n = len(raw) - l.source.Len()
	if h.OpCode.IsControl() {
		payload := raw[n:]
		if int64(len(payload)) < h.Length {
			return 0, nil
		}
		payload = payload[:h.Length]
		ws.Cipher(payload, h.Mask, 0)
		return n + len(payload), l.control(h.OpCode, payload)
	}
	l.header, l.done, l.coming = h, 0, true
	l.state = l.state.Set(ws.StateFragmented)
	if h.Fin {
		l.state = l.state.Clear(ws.StateFragmented)
	}
	return n, nil
}

// A closeFrame ends what a client says. It has the payload.
type closeFrame []byte

func (closeFrame) Error() string { return "closed by client" }

// farewellFor returns what is to be answered to a close frame, or to what is no frame.
func farewellFor(err error) []byte {
	var closed closeFrame
	if errors.As(err, &closed) {
		return closed
	}
	return ws.NewCloseFrameBody(ws.StatusProtocolError, err.Error())
}

// control answers a control frame, or returns a closeFrame.
func (l *wsLink) control(code ws.OpCode, payload []byte) error {
	switch code {
	case ws.OpPing:
		if len(l.out) > outputSize/2 && !l.roomy() {
			return nil // the client reads nothing, and must not be waited for here
		}
		return l.add(ws.OpPong, payload)
	case ws.OpClose:
		if len(payload) > 0 {
			if len(payload) == 1 {
				return ws.ErrProtocolStatusCodeNotInUse
			}
			if err := ws.CheckCloseFrameData(ws.ParseCloseFrameData(payload)); err != nil {
				return err
			}
		}
		return closeFrame(append([]byte{}, payload...))
	}
	return nil
}

// write implements link.
func (l *wsLink) write(p []byte) error {
	if utf8.Valid(p) {
		return l.add(ws.OpText, p)
	}
	return l.add(ws.OpBinary, p)
}

// add has a frame go out with the next flush. Each reply is a message, and a write for
// each would cost more than all else. It waits as write does, and writes once at most: a
// second time might wait where the first did not.
func (l *wsLink) add(code ws.OpCode, p []byte) error {
	if l.out == nil {
		l.out = l.srv.outputs.get()
	}
	if len(l.out)+ws.MaxHeaderSize+len(p) > outputSize {
		if err := l.send(); err != nil {
			return err
		}
	}
	h := ws.Header{Fin: true, OpCode: code, Length: int64(len(p))}
	if err := ws.WriteHeaderBuffer((*appender)(&l.out), h, l.scratch[:]); err != nil {
		return err
	}
	l.out = append(l.out, p...)
	return nil
}

// An appender is what package ws writes headers to.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// send writes what is to go out.
func (l *wsLink) send() error {
	p := l.out
	l.out = l.out[:0]
	if len(p) == 0 {
		return nil
	}
	return l.socket.write(p)
}

// flush implements link.
func (l *wsLink) flush() error {
	if l.out == nil {
		return nil
	}
	err := l.send()
	l.srv.outputs.put(l.out)
	l.out = nil
	return err
}

// drain implements link.
func (l *wsLink) drain() error {
	if err := l.flush(); err != nil {
		return err
	}
	return l.socket.drain()
}

// Close implements link. The client is not counted any more when it sees its close
// frame answered, so it has a moment only to read what stands before that.
func (l *wsLink) Close() error {
	l.uncount()
	if l.farewell != nil && l.add(ws.OpClose, l.farewell) == nil && l.flush() == nil {
		if b := l.backlog.Load(); b != nil && l.srv.linger() {
			defer l.srv.doneLingering()
			select {
			case <-b.done:
			case <-time.After(lingerTime):
			}
		}
	}
	return l.socket.Close()
}
