package admin_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockd/internal/admin"
)

// pipes is a listener of connections in memory, whose deadlines are those of
// synctest's clock. Nothing is buffered: a write waits for its reader.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{} // closed by Close
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial returns a connection that waits in the backlog until it is accepted.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		select {
		case p.conns <- theirs:
		case <-p.done:
			theirs.Close()
		}
	}()
	return ours
}

// inBubble runs test against an endpoint whose time is synctest's.
func inBubble(t *testing.T, opts admin.Options, test func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		server := admin.New(withDefaults(opts))
		served := make(chan error, 1)
		go func() { served <- server.Serve(p) }()
		test(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = server.Shutdown(ctx) // complains about what the test has left under way
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// lifetime returns how long the server leaves a connection open from now.
func lifetime(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

func TestAConnectionThatKeepsItsSlotForNothingIsClosed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		client func(t *testing.T, conn net.Conn)
		least  time.Duration // that a slow but honest client gets
		most   time.Duration
	}{
		{"silent from the start", func(*testing.T, net.Conn) {}, 2 * time.Second, 5 * time.Second},
		{"half a header", func(t *testing.T, conn net.Conn) {
			write(t, conn, "GET / HTTP/1.1\r\nHost: lo")
		}, 2 * time.Second, 5 * time.Second},
		{"a body that never comes", func(t *testing.T, conn net.Conn) {
			write(t, conn, "GET /healthz HTTP/1.1\r\nHost: lockd\r\nContent-Length: 5\r\n\r\n")
		}, 2 * time.Second, 11 * time.Second},
		{"a profile's body that never comes", func(t *testing.T, conn net.Conn) {
			write(t, conn, "GET /debug/pprof/cmdline HTTP/1.1\r\nHost: lockd\r\nContent-Length: 5\r\n\r\n")
		}, 2 * time.Second, 11 * time.Second},
		{"idle after an answer", func(t *testing.T, conn net.Conn) {
			write(t, conn, "GET /healthz HTTP/1.1\r\nHost: lockd\r\n\r\n")
			if status := answered(t, conn); status != 200 {
				t.Fatalf("status %d", status)
			}
			if err := conn.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
		}, 2 * time.Second, 6 * time.Second},
		{"an answer not read", func(t *testing.T, conn net.Conn) {
			write(t, conn, "GET /healthz HTTP/1.1\r\nHost: lockd\r\n\r\n")
			<-time.After(31 * time.Second)
		}, 0, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, admin.Options{Pprof: true}, func(t *testing.T, p *pipes) {
				conn := p.dial()
				defer conn.Close()
				tc.client(t, conn)
				if got := lifetime(t, conn); got < tc.least || got > tc.most {
					t.Errorf("open for %v, want %v to %v", got, tc.least, tc.most)
				}
			})
		})
	}
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func TestSilentConnectionsCannotLockPeopleOut(t *testing.T) {
	inBubble(t, admin.Options{}, func(t *testing.T, p *pipes) {
		for range maxConnections {
			conn := p.dial()
			defer conn.Close()
		}
		synctest.Wait() // all slots are taken
		late := p.dial()
		defer late.Close()
		start := time.Now()
		write(t, late, "GET /healthz HTTP/1.1\r\nHost: lockd\r\n\r\n")
		if status := answered(t, late); status != 200 {
			t.Errorf("status %d", status)
		}
		if waited := time.Since(start); waited == 0 || waited > 6*time.Second {
			t.Errorf("answered after %v, want it to wait for the header timeout of the silent", waited)
		}
	})
}

func TestAProfileMayTakeLongerThanAllTimeouts(t *testing.T) {
	inBubble(t, admin.Options{Pprof: true}, func(t *testing.T, p *pipes) {
		const seconds = 200
		conn := p.dial()
		defer conn.Close()
		start := time.Now()
		write(t, conn, "GET /debug/pprof/goroutine?seconds=200 HTTP/1.1\r\nHost: lockd\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || len(body) == 0 {
			t.Errorf("%s, %d bytes, error %v: %.100s", resp.Status, len(body), err, body)
		}
		if took := time.Since(start); took < seconds*time.Second {
			t.Errorf("a profile of %d s took %v", seconds, took)
		}
	})
}
