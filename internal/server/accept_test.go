package server

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockd/internal/locks"
)

// heldTable does not come back from looking at a lock before it may.
type heldTable struct {
	*locks.Table
	entered, end chan struct{}
}

func (t *heldTable) Inspect(m locks.Mode, name []byte) int {
	close(t.entered)
	<-t.end
	return t.Table.Inspect(m, name)
}

// Whoever asks with q is answered before those are served who were accepted to be
// counted, however long that takes.
func TestSettlingDoesNotServeWhomItCounts(t *testing.T) {
	table := &heldTable{locks.New(locks.Limits{}, locks.NewTokens(0)), make(chan struct{}), make(chan struct{})}
	s := New(Options{Table: table, Settings: DefaultSettings(), Log: slog.New(slog.DiscardHandler)})
	a, err := ParseAddress("tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.poller.start(); err != nil {
		t.Fatal(err)
	}
	// It is not told to the poller: as if all loops were busy.
	l.srv, l.deliver = s, s.serveSocket
	s.addListener(l)
	_, address, _ := strings.Cut(l.String(), "://")
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("i stuck\n"))
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, 10_000); err != nil || s.settled() {
		t.Fatalf("nobody waits to be accepted, %v", err)
	}
	counted := make(chan struct{})
	go func() {
		s.settle()
		close(counted)
	}()
	<-table.entered // it is being served
	select {
	case <-counted:
	case <-time.After(10 * time.Second):
		t.Error("settle waits for whom it has counted to be served")
	}
	if n := s.Stats().Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	close(table.end)
	s.Destroy()
}
