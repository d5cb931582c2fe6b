package server

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gobwas/ws"
	"pgregory.net/rapid"
)

// clientFrame words a frame as clients do.
func clientFrame(code ws.OpCode, fin bool, mask [4]byte, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewFrame(code, fin, payload), mask))
}

// A saying is what a client sends, with what must come of it.
type saying struct{ raw, lines, pongs []byte }

// someSaying is a few messages, in one or more frames each, with control frames
// between.
func someSaying() *rapid.Generator[saying] {
	return rapid.Custom(func(t *rapid.T) (s saying) {
		control := func() {
			for rapid.IntRange(0, 3).Draw(t, "control") == 0 {
				payload := rapid.SliceOfN(rapid.Byte(), 0, 125).Draw(t, "payload")
				code := rapid.SampledFrom([]ws.OpCode{ws.OpPing, ws.OpPong}).Draw(t, "code")
				s.raw = append(s.raw, clientFrame(code, true, someMask(t), payload)...)
				if code == ws.OpPing {
					s.pongs = append(s.pongs, ws.MustCompileFrame(ws.NewPongFrame(payload))...)
				}
			}
		}
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			code := rapid.SampledFrom([]ws.OpCode{ws.OpText, ws.OpBinary}).Draw(t, "code")
			parts := rapid.IntRange(1, 4).Draw(t, "parts")
			for part := range parts {
				control()
				payload := bytes.Repeat([]byte(rapid.String().Draw(t, "payload")), rapid.SampledFrom([]int{1, 2, 40}).Draw(t, "times"))
				s.lines = append(s.lines, payload...)
				s.raw = append(s.raw, clientFrame(code, part == parts-1, someMask(t), payload)...)
				code = ws.OpContinuation
			}
			s.lines = append(s.lines, '\n')
		}
		control()
		return s
	})
}

func someMask(t *rapid.T) [4]byte {
	return [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "mask"))
}

// decodeInPieces gives a link what a client has sent, as the kernel might.
func decodeInPieces(t *rapid.T, l *wsLink, raw []byte) (lines []byte, err error) {
	for len(raw) > 0 && err == nil {
		n := rapid.IntRange(1, len(raw)).Draw(t, "piece")
		given := append(bytes.Clone(l.partial), raw[:n]...) // as receive has it
		raw = raw[n:]
		lines, err = l.decode(lines, given)
	}
	return lines, err
}

func newTestLink() *wsLink {
	return newWSLink(&socket{srv: &Server{outputs: buffers{size: 1 << 20}}}, nil)
}

func TestMessagesAreTheSameInWhateverPiecesTheyCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, s := newTestLink(), someSaying().Draw(t, "saying")
		lines, err := decodeInPieces(t, l, s.raw)
		if err != nil || !bytes.Equal(lines, s.lines) {
			t.Fatalf("%q is taken for %q, %v; want %q", s.raw, lines, err, s.lines)
		}
		if !bytes.Equal(l.out, s.pongs) {
			t.Fatalf("the pings are answered with %q, want %q", l.out, s.pongs)
		}
	})
}

// What stands behind a close frame, or what is none, is nothing to the server.
func TestAMessageBeforeACloseFrameIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, s := newTestLink(), someSaying().Draw(t, "saying")
		reason := ws.NewCloseFrameBody(ws.StatusGoingAway, "later")
		raw := append(s.raw, clientFrame(ws.OpClose, true, someMask(t), reason)...)
		raw = append(raw, rapid.SliceOf(rapid.Byte()).Draw(t, "behind")...)
		lines, err := decodeInPieces(t, l, raw)
		var closed closeFrame
		if !errors.As(err, &closed) || !bytes.Equal(closed, reason) || !bytes.Equal(lines, s.lines) {
			t.Fatalf("%q is taken for %q, %v; want %q", raw, lines, err, s.lines)
		}
	})
}

// Whatever comes: no panic, and the same in one piece as byte by byte.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\x81\x85\x00\x00\x00\x00g foo\x88\x80\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x83\x01\x02\x03\x04abc\x89\x80\x00\x00\x00\x00\x80\xfe\x00\x7e\x00\x00\x00\x00"))
	f.Add([]byte("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00a"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		whole, pieces := newTestLink(), newTestLink()
		want, wantErr := whole.decode(nil, bytes.Clone(raw))
		var got []byte
		var err error
		for i := 0; i < len(raw) && err == nil; i++ {
			got, err = pieces.decode(got, append(bytes.Clone(pieces.partial), raw[i]))
		}
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Fatalf("taken for %q, %v in one piece, and for %q, %v byte by byte", want, wantErr, got, err)
		}
		if !bytes.Equal(whole.out, pieces.out) {
			t.Fatalf("answered with %q in one piece, and with %q byte by byte", whole.out, pieces.out)
		}
	})
}
