package server_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// What a loop of the poller leaves to a goroutine must end as all else does.

func TestWhatIsSentBeforeACloseFrameIsAnswered(t *testing.T) {
	s := start(t)
	for name, test := range map[string]struct{ send, want string }{
		"one that takes long":     {"dump", "map[]\n"},
		"one behind such a one":   {"dump\ni x", "0 Lock Not Locked: x\n"},
		"more than a loop may do": {strings.Repeat("i y\n", 400) + "i x", "0 Lock Not Locked: x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 50 {
				c := s.connect("ws")
				c.raw(frame(lastPart|textPart, test.send) + frame(lastPart|8, "\x03\xe8"))
				c.conn.SetReadDeadline(time.Now().Add(patience))
				if all, err := io.ReadAll(c.conn); !strings.Contains(string(all), test.want) {
					t.Fatalf("got %q, %v; want %q in it", all, err, test.want)
				}
				c.conn.Close()
			}
		})
	}
}

// A line that is too long is passed over to its end, whatever runs behind it.
func TestNothingOfALongLineIsRunBeforeOneThatIsLeft(t *testing.T) {
	s := start(t, lineBytes(64))
	for _, transport := range streams {
		c := s.connect(transport)
		c.send("i " + strings.Repeat("x", 100))
		s.readBy(c)
		c.send("\x00g evil\nd nothing\ni end\n")
		c.want("0 Lock Not Locked: end\n")
		c.send("i " + strings.Repeat("x", 100))
		s.readBy(c)
		c.send("g evil\nd nothing\ni evil\n")
		c.want("0 Lock Not Locked: evil\n")
	}
}

// Urgent data ends a read though there is more.
func TestWhatFollowsUrgentDataIsRead(t *testing.T) {
	s := start(t)
	for range 20 {
		c := s.connect("tcp4")
		c.ask("i a", "0 Lock Not Locked: a\n")
		raw, err := c.conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1)
			unix.Sendto(int(fd), []byte("i b\n!"), unix.MSG_OOB, nil)
			unix.Write(int(fd), []byte("i c\n"))
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 0)
		})
		c.want("0 Lock Not Locked: b\n")
		c.want("0 Lock Not Locked: c\n")
		c.leave()
	}
}

// A stuckLog is one that nobody reads any more.
type stuckLog struct {
	stuck atomic.Int32
	end   chan struct{}
}

func (l *stuckLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *stuckLog) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *stuckLog) WithGroup(string) slog.Handler                    { return l }

func (l *stuckLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "connection refused" {
		l.stuck.Add(1)
		<-l.end
	}
	return nil
}

func TestAStuckLogStopsNobody(t *testing.T) {
	log := &stuckLog{end: make(chan struct{})}
	set := server.DefaultSettings()
	set.MaxConnections = 2
	srv := server.New(server.Options{Table: locks.New(locks.Limits{}, locks.NewTokens(0)), Settings: set, Log: slog.New(log)})
	l := listen(t, "tcp://127.0.0.1:0")
	done := async(func() { srv.Serve(l) })
	_, address, _ := strings.Cut(l.String(), "://")
	dial := func() *client {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return (&client{failer: t, name: "c", conn: conn}).resetReader()
	}
	a, b := dial(), dial()
	a.ask("i x", "0 Lock Not Locked: x\n")
	b.ask("i x", "0 Lock Not Locked: x\n")
	dial()
	eventually(t, "a refusal is stuck", func() bool { return log.stuck.Load() == 1 })
	for range 20 {
		dial()
	}
	a.counters()
	if n := log.stuck.Load(); n != 1 {
		t.Errorf("%d wait for the log", n)
	}
	b.ask("i y", "0 Lock Not Locked: y\n")
	b.leave()
	eventually(t, "there is room", func() bool { return srv.Stats().Connections() == 1 })
	dial().ask("i z", "0 Lock Not Locked: z\n")
	close(log.end)
	srv.Destroy()
	<-done
}

// A lateLog counts what comes when all should be over.
type lateLog struct {
	over atomic.Bool
	late atomic.Int32
}

func (l *lateLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }
func (l *lateLog) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *lateLog) WithGroup(string) slog.Handler                    { return l }

func (l *lateLog) Handle(context.Context, slog.Record) error {
	if l.over.Load() {
		l.late.Add(1)
	}
	return nil
}

func TestNothingIsLoggedAfterDestroy(t *testing.T) {
	log, before := new(lateLog), goleak.IgnoreCurrent()
	for range 50 {
		log.over.Store(false)
		set := server.DefaultSettings()
		set.Allow = func(netip.Addr) bool { return false }
		srv := server.New(server.Options{Table: locks.New(locks.Limits{}, locks.NewTokens(0)), Settings: set, Log: slog.New(log)})
		l := listen(t, "tcp://127.0.0.1:0")
		done := async(func() { srv.Serve(l) })
		_, address, _ := strings.Cut(l.String(), "://")
		for range 5 {
			if conn, err := net.Dial("tcp", address); err == nil {
				conn.Close()
			}
		}
		srv.Destroy()
		<-done
		log.over.Store(true)
		goleak.VerifyNone(t, before) // who might write still has ended
	}
	if n := log.late.Load(); n > 0 {
		t.Errorf("%d records after Destroy and Serve have returned", n)
	}
}

// Where there is one processor, the loop that leads waits in another way.
func TestOneProcessorIsEnough(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	s := start(t)
	for _, transport := range everyTransport {
		a, b := s.connect(transport), s.connect("unix")
		a.ask("g foo", "1 Lock Get Success: foo\n")
		a.ask("d foo", "foo: "+a.addr+"\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		a.leave()
		b.wantGranted("foo")
		b.leave()
	}
	if err := s.Probe(); err != nil {
		t.Error(err)
	}
}

// stuckTable is one that does not come back from looking at a lock.
type stuckTable struct {
	*locks.Table
	entered, end chan struct{}
}

func (t *stuckTable) Inspect(m locks.Mode, name []byte) int {
	if string(name) == "stuck" {
		close(t.entered)
		<-t.end
	}
	return t.Table.Inspect(m, name)
}

func TestProbeDoesNotReturnWhereNobodyServes(t *testing.T) {
	table := &stuckTable{entered: make(chan struct{}), end: make(chan struct{})}
	s := start(t, func(set *setup) {
		set.around = func(whole *locks.Table) server.Table {
			table.Table = whole
			return table
		}
	})
	if err := s.Probe(); err != nil {
		t.Fatal(err)
	}
	c := s.connect("tcp4")
	for range 3 { // until it is a loop that serves it, and not who has accepted it
		c.ask("i x", "0 Lock Not Locked: x\n")
	}
	c.send("i stuck\n")
	<-table.entered
	probed := async(func() { s.Probe() })
	select {
	case <-probed:
		t.Error("Probe has returned though the loop that serves is stuck")
	case <-time.After(100 * time.Millisecond):
	}
	close(table.end)
	soon(t, "Probe returns when it goes on", probed)
	c.want("0 Lock Not Locked: stuck\n")
}
