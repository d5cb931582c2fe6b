package machine

import (
	"bufio"
	"context"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects from inside the machine, to a literal address.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	if network == "unix" {
		return d.DialContext(ctx, network, m.Outer(address))
	}
	// A socket belongs for ever to the network namespace that its thread was in
	// when it was made. For a literal address that is this thread.
	runtime.LockOSThread()
	leave, err := enterNetwork(m.pid)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	conn, err := d.DialContext(ctx, network, address)
	if back := leave(); back != nil {
		return nil, back // and leave the thread locked: it is not fit for others
	}
	runtime.UnlockOSThread()
	return conn, err
}

// enterNetwork puts this thread into the network namespace of a process, until
// leave is called.
func enterNetwork(pid int) (leave func() error, err error) {
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	there, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		here.Close()
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		here.Close()
		return nil, err
	}
	return func() error {
		defer here.Close()
		return unix.Setns(int(here.Fd()), unix.CLONE_NEWNET)
	}, nil
}

// A Client is a connection to lockd.
type Client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// Connect connects to lockd, which must accept, though perhaps not answer yet.
func (m *Machine) Connect(network, address string) *Client {
	m.t.Helper()
	conn, err := m.Dial(m.t.Context(), network, address)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * Deadline)); err != nil {
		m.t.Fatal(err)
	}
	return &Client{t: m.t, conn: conn, in: bufio.NewReader(conn)}
}

// Ask sends a line and returns the line that answers it.
func (c *Client) Ask(line string) string {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(line + "\n")); err != nil {
		c.t.Fatal(err)
	}
	return c.ReadLine()
}

// ReadLine returns the next line that the server sends.
func (c *Client) ReadLine() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read a reply: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// Want is Ask for a line that must be answered with want.
func (c *Client) Want(line, want string) {
	c.t.Helper()
	if got := c.Ask(line); got != want {
		c.t.Errorf("%s: answered %q, want %q", line, got, want)
	}
}

// Close closes the connection.
func (c *Client) Close() { c.conn.Close() }

// ReadEnd returns the error that reading ends with, once nothing comes any more.
func (c *Client) ReadEnd() error {
	_, err := c.in.ReadByte()
	return err
}
