package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockd/internal/admin"
)

// maxConnections is what interface and documentation promise.
const maxConnections = 128

func isTimeout(err error, as *net.Error) bool {
	return errors.As(err, as) && (*as).Timeout()
}

func TestAnAddressThatMayNotConnectIsClosedWithoutAByteAndCounted(t *testing.T) {
	var allowed atomic.Bool
	refused := make(chan struct{}, 1)
	e := serve(t, admin.Options{
		Allow: func(a netip.Addr) bool {
			return a == netip.MustParseAddr("127.0.0.1") && allowed.Load()
		},
		Refused: func() { refused <- struct{}{} },
	})
	conn := e.dial(t)
	closedWithoutAByte(t, conn)
	<-refused

	allowed.Store(true) // as a reload does
	if got := e.get(t, "/healthz"); got.StatusCode != 200 {
		t.Errorf("after it was allowed: %s", got.Status)
	}

	allowed.Store(false) // concerns new connections only
	if got := e.get(t, "/healthz"); got.StatusCode != 200 {
		t.Errorf("on the connection of before: %s", got.Status)
	}
}

func TestUnixSocketsMayAlwaysConnect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	l := listen(t, "unix", path)
	server := admin.New(withDefaults(admin.Options{Allow: func(netip.Addr) bool { return false }}))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()

	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask(t, conn, "/healthz")
	if status := answered(t, conn); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// oneConn is a listener that accepts one connection from any address one likes.
type oneConn struct {
	peer net.Addr
	mu   sync.Mutex
	done bool
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return nil, net.ErrClosed
	}
	l.done = true
	ours, theirs := net.Pipe()
	theirs.Close()
	return addressed{ours, l.peer}, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.peer }

type addressed struct {
	net.Conn
	peer net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.peer }

func TestAllowIsAskedInTheFormThatNetworksMatch(t *testing.T) {
	for _, tc := range []struct {
		name string
		peer *net.TCPAddr
		want string
	}{
		{"IPv4", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To4()}, "192.0.2.1"},
		{"IPv4 on a socket for both", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To16()}, "192.0.2.1"},
		{"IPv6", &net.TCPAddr{IP: net.ParseIP("2001:db8::1")}, "2001:db8::1"},
		{"link-local", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, "fe80::1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var asked []netip.Addr
			server := admin.New(withDefaults(admin.Options{Allow: func(a netip.Addr) bool {
				asked = append(asked, a)
				return false
			}}))
			if err := server.Serve(&oneConn{peer: tc.peer}); !errors.Is(err, net.ErrClosed) {
				t.Fatal(err)
			}
			if len(asked) != 1 || asked[0].String() != tc.want {
				t.Errorf("asked for %v, want %s", asked, tc.want)
			}
		})
	}
}

func TestAConnectionBeyondTheLimitWaitsUntilOneLeaves(t *testing.T) {
	e := serve(t, admin.Options{})
	conns := make([]net.Conn, maxConnections)
	for i := range conns {
		conns[i] = e.dial(t)
		ask(t, conns[i], "/healthz")
		if status := answered(t, conns[i]); status != 200 {
			t.Fatalf("connection %d: %d", i+1, status)
		}
	}
	late := e.dial(t)
	ask(t, late, "/healthz")
	if err := late.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if n, err := late.Read(make([]byte, 1)); !isTimeout(err, &timeout) {
		t.Fatalf("connection %d was not made to wait: read %d bytes, error %v", maxConnections+1, n, err)
	}
	conns[0].Close()
	if status := answered(t, late); status != 200 {
		t.Errorf("after one left: %d", status)
	}
}

// logged collects the records of a log.
type logged struct {
	mu      sync.Mutex
	records []slog.Record
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
	return nil
}

// count returns how many records there are, and how many of them above Debug.
func (l *logged) count() (all, loud int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if r.Level > slog.LevelDebug {
			loud++
		}
	}
	return len(l.records), loud
}

func TestRefusedConnectionsAreLoggedButCannotFloodTheLog(t *testing.T) {
	const connections = 100
	var log logged
	var refused sync.WaitGroup
	refused.Add(connections)
	e := serve(t, admin.Options{
		Allow:   func(netip.Addr) bool { return false },
		Refused: refused.Done,
		Log:     slog.New(&log),
	})
	for range connections {
		e.dial(t).Close()
	}
	refused.Wait()
	if all, loud := log.count(); all != connections || loud == 0 || loud > 10 {
		t.Errorf("%d records, %d of them above debug; want %d and a few", all, loud, connections)
	}
}
