package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/rogpeppe/go-internal/testscript"
)

// A peer is a connection of a script's to a server.
type peer struct {
	conn   net.Conn
	reader *bufio.Reader
}

func (c *peer) close() { c.conn.Close() }

// dial connects to HOST:PORT, /PATH or ws://HOST:PORT.
func dial(where string) (*peer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := dialContext(ctx, where)
	if err != nil {
		return nil, err
	}
	return &peer{conn, bufio.NewReader(conn)}, nil
}

func dialContext(ctx context.Context, where string) (net.Conn, error) {
	var d net.Dialer
	switch {
	case strings.HasPrefix(where, "/"):
		return d.DialContext(ctx, "unix", where)
	case strings.HasPrefix(where, "ws://"):
		return dialWebSocket(ctx, where)
	}
	return d.DialContext(ctx, "tcp", where)
}

// A webSocket is a stream over a WebSocket, and knows its own address.
type webSocket struct {
	net.Conn
	tcp net.Conn
}

func (w *webSocket) LocalAddr() net.Addr { return w.tcp.LocalAddr() }

func dialWebSocket(ctx context.Context, url string) (net.Conn, error) {
	w := new(webSocket)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		var d net.Dialer
		w.tcp, err = d.DialContext(ctx, network, address)
		return w.tcp, err
	}}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		return nil, err
	}
	w.Conn = websocket.NetConn(context.Background(), ws, websocket.MessageText)
	return w, nil
}

func clientOf(ts *testscript.TestScript, name string) *peer {
	c := stageOf(ts).clients[name]
	if c == nil {
		ts.Fatalf("no client %q has connected", name)
	}
	return c
}

// cmdClient connects, and sets NAME to the address it has: client [-eventually]
// NAME ADDRESS. With ! nobody must listen there.
func cmdClient(ts *testscript.TestScript, neg bool, args []string) {
	try := func(f func() error) error { return f() }
	if args[0] == "-eventually" {
		args, try = args[1:], eventually
	}
	var c *peer
	err := try(func() (err error) {
		c, err = dial(args[1])
		return err
	})
	if neg {
		if err == nil {
			c.close()
			ts.Fatalf("somebody listens at %s", args[1])
		}
		return
	}
	ts.Check(err)
	stageOf(ts).clients[args[0]] = c
	ts.Setenv(args[0], c.conn.LocalAddr().String())
}

// cmdSay sends a line and reads nothing: say CLIENT LINE.
func cmdSay(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	_, err := io.WriteString(clientOf(ts, args[0]).conn, args[1]+"\n")
	ts.Check(err)
}

// cmdAsk sends a line and holds the reply against the lines wanted:
// ask CLIENT LINE REPLY...
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	c := clientOf(ts, args[0])
	_, err := io.WriteString(c.conn, args[1]+"\n")
	ts.Check(err)
	got, err := c.lines(len(args[2:]))
	if err != nil || !slices.Equal(got, args[2:]) {
		ts.Fatalf("%s asked %q and got %q, %v; want %q", args[0], args[1], got, err, args[2:])
	}
}

func (c *peer) lines(n int) (lines []string, err error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	for range n {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return append(lines, line), err
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, nil
}

// cmdToken gets a lock that is free and releases it: token CLIENT NAME. Its
// fencing token, which is then standard output, must be above all that the script
// was given before, by this server or another.
func cmdToken(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	c := clientOf(ts, args[0])
	_, err := fmt.Fprintf(c.conn, "gw 0 %[1]s\nr %[1]s\n", args[1])
	ts.Check(err)
	lines, err := c.lines(2)
	ts.Check(err)
	var token uint64
	if _, err := fmt.Sscanf(lines[0], "1 Lock Get Success: token=%d ", &token); err != nil {
		ts.Fatalf("%s was answered %q", args[0], lines)
	}
	s := stageOf(ts)
	if token <= s.token {
		ts.Fatalf("token %d follows %d", token, s.token)
	}
	s.token = token
	fmt.Fprintln(ts.Stdout(), token)
}

// cmdGone waits until the server has ended the connection, having sent nothing
// more: gone CLIENT.
func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	ts.Check(clientOf(ts, args[0]).gone())
}

func (c *peer) gone() error {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	b, err := c.reader.ReadByte()
	switch {
	case err == nil:
		return fmt.Errorf("the server sent %q", b)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the connection is still there")
	}
	return nil
}

// cmdLeave closes a connection: leave CLIENT.
func cmdLeave(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	clientOf(ts, args[0]).close()
	delete(stageOf(ts).clients, args[0])
}

// cmdCrowd connects N times, one after the other, and must be refused each time:
// crowd N ADDRESS.
func cmdCrowd(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range n {
		c, err := dial(args[1])
		ts.Check(err)
		ts.Check(c.gone())
		c.close()
	}
}

// cmdThrong connects N times, one after the other, and is served each time:
// throng N ADDRESS.
func cmdThrong(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range n {
		c, err := dial(args[1])
		ts.Check(err)
		_, err = io.WriteString(c.conn, "me\n")
		ts.Check(err)
		_, err = c.lines(1)
		ts.Check(err)
		c.close()
	}
}

// cmdUpgrade asks for a WebSocket with an Origin header as a quoted Go string and
// holds the HTTP status of the answer against what is wanted:
// upgrade HOST:PORT ORIGIN STATUS. No HTTP library would send what it sends.
func cmdUpgrade(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	origin, err := strconv.Unquote(args[1])
	ts.Check(err)
	c, err := dial(args[0])
	ts.Check(err)
	defer c.close()
	c.conn.SetDeadline(time.Now().Add(patience))
	var request bytes.Buffer
	fmt.Fprintf(&request, "GET / HTTP/1.1\r\nHost: lockd\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: %s\r\n\r\n", origin)
	_, err = c.conn.Write(request.Bytes())
	ts.Check(err)
	answer, err := http.ReadResponse(c.reader, nil)
	ts.Check(err)
	if got := strconv.Itoa(answer.StatusCode); got != args[2] {
		ts.Fatalf("answered %s, want %s", answer.Status, args[2])
	}
}
