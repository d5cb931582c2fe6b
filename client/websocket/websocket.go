// Package websocket lets lockd's client connect by WebSocket. It is apart from
// package client because it brings an HTTP client along.
//
//	conn, err := client.Dial(ctx, "ws://127.0.0.1:9998", client.Options{Dial: websocket.Dial})
package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"unicode/utf8"

	ws "github.com/coder/websocket"

	"lockd/client"
)

// Dial opens a connection of the network ws to a HOST:PORT. Networks tcp and
// unix it leaves to [client.NetDial], so that it can be had for any address. It
// connects directly, whatever proxies the environment names: a lock lives as
// long as its connection, and proxies end connections as they like.
//
// Reads and writes of the connection join and send messages: each Write is one.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "ws" {
		return client.NetDial(ctx, network, address)
	}
	var raw net.Conn // below the WebSocket
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			var err error
			raw, err = client.NetDial(ctx, network, address)
			return raw, err
		},
	}
	defer transport.CloseIdleConnections()
	socket, _, err := ws.Dial(ctx, "ws://"+address+"/", &ws.DialOptions{
		HTTPClient: &http.Client{Transport: transport, CheckRedirect: refuseRedirect},
	})
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	socket.SetReadLimit(-1) // a listing is one message
	return &conn{Conn: raw, socket: socket}, nil
}

// refuseRedirect keeps the client at the server it was told to use.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// A conn carries a stream of bytes in messages. Addresses and deadlines are
// those of the connection below; a deadline that is hit ends the connection.
type conn struct {
	net.Conn
	socket  *ws.Conn
	message io.Reader // the one that is being read, if any; belongs to Read
}

// Read implements net.Conn. It must not be called by two goroutines at a time.
func (c *conn) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			_, message, err := c.socket.Reader(context.Background())
			if err != nil {
				return 0, streamError(err)
			}
			c.message = message
		}
		n, err := c.message.Read(p)
		switch {
		case errors.Is(err, io.EOF):
			c.message = nil
		case err != nil:
			return n, streamError(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

// streamError makes the peer's leaving, in whatever way, the end of the stream.
func streamError(err error) error {
	if ws.CloseStatus(err) >= 0 || errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}

// Write implements net.Conn. P is sent as one message, of text if it is text.
func (c *conn) Write(p []byte) (int, error) {
	kind := ws.MessageText
	if !utf8.Valid(p) {
		kind = ws.MessageBinary
	}
	if err := c.socket.Write(context.Background(), kind, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite tells the peer that nothing follows, as net.TCPConn's does. The
// peer's end of the stream can still be read, which a WebSocket's own closing
// would not wait for.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Close implements net.Conn.
func (c *conn) Close() error { return c.socket.CloseNow() }
