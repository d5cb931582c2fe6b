package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// children are the programs that this test binary is when a test starts it
// again: what needs a process of its own.
var children = map[string]func() error{
	"starve": starvingServer,
	"crowd":  crowdOfClients,
	"steady": steadyClient,
}

const childVariable = "LOCKD_TEST_CHILD"

func TestMain(m *testing.M) {
	if child := children[os.Getenv(childVariable)]; child != nil {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// A failer is a *testing.T, *testing.B, *testing.F or *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// eventually wants ok to become true.
func eventually(t failer, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
		<-tick.C
	}
}

// soon wants done to be closed.
func soon(t failer, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("not in %v: %s", patience, what)
	}
}

// async runs f and returns what is closed when it has returned.
func async(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// A logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// count returns the number of logged lines that contain text.
func (b *logBuffer) count(text string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// A setup is how a test wants its server.
type setup struct {
	settings server.Settings
	limits   locks.Limits
	level    slog.Level
	kernel   int // bytes that the kernel takes for a client; 0: what it likes
	// around makes the table that the server gets from the real one; nil: that is it.
	around func(*locks.Table) server.Table
}

// A service is a server that listens on every transport.
type service struct {
	failer
	*server.Server
	table     *locks.Table
	settings  server.Settings
	logs      *logBuffer
	addresses map[string]string // by the words tcp4, tcp6, unix, ws
	served    sync.WaitGroup
	unixPeers int // Unix sockets' clients that have connected
	dialer    net.Dialer
}

// everyTransport are the words that tests and dialogues use.
var everyTransport = []string{"tcp4", "tcp6", "unix", "ws"}

// start starts a server that changes have been made to. The test's end destroys
// it and finds its table empty.
func start(t failer, changes ...func(*setup)) *service {
	t.Helper()
	set := setup{settings: server.DefaultSettings(), level: slog.LevelInfo}
	for _, change := range changes {
		change(&set)
	}
	s := &service{failer: t, settings: set.settings, logs: new(logBuffer), addresses: make(map[string]string)}
	s.table = locks.New(set.limits, locks.NewTokens(0))
	table := server.Table(s.table)
	if os.Getenv(neighboursVariable) == courteous {
		set.around = newCourteousTable
	}
	if set.around != nil {
		table = set.around(s.table)
	}
	s.Server = server.New(server.Options{
		Table: table, Settings: set.settings,
		Log: slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: set.level})),
	})
	t.Cleanup(s.stop)
	for word, url := range map[string]string{
		"tcp4": "tcp://127.0.0.1:0", "tcp6": "tcp://[::1]:0", "ws": "ws://127.0.0.1:0",
		"unix": "unix://" + filepath.Join(shortDir(t), "s"),
	} {
		l := listen(t, url)
		if set.kernel > 0 {
			if err := l.SetSendBuffer(set.kernel); err != nil {
				t.Fatalf("%v", err)
			}
		}
		_, s.addresses[word], _ = strings.Cut(l.String(), "://")
		s.serve(l)
	}
	if kind := os.Getenv(neighboursVariable); kind != "" {
		s.moveIn(kind)
	}
	return s
}

func with(change func(*server.Settings)) func(*setup) {
	return func(s *setup) { change(&s.settings) }
}

func limited(limits locks.Limits) func(*setup) {
	return func(s *setup) { s.limits = limits }
}

func userTimeout(d time.Duration) func(*setup) {
	return with(func(s *server.Settings) { s.Keepalive.UserTimeout = d })
}

// smallKernel makes the kernel take so little that a test with clients that don't
// read is short.
func smallKernel(s *setup) { s.kernel = 32 << 10 }

func (s *service) serve(l *server.Listener) {
	s.served.Go(func() {
		if err := s.Serve(l); err != nil {
			panic(err)
		}
	})
}

func (s *service) stop() {
	s.Helper()
	soon(s, "the server is destroyed", async(s.Destroy))
	soon(s, "Serve returns", async(s.served.Wait))
	st := s.table.Stats()
	if st.Exclusive.Locks+st.Shared.Locks+st.Exclusive.Holders+st.Shared.Holders != 0 || st.Bytes != 0 {
		s.Fatalf("the table is not empty after Destroy: %+v", st)
	}
	eventually(s, "no connection is counted after Destroy", func() bool { return s.Stats().Connections() == 0 })
}

// change applies changed settings.
func (s *service) change(change func(*server.Settings)) {
	change(&s.settings)
	s.Apply(s.settings)
}

func listen(t failer, url string) *server.Listener {
	t.Helper()
	a, err := server.ParseAddress(url)
	if err != nil {
		t.Fatalf("%v", err)
	}
	l, err := server.Listen(context.Background(), a)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// shortDir returns a directory whose path leaves room for a socket's name.
func shortDir(t failer) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lockd")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// counterOf returns a counter of a family in Stats.
func counterOf(t failer, family []server.Count, name string) uint64 {
	t.Helper()
	for _, c := range family {
		if c.Name == name {
			return c.Value
		}
	}
	t.Fatalf("no counter %q in %v", name, family)
	return 0
}

// address returns where clients of a transport connect to.
func (s *service) address(transport string) (network, address string) {
	if transport == "unix" {
		return "unix", s.addresses["unix"]
	}
	return "tcp", s.addresses[transport]
}

// dial opens a bare connection, which of WebSockets is one without a request yet.
func (s *service) dial(transport string) net.Conn {
	s.Helper()
	network, address := s.address(transport)
	c, err := s.dialer.Dial(network, address)
	if err != nil {
		s.Fatalf("%v", err)
	}
	if transport == "unix" {
		s.unixPeers++
	}
	s.Cleanup(func() { c.Close() })
	return c
}

func forEachTransport(t *testing.T, f func(t *testing.T, transport string)) {
	for _, transport := range everyTransport {
		t.Run(transport, func(t *testing.T) { f(t, transport) })
	}
}

// streams are the transports below whose clients is a socket with no framing.
var streams = []string{"tcp4", "tcp6", "unix"}

func forEachStream(t *testing.T, f func(t *testing.T, transport string)) {
	for _, transport := range streams {
		t.Run(transport, func(t *testing.T) { f(t, transport) })
	}
}
