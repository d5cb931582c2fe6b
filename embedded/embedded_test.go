package embedded_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockd/client"
	"lockd/client/websocket"
	"lockd/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scratch returns a directory for an example, with a path short enough for a
// Unix socket.
func scratch() (dir string, cleanup func()) {
	dir, err := os.MkdirTemp("", "lockd")
	if err != nil {
		panic(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

func listen(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	srv, err := embedded.Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Destroy)
	return srv
}

func dial(t *testing.T, address string) *client.Conn {
	t.Helper()
	conn, err := client.Dial(t.Context(), address, client.Options{Dial: websocket.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestClientsOfEveryTransportMeetAtTheSameLocks(t *testing.T) {
	dir, cleanup := scratch()
	defer cleanup()
	srv := listen(t, embedded.Options{Addresses: []string{
		"tcp://127.0.0.1:0", "tcp://[::1]:0", "ws://127.0.0.1:0", "unix://" + dir + "/s",
	}})
	for i, address := range srv.Addrs() {
		holders, err := dial(t, address).GetShared(t.Context(), "pool")
		if err != nil || holders != i+1 {
			t.Errorf("%s: holder %d, %v; want %d", address, holders, err, i+1)
		}
	}
	stats := srv.Stats()
	if stats.Connections != 4 || stats.SharedLocks != 1 || stats.Locks != 0 || stats.Commands["sg"] != 4 {
		t.Errorf("counters: %+v", stats)
	}
}

func TestWithoutAddressesItListensOnLoopbackOnly(t *testing.T) {
	srv := listen(t, embedded.Options{})
	if len(srv.Addrs()) != 1 || !strings.HasPrefix(srv.Addrs()[0], "tcp://127.0.0.1:") {
		t.Errorf("listens on %v", srv.Addrs())
	}
}

func TestFeaturesThatAreOffAnswerSo(t *testing.T) {
	srv := listen(t, embedded.Options{DisableDump: true, DisableRegistry: true})
	conn := dial(t, srv.Addrs()[0])
	if _, err := conn.Dump(t.Context()); !errors.Is(err, client.ErrDisabled) {
		t.Errorf("dump: %v", err)
	}
	if err := conn.SetName(t.Context(), "me"); !errors.Is(err, client.ErrDisabled) {
		t.Errorf("set name: %v", err)
	}
}

func TestLimitsHold(t *testing.T) {
	srv := listen(t, embedded.Options{MaxLocksPerConnection: 1, MaxConnections: 1})
	conn := dial(t, srv.Addrs()[0])
	if err := conn.Get(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := conn.Get(t.Context(), "b"); !errors.Is(err, client.ErrNotAcquired) {
		t.Errorf("a second lock: %v", err)
	}
	refused(t, srv.Addrs()[0])
}

func TestWhoIsNotAllowedIsClosedAtOnce(t *testing.T) {
	srv := listen(t, embedded.Options{Allow: func(netip.Addr) bool { return false }})
	refused(t, srv.Addrs()[0])
}

// refused wants a connection that is closed without a byte.
func refused(t *testing.T, address string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want a closed connection", n, err)
	}
}

func TestAnAddressThatCannotBeOpenedIsNamedAndNothingStaysOpen(t *testing.T) {
	taken := listen(t, embedded.Options{}).Addrs()[0]
	dir, cleanup := scratch()
	defer cleanup()
	socket := dir + "/s"
	for _, bad := range []string{taken, "tcp://127.0.0.1", "http://127.0.0.1:1"} {
		_, err := embedded.Listen(t.Context(), embedded.Options{Addresses: []string{"unix://" + socket, bad}})
		if err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
		if _, err := os.Lstat(socket); err == nil {
			t.Errorf("%s: the socket opened before it is still there", bad)
		}
	}
}

func TestCloseWaitsForClientsAndThenForNobody(t *testing.T) {
	srv := listen(t, embedded.Options{})
	conn := dial(t, srv.Addrs()[0])
	if err := conn.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close with a client there: %v", err)
	}
	<-conn.Done() // disconnected
	if got := srv.Stats(); got.Connections != 0 || got.Locks != 0 || got.Orphans != 1 {
		t.Errorf("counters after the close: %+v", got)
	}
	if err := srv.Close(t.Context()); err != nil {
		t.Errorf("a second close: %v", err)
	}
}

func TestDestroyDisconnectsAndMayBeCalledAgain(t *testing.T) {
	srv := listen(t, embedded.Options{Addresses: []string{"tcp://127.0.0.1:0", "ws://127.0.0.1:0"}})
	first, second := dial(t, srv.Addrs()[0]), dial(t, srv.Addrs()[1])
	srv.Destroy()
	<-first.Done()
	<-second.Done()
	srv.Destroy()
	if _, err := client.Dial(t.Context(), srv.Addrs()[0], client.Options{}); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("dial after destroy: %v", err)
	}
}
