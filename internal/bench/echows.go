package bench

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// answerWebSocket is answer for a client that comes by WebSocket: it sends back
// each message. One goroutine does it all, from the request on.
func (e *echo) answerWebSocket(c net.Conn) {
	requests := bufio.NewReader(c)
	request, err := http.ReadRequest(requests)
	if err != nil {
		return
	}
	socket, err := websocket.Accept(&upgrade{c, requests, make(http.Header)}, request, nil)
	if err != nil {
		return
	}
	defer socket.CloseNow()
	socket.SetReadLimit(-1)
	buffer := make([]byte, bufferBytes)
	for {
		kind, n, err := readMessage(socket, &buffer)
		if err != nil || socket.Write(context.Background(), kind, buffer[:n]) != nil {
			return
		}
	}
}

// readMessage reads a message into a buffer, which it makes as long as that takes.
func readMessage(socket *websocket.Conn, buffer *[]byte) (kind websocket.MessageType, n int, err error) {
	kind, message, err := socket.Reader(context.Background())
	for err == nil {
		if n == len(*buffer) {
			*buffer = append(*buffer, make([]byte, n)...)
		}
		var more int
		more, err = message.Read((*buffer)[n:])
		n += more
	}
	if errors.Is(err, io.EOF) && kind != 0 {
		return kind, n, nil
	}
	return kind, n, err
}

// An upgrade is what becomes of a request for a WebSocket: a [http.ResponseWriter]
// as far as [websocket.Accept] needs it.
type upgrade struct {
	conn     net.Conn
	requests *bufio.Reader
	header   http.Header
}

// Header implements [http.ResponseWriter].
func (u *upgrade) Header() http.Header { return u.header }

// Write implements [http.ResponseWriter].
func (u *upgrade) Write(p []byte) (int, error) { return u.conn.Write(p) }

// WriteHeader implements [http.ResponseWriter]. Who waits for it learns of errors
// by the end of the connection.
func (u *upgrade) WriteHeader(status int) {
	head := http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: u.header}
	head.Write(u.conn)
}

// Hijack implements [http.Hijacker].
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u.conn, bufio.NewReadWriter(u.requests, bufio.NewWriter(u.conn)), nil
}
