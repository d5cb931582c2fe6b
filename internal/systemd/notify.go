// Package systemd has what a service and systemd say to each other: passed sockets,
// notification (sd_notify), the watchdog, and the journal's native logging protocol.
// Outside systemd everything in it is a no-op or says so.
package systemd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Notifier tells the service manager about this process through the socket
// named in NOTIFY_SOCKET, which it looks up at every call. Without that
// variable all methods do nothing and return nil. Methods may be called
// concurrently; each sends one datagram.
type Notifier struct {
	send func(state string) error
}

// NewNotifier returns a Notifier for the manager that started this process.
func NewNotifier() *Notifier {
	return &Notifier{send: sdNotify}
}

// Ready says that the service serves, at start or after a reload, and shows
// status in `systemctl status`; an empty status leaves the one shown before.
func (n *Notifier) Ready(status string) error {
	return n.notify(daemon.SdNotifyReady, status)
}

// Reloading says that a reload begins. Ready must follow, whether the reload
// succeeded or not: until then `systemctl reload` waits.
func (n *Notifier) Reloading() error {
	now, err := monotonicMicroseconds()
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	// The time stamp is what Type=notify-reload tells this reload's READY=1
	// from an earlier one by; Type=notify ignores it.
	return n.notify(daemon.SdNotifyReloading+"\nMONOTONIC_USEC="+strconv.FormatInt(now, 10), "")
}

// Stopping says that the service has begun to close, and shows status.
func (n *Notifier) Stopping(status string) error {
	return n.notify(daemon.SdNotifyStopping, status)
}

// ExtendTimeout asks for at least d more, counted from now, before the manager
// takes a start or stop under way for hung (EXTEND_TIMEOUT_USEC). A close that
// may last longer than TimeoutStopSec= repeats this before each d is over.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	return n.notify("EXTEND_TIMEOUT_USEC="+strconv.FormatInt(d.Microseconds(), 10), "")
}

// Status shows status in `systemctl status` and changes nothing else.
func (n *Notifier) Status(status string) error {
	return n.notify("", status)
}

// Watchdog restarts the manager's watchdog timer.
func (n *Notifier) Watchdog() error {
	return n.notify(daemon.SdNotifyWatchdog, "")
}

func (n *Notifier) notify(state, status string) error {
	if status != "" {
		state = strings.TrimPrefix(state+"\nSTATUS="+oneLine(status), "\n")
	}
	if state == "" {
		return nil
	}
	if err := n.send(state); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

func sdNotify(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}

// oneLine keeps a line break in s from becoming an assignment of its own, and
// makes s the UTF-8 without which the manager drops a status.
func oneLine(s string) string {
	return strings.ToValidUTF8(strings.NewReplacer("\r", " ", "\n", " ").Replace(s), "\uFFFD")
}

func monotonicMicroseconds() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("read monotonic clock: %w", err)
	}
	return ts.Nano() / int64(time.Microsecond), nil
}
