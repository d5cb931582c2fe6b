package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// A service is a server on every transport.
type service struct {
	*server.Server
	table     *locks.Table
	addresses map[string]string // by transport: tcp, unix, ws
	unixPeers int
}

// start starts a server that is as no configuration has it: only who comes over a
// Unix socket may break locks.
func start(t *testing.T, configure func(*server.Settings, *locks.Limits)) *service {
	t.Helper()
	dir, err := os.MkdirTemp("", "lockd") // short, as a socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	set := server.DefaultSettings()
	set.Admin = func(from netip.Addr) bool { return !from.IsValid() }
	var limits locks.Limits
	configure(&set, &limits)
	s := &service{
		table:     locks.New(limits, locks.NewTokens(uint64(time.Now().UnixNano()))),
		addresses: make(map[string]string),
	}
	s.Server = server.New(server.Options{Table: s.table, Settings: set, Log: slog.New(slog.DiscardHandler), Version: "VERSION"})
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(s.Destroy)
	for _, url := range []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(dir, "s"), "ws://127.0.0.1:0"} {
		l := listen(t, url)
		transport, address, _ := strings.Cut(l.String(), "://")
		s.addresses[transport] = address
		serving.Go(func() { s.Serve(l) })
	}
	return s
}

func listen(t *testing.T, url string) *server.Listener {
	t.Helper()
	address, err := server.ParseAddress(url)
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.Listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// waits tells whether a client is in the queue of a lock.
func (s *service) waits(addr string) bool {
	all := s.table.List(locks.Query{Exclusive: true, Shared: true, Waiters: true})
	return slices.ContainsFunc(slices.Collect(all), func(e locks.Entry) bool { return e.Waiting && e.Session.Addr() == addr })
}

// A client is a connection in a dialogue.
type client struct {
	t    *testing.T
	at   string // where in the document the dialogue is
	addr string // as the server shows it
	conn net.Conn
	ws   *websocket.Conn // nil but for WebSockets
	in   *bufio.Reader
}

func (s *service) connect(t *testing.T, transport string) *client {
	t.Helper()
	c := &client{t: t}
	if transport == "ws" {
		c.upgrade(s.addresses["ws"])
		return c
	}
	conn, err := net.Dial(transport, s.addresses[transport])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c.conn, c.in, c.addr = conn, bufio.NewReader(conn), conn.LocalAddr().String()
	if transport == "unix" {
		s.unixPeers++
		c.addr = "unix:" + strconv.Itoa(s.unixPeers)
	}
	return c
}

func (c *client) upgrade(address string) {
	c.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c.conn, c.addr = &lingering{Conn: conn}, conn.LocalAddr().String()
		return c.conn, nil
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+address+"/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		c.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	c.t.Cleanup(func() { ws.CloseNow() })
	c.ws, c.in = ws, bufio.NewReader(&stream{ws: ws})
}

// A lingering is a connection whose Close waits for the server's. The library
// closes when its close frame is answered: the locks are free by then, but the
// connection is still counted.
type lingering struct {
	net.Conn
	once sync.Once
	err  error
}

// Close implements net.Conn.
func (l *lingering) Close() error {
	l.once.Do(func() {
		l.SetReadDeadline(time.Now().Add(patience))
		err := l.Conn.(*net.TCPConn).CloseWrite()
		_, rest := io.Copy(io.Discard, l.Conn)
		l.err = errors.Join(err, rest, l.Conn.Close())
	})
	return l.err
}

// A stream is the messages of a WebSocket one behind the other.
type stream struct {
	ws   *websocket.Conn
	rest []byte
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, message, err := s.ws.Read(ctx)
		cancel()
		if websocket.CloseStatus(err) == websocket.StatusNormalClosure || errors.Is(err, io.EOF) {
			err = io.EOF
		}
		if err != nil {
			return 0, err
		}
		s.rest = message
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// send sends bytes, over WebSocket as one message.
func (c *client) send(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var err error
	switch {
	case c.ws == nil:
		c.conn.SetWriteDeadline(time.Now().Add(patience))
		_, err = io.WriteString(c.conn, text)
	case kindOf(text) == "text":
		err = c.ws.Write(ctx, websocket.MessageText, []byte(text))
	default:
		err = c.ws.Write(ctx, websocket.MessageBinary, []byte(text))
	}
	if err != nil {
		c.t.Fatalf("%s: send: %v", c.at, err)
	}
}

// line returns the next line.
func (c *client) line() string {
	c.t.Helper()
	if c.ws == nil {
		c.conn.SetReadDeadline(time.Now().Add(patience))
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%s got %q, %v; want a line", c.at, line, err)
	}
	return line
}

// message returns the next message, which must be text or binary as documented.
func (c *client) message() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	kind, message, err := c.ws.Read(ctx)
	if err != nil {
		c.t.Fatalf("%s got message %q, %v; want a message", c.at, message, err)
	}
	if want := kindOf(string(message)); (kind == websocket.MessageText) != (want == "text") {
		c.t.Errorf("%s: message %q has the wrong kind; want %s", c.at, message, want)
	}
	return string(message)
}

// endSide closes the sending side.
func (c *client) endSide() {
	c.t.Helper()
	var err error
	half, ok := c.conn.(interface{ CloseWrite() error })
	switch {
	case c.ws != nil:
		// The library sends a close frame and waits for the answer.
		err = c.ws.Close(websocket.StatusNormalClosure, "")
		c.in = bufio.NewReader(bytes.NewReader(nil))
	case ok:
		err = half.CloseWrite()
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		c.t.Fatalf("%s closes: %v", c.at, err)
	}
}

// wantEnd wants the stream to end with nothing before.
func (c *client) wantEnd() {
	c.t.Helper()
	if c.ws == nil {
		c.conn.SetReadDeadline(time.Now().Add(patience))
	}
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.t.Fatalf("%s got %q, %v; want the end", c.at, rest, err)
	}
	if err := c.conn.Close(); err != nil {
		c.t.Errorf("%s closes: %v", c.at, err)
	}
}
