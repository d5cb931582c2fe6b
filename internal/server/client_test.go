package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// A client is one that speaks to a server in a test.
type client struct {
	failer
	name string
	addr string // as the server shows it
	conn net.Conn
	ws   *websocket.Conn // over conn; nil for streams
	in   *bufio.Reader   // of the bytes that are replies
}

// connect opens a connection of a transport, a WebSocket upgraded.
func (s *service) connect(transport string) *client {
	s.Helper()
	if transport == "ws" {
		return s.connectWebSocket()
	}
	c := &client{failer: s, name: transport, conn: s.dial(transport)}
	c.in = bufio.NewReader(c.conn)
	c.addr = c.conn.LocalAddr().String()
	if transport == "unix" {
		// The n-th to connect is the n-th to be accepted, as one test connects
		// from one goroutine.
		c.addr = "unix:" + strconv.Itoa(s.unixPeers)
	}
	return c
}

func (s *service) connectWebSocket() *client {
	s.Helper()
	c := &client{failer: s, name: "ws"}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if c.conn, c.ws, err = dialWebSocket(ctx, s.dialer, s.addresses["ws"], nil); err != nil {
		s.Fatalf("%v", err)
	}
	c.addr = c.conn.LocalAddr().String()
	c.in = bufio.NewReader(&messages{ws: c.ws})
	s.Cleanup(func() { c.ws.CloseNow() })
	return c
}

// dialWebSocket returns the WebSocket and what is below it.
func dialWebSocket(ctx context.Context, dialer net.Dialer, address string, header http.Header) (net.Conn, *websocket.Conn, error) {
	var below net.Conn
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			below = c
			return c, err
		},
		DisableKeepAlives: true,
	}
	ws, answer, err := websocket.Dial(ctx, "ws://"+address+"/", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header,
	})
	if err != nil {
		if answer != nil {
			err = fmt.Errorf("status %d: %w", answer.StatusCode, err)
		}
		return nil, nil, err
	}
	ws.SetReadLimit(-1)
	return below, ws, nil
}

// messages are a WebSocket's, one behind the other.
type messages struct {
	ws      *websocket.Conn
	message io.Reader // being read, or nil
	done    context.CancelFunc
}

func (m *messages) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil {
		if m.message == nil {
			var ctx context.Context
			ctx, m.done = context.WithTimeout(context.Background(), 3*patience)
			_, m.message, err = m.ws.Reader(ctx)
		}
		if err == nil {
			n, err = m.message.Read(p)
		}
		if err != nil {
			m.done()
			m.message = nil
		}
		if err == io.EOF {
			err = nil
		}
	}
	return n, err
}

// send sends bytes as they are, of a WebSocket in one message.
func (c *client) send(text string) {
	c.Helper()
	if err := c.write(text); err != nil {
		c.Fatalf("%s sends: %v", c.name, err)
	}
}

func (c *client) write(text string) error {
	if c.ws == nil {
		c.conn.SetWriteDeadline(time.Now().Add(patience))
		_, err := io.WriteString(c.conn, text)
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageBinary, []byte(text))
}

func (c *client) arm() {
	if c.ws == nil { // a WebSocket's reads have their own bound
		c.conn.SetReadDeadline(time.Now().Add(patience))
	}
}

// want wants exactly these bytes next.
func (c *client) want(text string) {
	c.Helper()
	c.arm()
	got := make([]byte, len(text))
	n, err := io.ReadFull(c.in, got)
	if err != nil || string(got) != text {
		c.Fatalf("%s got %s, %v; want %s", c.name, brief(string(got[:n])), err, brief(text))
	}
}

// brief quotes text, shortened.
func brief(text string) string {
	if len(text) <= 400 {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%q … %q (%d bytes)", text[:200], text[len(text)-200:], len(text))
}

func (c *client) line() string {
	c.Helper()
	c.arm()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.Fatalf("%s got %q, %v; want a line", c.name, line, err)
	}
	return line
}

// ask sends a line and wants these bytes next.
func (c *client) ask(line, reply string) {
	c.Helper()
	c.send(line + "\n")
	c.want(reply)
}

// end reads what comes to the end of the stream, which of a WebSocket is that of
// the socket below and without the close frame.
func (c *client) end() (rest string, err error) {
	if c.ws == nil {
		c.arm()
		all, err := io.ReadAll(c.in)
		return string(all), err
	}
	head, _ := c.in.Peek(c.in.Buffered())
	c.conn.SetReadDeadline(time.Now().Add(patience))
	tail, err := io.ReadAll(c.conn)
	return string(head) + strings.TrimSuffix(string(tail), closeFrame), err
}

// closeFrame is what a server answers a normal one with.
const closeFrame = "\x88\x02\x03\xe8"

// wantEnd wants the stream to end with nothing before, whether orderly or not.
func (c *client) wantEnd() {
	c.Helper()
	rest, err := c.end()
	if errors.Is(err, os.ErrDeadlineExceeded) || rest != "" {
		c.Fatalf("%s got %s, %v; want the end", c.name, brief(rest), err)
	}
}

// wantEOF wants the stream to end orderly with nothing before.
func (c *client) wantEOF() {
	c.Helper()
	if rest, err := c.end(); err != nil || rest != "" {
		c.Fatalf("%s got %s, %v; want EOF", c.name, brief(rest), err)
	}
}

// halfClose ends the client's side; of a WebSocket, with a close frame.
func (c *client) halfClose() {
	c.Helper()
	var err error
	switch conn := c.conn.(type) {
	case *net.TCPConn:
		if c.ws == nil {
			err = conn.CloseWrite()
		} else {
			_, err = io.WriteString(conn, "\x88\x82\x00\x00\x00\x00\x03\xe8") // masked with zeros
		}
	case *net.UnixConn:
		err = conn.CloseWrite()
	}
	if err != nil {
		c.Fatalf("%s half-closes: %v", c.name, err)
	}
}

// leave ends the connection and returns when the server has ended it too.
func (c *client) leave() {
	c.Helper()
	c.halfClose()
	c.wantEOF()
	c.conn.Close()
}

// reset ends the connection without a word.
func (c *client) reset() {
	if conn, ok := c.conn.(*net.TCPConn); ok {
		conn.SetLinger(0)
	}
	c.conn.Close()
}

// lastCounter is the key of the last line that q answers.
const lastCounter = "shared_orphans"

// counters asks q.
func (c *client) counters() (values map[string]uint64, keys []string) {
	c.Helper()
	c.send("q\n")
	values = make(map[string]uint64)
	for {
		line := strings.TrimSuffix(c.line(), "\n")
		key, value, ok := strings.Cut(line, ": ")
		n, err := strconv.ParseUint(value, 10, 64)
		if !ok || err != nil {
			c.Fatalf("%q is no line of q", line)
		}
		values[key] = n
		keys = append(keys, key)
		if key == lastCounter {
			return values, keys
		}
	}
}

// readBy wants the server to have read all that c, a stream, has sent. On
// loopback what was sent is there when the sender's call returns.
func (s *service) readBy(c *client) {
	s.Helper()
	eventually(s, "the server has read", func() bool {
		n, there := s.Unread(c.addr)
		return there && n == 0
	})
}

// connectFrom connects by TCP from the client's address local.
func (s *service) connectFrom(local string) *client {
	s.Helper()
	from, err := net.ResolveTCPAddr("tcp", local)
	if err != nil {
		s.Fatalf("%v", err)
	}
	dialer := net.Dialer{LocalAddr: from}
	var conn net.Conn
	if conn, err = dialer.Dial("tcp", s.addresses["tcp4"]); err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() { conn.Close() })
	return &client{failer: s, name: local, addr: conn.LocalAddr().String(), conn: conn, in: bufio.NewReader(conn)}
}

// resetReader makes a client of a bare connection ready to read.
func (c *client) resetReader() *client {
	c.in = bufio.NewReader(c.conn)
	return c
}
