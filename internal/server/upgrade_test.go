package server_test

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// net/http keeps a connection whose request was no WebSocket: what comes on it
// later must not count for another client that has not asked yet.
func TestPlainRequestsAtAWebSocketPortHarmNobody(t *testing.T) {
	s := start(t)
	idle := s.dial("ws")
	defer idle.Close()
	eventually(t, "the idle client is counted", func() bool { return s.Stats().Connections() == 1 })
	c := s.dial("ws")
	defer c.Close()
	answers := bufio.NewReader(c)
	for range 3 {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("status %s", answer.Status)
		}
	}
	if n := s.Stats().Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	idle.Close()
	c.Close()
	eventually(t, "both have gone", func() bool { return s.Stats().Connections() == 0 })
	s.connect("ws").ask("g foo", "1 Lock Get Success: foo\n")
}

func TestDestroyEndsARequestWhoseBodyNeverComes(t *testing.T) {
	s := start(t)
	c := s.dial("ws")
	defer c.Close()
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	eventually(t, "it is counted", func() bool { return s.Stats().Connections() == 1 })
	soon(t, "the server is destroyed", async(s.Destroy))
	soon(t, "Serve returns", async(s.served.Wait))
	if n := s.Stats().Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// docs/protocol.md, "WebSocket": the close frame is answered when the locks are
// free, and the connection is not counted any more either.
func TestACloseFrameIsAnsweredWhenAllIsGone(t *testing.T) {
	s := start(t)
	for range 200 {
		c := s.connect("ws")
		c.ask("g foo", "1 Lock Get Success: foo\n")
		if err := c.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Connections() != 0 || st.Locks.Exclusive.Locks != 0 {
			t.Fatalf("after the handshake: %d connections, %d locks", st.Connections(), st.Locks.Exclusive.Locks)
		}
	}
}

// The reader answers pings, the owner takes the connection down: both have to do
// with the socket.
func TestDestroyWhilePingsAreAnswered(t *testing.T) {
	ping := append([]byte{0x89, 0x80 | 125, 0, 0, 0, 0}, make([]byte, 125)...)
	for range 10 {
		s := start(t, smallKernel)
		c := s.connect("ws")
		flooded := async(func() {
			for {
				if _, err := c.conn.Write(ping); err != nil {
					return
				}
			}
		})
		eventually(t, "answers wait for the client", func() bool { return s.Backlog(c.addr) > 0 })
		soon(t, "the server is destroyed", async(s.Destroy))
		c.conn.Close()
		soon(t, "the flood is over", flooded)
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

// Who has asked for something else before is cut off by a close, be it in the middle of
// getting its WebSocket.
func TestACloseWhileOneWhoAskedForSomethingElseGetsItsWebSocket(t *testing.T) {
	for range 60 {
		s := start(t)
		var clients []*client
		for range 6 {
			c := &client{failer: s, name: "ws", conn: s.dial("ws")}
			c.in = bufio.NewReader(c.conn)
			c.raw("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
			c.arm()
			answer, err := http.ReadResponse(c.in, nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, answer.Body)
			clients = append(clients, c)
		}
		for _, c := range clients {
			c.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n" + upgradeHeader + "\r\n")
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
		closed := async(func() { s.Close(ctx) })
		for _, c := range clients {
			c.arm()
			if answer, err := http.ReadResponse(c.in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
				continue
			}
			io.WriteString(c.conn, frame(textPart|lastPart, "i x")) // in vain, where it is cut off
			if got, err := io.ReadAll(io.LimitReader(c.in, int64(len("\x81\x150 Lock Not Locked: x\n")))); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Fatalf("a WebSocket is there and answers %q", got)
			}
			c.conn.Close()
		}
		soon(t, "the server is closed", closed)
		cancel()
	}
}
