package monitoring_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"lockd/client/websocket"
)

// A load is what clients have done to a server: the numbers that q must show.
type load struct {
	*testing.T
	*lockd
	mu      sync.Mutex
	numbers map[string]int // by the keys of q; guarded by mu
	clients []*client
}

func newLoad(t *testing.T, l *lockd) *load {
	load := &load{T: t, lockd: l, numbers: make(map[string]int)}
	t.Cleanup(func() {
		for _, c := range load.clients {
			c.Close()
		}
	})
	return load
}

func (l *load) count(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers[key] += n
}

func (l *load) counted() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.numbers)
}

// A client counts the commands it sends.
type client struct {
	*load
	net.Conn
	in *bufio.Reader
}

// dial connects from an address of this machine, or otherwise.
func (l *load) dial(from string) (conn net.Conn, err error) {
	switch from {
	case unixOnly:
		return net.Dial("unix", l.unix)
	case webSocket:
		ctx, cancel := context.WithTimeout(l.Context(), patience)
		defer cancel()
		return websocket.Dial(ctx, "ws", l.wsock)
	default:
		dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		return dialer.Dial("tcp", l.tcp)
	}
}

// connect connects a client that stays until it leaves, at level 2.
func (l *load) connect(from string) *client {
	l.Helper()
	conn, err := l.dial(from)
	if err != nil {
		l.Fatal(err)
	}
	c := &client{load: l, Conn: conn, in: bufio.NewReader(conn)}
	l.mu.Lock()
	l.clients = append(l.clients, c)
	l.mu.Unlock()
	l.count("connections", 1)
	c.ask("me lockd/2", "2 ")
	return c
}

func (c *client) send(format string, args ...any) {
	c.Helper()
	text := fmt.Sprintf(format+"\n", args...)
	for line := range strings.Lines(text) {
		c.count("command_"+strings.Fields(line)[0], 1)
	}
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.Fatal(err)
	}
}

// line reads a reply that begins as wanted.
func (c *client) line(want string) string {
	c.Helper()
	c.SetDeadline(time.Now().Add(patience))
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, want) {
		c.Fatalf("the reply is %q, want %q (%v)", line, want, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *client) ask(command, want string) {
	c.Helper()
	c.send("%s", command)
	c.line(want)
}

// list returns the lines of a listing.
func (c *client) list(command string) []string {
	c.Helper()
	c.send("%s", command)
	var lines []string
	for {
		line := c.line("")
		if line == "" {
			return lines
		}
		lines = append(lines, line)
	}
}

// leave disconnects and tells how many holds become orphans.
func (c *client) leave(orphans, shared int) {
	c.Helper()
	c.Conn.Close()
	c.left(orphans, shared)
}

// ended wants the server to have ended the connection.
func (c *client) ended(orphans, shared int) {
	c.Helper()
	if line, err := c.in.ReadString('\n'); err == nil {
		c.Fatalf("not closed, but told %q", line)
	}
	c.leave(orphans, shared)
}

func (c *client) left(orphans, shared int) {
	c.count("connections", -1)
	c.count("orphans", orphans)
	c.count("shared_orphans", shared)
}

// refused connects n times, sends something, and wants to be told something each
// time; nothing means disconnected without a word.
func (l *load) refused(n int, address, from, send, told string) {
	l.Helper()
	for range n {
		dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := dialer.Dial("tcp", address)
		if err != nil {
			l.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, send)
		got := make([]byte, max(len(told), 1))
		n, err := io.ReadFull(conn, got)
		conn.Close()
		if string(got[:n]) != told || errors.Is(err, os.ErrDeadlineExceeded) {
			l.Fatalf("refused with %q, want %q (%v)", got[:n], told, err)
		}
	}
}
