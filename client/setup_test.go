package client_test

import (
	"context"
	"maps"
	"net"
	"net/netip"
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
	return serveWith(t, o).Addrs()
}

// serveWith starts a server, on TCP, Unix and WebSocket unless o says where.
func serveWith(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	if o.Addresses == nil {
		o.Addresses = []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(t.TempDir(), "sock"), "ws://127.0.0.1:0"}
	}
	srv, err := embedded.Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Destroy)
	return srv
}

// admin lets everybody break locks.
func admin(netip.Addr) bool { return true }

// isDone reports whether a lock is done.
func isDone(l *client.Lock) bool {
	select {
	case <-l.Done():
		return true
	default:
		return false
	}
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

func newClient(t *testing.T, address string, o client.ClientOptions) *client.Client {
	t.Helper()
	if o.Dial == nil {
		o.Dial = websocket.Dial
	}
	c, err := client.New(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// mustLock acquires a lock that nobody has, or is about to release.
func mustLock(t *testing.T, c *client.Client, name string) *client.Lock {
	t.Helper()
	l, err := c.Lock(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustUnlock(t *testing.T, l *client.Lock) {
	t.Helper()
	if err := l.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
}

// awaitWaiters returns when n wait for locks.
func awaitWaiters(t *testing.T, c *client.Client, n int) {
	t.Helper()
	for waiting := -1; waiting != n; {
		entries, err := c.List(t.Context(), client.Query{})
		if err != nil {
			t.Fatal(err)
		}
		waiting = 0
		for _, e := range entries {
			if e.Waiting {
				waiting++
			}
		}
	}
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
		if strings.HasPrefix(line, "me ") && s.answers[line] == "" {
			line = "me" // which has no argument at level 1
		}
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

// newServer is a server of level 2 that knows these answers.
func newServer(answers map[string]string) oldServer {
	answers = maps.Clone(answers)
	answers["me lockd/2"] = "2 10.0.0.1:5 10.0.0.1:5\n"
	answers["ping"] = "1 pong\n"
	return oldServer{answers: answers}
}
