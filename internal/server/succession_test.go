package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"lockd/internal/server"
)

// A service manager keeps a socket open while one server follows another. Who
// connects in the moment of the change is served by either.
func TestOneServerFollowsAnotherAndNobodyIsCutOff(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sockets := map[net.Listener]func(net.Addr) (string, error){tcp: visit, local: visit, web: visitWebSocket}

	ctx, cancel := context.WithCancel(t.Context())
	var visitors sync.WaitGroup
	defer func() {
		cancel()
		for l := range sockets {
			l.Close() // ends those who wait for the next server
		}
		visitors.Wait()
	}()
	served := make(chan string)
	for range 2 {
		for l, visit := range sockets {
			visitors.Go(func() { comeAndGo(ctx, t, l.Addr(), visit, served) })
		}
	}
	for range 50 {
		s := start(t)
		for socket := range sockets {
			l, err := server.Passed(passedFile(t, socket.(interface{ File() (*os.File, error) })), socket == web)
			if err != nil {
				t.Fatal(err)
			}
			s.serve(l)
		}
		for range 12 {
			<-served
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// comeAndGo visits a server until ctx ends, and reports each visit.
func comeAndGo(ctx context.Context, t *testing.T, address net.Addr, visit func(net.Addr) (string, error), served chan<- string) {
	for ctx.Err() == nil {
		reply, err := visit(address)
		if err != nil && ctx.Err() == nil {
			t.Errorf("a client of %s is not served: %v", address, err)
		}
		select {
		case served <- reply:
		case <-ctx.Done():
		}
	}
}

func visit(address net.Addr) (reply string, err error) {
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(conn, "sg visited"); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

func visitWebSocket(address net.Addr) (reply string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, ws, err := dialWebSocket(ctx, net.Dialer{}, address.String(), nil)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := ws.Write(ctx, websocket.MessageText, []byte("sg visited")); err != nil {
		return "", err
	}
	_, message, err := ws.Read(ctx)
	return string(message), err
}

// Who has connected before the server closes gets its WebSocket and is served, as
// a client of the other transports is.
func TestAWebSocketThatComesWhileTheServerClosesIsServed(t *testing.T) {
	s := start(t)
	var closed <-chan struct{}
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, address)
		eventually(t, "it is counted", func() bool { return s.Stats().Connections() == 1 })
		closed = async(func() { s.Close(context.Background()) })
		eventually(t, "it says that it is closing", s.Closing)
		return c, err
	}}
	ws, _, err := websocket.Dial(ctx, "ws://"+s.addresses["ws"]+"/", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte("g foo")); err != nil {
		t.Fatal(err)
	}
	if _, reply, err := ws.Read(ctx); string(reply) != "1 Lock Get Success: foo\n" {
		t.Errorf("it is answered %q, %v", reply, err)
	}
	select {
	case <-closed:
		t.Error("Close has returned, and the client is there")
	default:
	}
	ws.Close(websocket.StatusNormalClosure, "")
	soon(t, "Close returns", closed)
	soon(t, "Serve returns", async(s.served.Wait))
}

// A connection that HTTP keeps open is none of a client.
func TestCloseDoesNotWaitForWhoAskedForNoWebSocket(t *testing.T) {
	for _, path := range []string{"/", "/elsewhere"} {
		s := start(t)
		c := s.dial("ws")
		io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		begun := time.Now()
		soon(t, "Close returns", async(func() { s.Close(context.Background()) }))
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: Close took %v", path, took)
		}
	}
}
