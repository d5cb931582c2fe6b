package server_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

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

	ctx, cancel := context.WithCancel(t.Context())
	var visitors sync.WaitGroup
	defer func() {
		cancel()
		tcp.Close() // ends those who wait for the next server
		local.Close()
		visitors.Wait()
	}()
	served := make(chan string)
	for range 2 {
		for _, l := range []net.Listener{tcp, local} {
			visitors.Go(func() { comeAndGo(ctx, t, l.Addr(), served) })
		}
	}
	for range 50 {
		s := start(t)
		for _, socket := range []interface{ File() (*os.File, error) }{tcp.(*net.TCPListener), local.(*net.UnixListener)} {
			l, err := server.Passed(passedFile(t, socket), false)
			if err != nil {
				t.Fatal(err)
			}
			s.serve(l)
		}
		for range 8 {
			<-served
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// comeAndGo visits a server until ctx ends, and reports each visit.
func comeAndGo(ctx context.Context, t *testing.T, address net.Addr, served chan<- string) {
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
