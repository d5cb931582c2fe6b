package server_test

import (
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// docs/protocol.md, "WebSocket": the close frame is answered when the locks are
// free.
func TestACloseFrameIsAnsweredWhenTheLocksAreFree(t *testing.T) {
	s := start(t)
	other := s.connect("tcp4")
	_, address := s.address("ws")
	for range 200 {
		ws, _, err := websocket.Dial(t.Context(), "ws://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ws.Write(t.Context(), websocket.MessageText, []byte("g foo")); err != nil {
			t.Fatal(err)
		}
		if _, reply, err := ws.Read(t.Context()); err != nil || string(reply) != "1 Lock Get Success: foo\n" {
			t.Fatalf("%q, %v", reply, err)
		}
		if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Fatal(err)
		}
		other.ask("i foo", "0 Lock Not Locked: foo\n")
	}
}

// A close frame is known by its first byte, which may stand anywhere in a reply.
func TestAReplyMayHoldWhatACloseFrameBeginsWith(t *testing.T) {
	s := start(t)
	c := s.connect("ws")
	for _, n := range []int{1, 4000, 4096, 9000, 40_000} {
		name := strings.Repeat("\x88", n)
		c.send("i " + name + "\n")
		c.want("0 Lock Not Locked: " + name + "\n")
	}
}
