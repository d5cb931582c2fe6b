package client_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"lockd/client"
	"lockd/client/websocket"
	"lockd/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen starts a server and returns its addresses: TCP, Unix, WebSocket.
func listen(t *testing.T, o embedded.Options) []string {
	t.Helper()
	o.Addresses = []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(t.TempDir(), "sock"), "ws://127.0.0.1:0"}
	srv, err := embedded.Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Destroy)
	return srv.Addrs()
}

// overEveryTransport runs test once for TCP, Unix sockets and WebSocket, each
// with a server of its own.
func overEveryTransport(t *testing.T, test func(t *testing.T, address string)) {
	for i, name := range []string{"tcp", "unix", "ws"} {
		t.Run(name, func(t *testing.T) { test(t, listen(t, embedded.Options{})[i]) })
	}
}

func dial(t *testing.T, address string) *client.Conn {
	t.Helper()
	return dialWith(t, address, client.Options{Dial: websocket.Dial})
}

func dialWith(t *testing.T, address string, o client.Options) *client.Conn {
	t.Helper()
	c, err := client.Dial(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A script is a server that a test makes up. It is given every packet as it
// arrives, and what the client is to read in return; false ends the connection.
type script func(packet string) (reply string, goOn bool)

// dial is a client's way to the script. Both ends are in memory, so that time
// can be synctest's.
func (s script) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer ours.Close()
		packet := make([]byte, 1<<17)
		for {
			n, err := ours.Read(packet)
			if err != nil {
				return
			}
			reply, goOn := s(string(packet[:n]))
			if _, err := ours.Write([]byte(reply)); err != nil || !goOn {
				return
			}
		}
	}()
	return theirs, nil
}

// An oldServer answers lines by heart; others it passes over, as servers do
// with commands they do not know.
type oldServer struct {
	answers map[string]string // by line, each with its line ends
	crlf    bool              // ends lines with CR LF
	drops   bool              // takes one line of a packet and drops the others
}

func (s oldServer) answer(packet string) (string, bool) {
	lines := strings.Split(strings.TrimSuffix(packet, "\n"), "\n")
	if s.drops {
		lines = lines[:1]
	}
	var out strings.Builder
	for _, line := range lines {
		reply, known := s.answers[line]
		if name, ok := strings.CutPrefix(line, "i "); ok && !known {
			reply = "0 Lock Not Locked: " + name + "\n"
		}
		out.WriteString(reply)
	}
	if s.crlf {
		return strings.ReplaceAll(out.String(), "\n", "\r\n"), true
	}
	return out.String(), true
}

func (s oldServer) script() script { return s.answer }
