package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		printSockets()
		return
	}
	goleak.VerifyTestMain(m)
}

// listen opens a datagram socket at address, as systemd's and the journal's.
func listen(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestNotifierSendsOneDatagramPerCall(t *testing.T) {
	tests := []struct {
		name string
		call func(*Notifier) error
		want string
	}{
		{"ready", func(n *Notifier) error { return n.Ready("2 listeners") }, "READY=1\nSTATUS=2 listeners"},
		{"ready, status unchanged", func(n *Notifier) error { return n.Ready("") }, "READY=1"},
		{"stopping", func(n *Notifier) error { return n.Stopping("closing") }, "STOPPING=1\nSTATUS=closing"},
		{"status", func(n *Notifier) error { return n.Status("3 locks, 100% fine") }, "STATUS=3 locks, 100% fine"},
		{"status of several lines", func(n *Notifier) error { return n.Status("a\nMAINPID=1\r\nb") }, "STATUS=a MAINPID=1  b"},
		{"status that is not UTF-8", func(n *Notifier) error { return n.Status("a\xffb") }, "STATUS=a\uFFFDb"},
		{"watchdog", (*Notifier).Watchdog, "WATCHDOG=1"},
		{"extend", func(n *Notifier) error { return n.ExtendTimeout(90 * time.Second) }, "EXTEND_TIMEOUT_USEC=90000000"},
	}
	for _, address := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@lockd-test-notify-%d", os.Getpid())} {
		manager := listen(t, address)
		t.Setenv("NOTIFY_SOCKET", address)
		for _, tt := range tests {
			t.Run(tt.name+" to "+address[:1], func(t *testing.T) {
				if err := tt.call(NewNotifier()); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, manager); got != tt.want {
					t.Errorf("systemd was sent %q, want %q", got, tt.want)
				}
			})
		}
	}
}

func TestReloadingCarriesTheMonotonicClock(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	manager := listen(t, address)
	t.Setenv("NOTIFY_SOCKET", address)

	before, err := monotonicMicroseconds()
	if err != nil {
		t.Fatal(err)
	}
	if err := NewNotifier().Reloading(); err != nil {
		t.Fatal(err)
	}
	after, err := monotonicMicroseconds()
	if err != nil {
		t.Fatal(err)
	}

	got := receive(t, manager)
	stamp, ok := strings.CutPrefix(got, "RELOADING=1\nMONOTONIC_USEC=")
	if !ok {
		t.Fatalf("systemd was sent %q", got)
	}
	usec, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if usec < before || usec > after {
		t.Errorf("MONOTONIC_USEC=%d, want within [%d, %d]", usec, before, after)
	}
}

// The wall clock, taken for the monotonic one, would be ahead by decades.
func TestMonotonicClockIsTheMachinesUptime(t *testing.T) {
	got, err := monotonicMicroseconds()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	// /proc/uptime counts suspended time too, so it may only be ahead.
	if ours := float64(got) / 1e6; ours > seconds+1 {
		t.Errorf("monotonic clock at %.1f s, machine up for %.1f s", ours, seconds)
	}
	if got <= 0 {
		t.Errorf("monotonic clock at %d µs", got)
	}
}

func TestNotifierWithoutSystemdDoesNothing(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n := NewNotifier()
	err := errors.Join(n.Ready("x"), n.Reloading(), n.Stopping("x"), n.Status("x"), n.Watchdog(), n.ExtendTimeout(time.Second))
	if err != nil {
		t.Error(err)
	}
}

func TestEmptyStatusSendsNothing(t *testing.T) {
	n := &Notifier{send: func(state string) error { return fmt.Errorf("sent %q", state) }}
	if err := n.Status(""); err != nil {
		t.Error(err)
	}
}

func TestNotifierReportsAManagerThatIsGone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	err := NewNotifier().Ready("")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want an error that there is no such socket", err)
	}
}
