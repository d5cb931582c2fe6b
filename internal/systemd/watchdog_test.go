package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdogInterval(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	tests := []struct {
		name, usec, pid string
		want            time.Duration
		wantErr         bool
	}{
		{"off", "", "", 0, false},
		{"for this process", "10000000", me, 10 * time.Second, false},
		{"for any process", "1500000", "", 1500 * time.Millisecond, false},
		{"for another process", "10000000", "1", 0, false},
		{"no number", "soon", me, 0, true},
		{"zero", "0", me, 0, true},
		{"PID no number", "1000000", "me", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("WATCHDOG_USEC", tt.usec)
			t.Setenv("WATCHDOG_PID", tt.pid)
			got, err := WatchdogInterval()
			if got != tt.want || (err != nil) != tt.wantErr {
				t.Errorf("WatchdogInterval() = %v, %v; want %v, error %v", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

// watched is a notifier whose manager notes when it was told what, since the
// beginning of the test.
type watched struct {
	*Notifier
	told []string
	log  bytes.Buffer
}

func newWatched() *watched {
	w := &watched{}
	start := time.Now()
	w.Notifier = &Notifier{send: func(state string) error {
		w.told = append(w.told, fmt.Sprint(time.Since(start), " ", state))
		return nil
	}}
	return w
}

// runFor runs the watchdog of w for d and returns when RunWatchdog did.
func (w *watched) runFor(t *testing.T, d, interval time.Duration, probe func() error) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	w.RunWatchdog(ctx, interval, probe, slog.New(slog.NewTextHandler(&w.log, nil)))
}

func TestWatchdogIsToldAtOnceAndEveryHalfInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		w.runFor(t, 16*time.Second, 10*time.Second, func() error { return nil })
		want := []string{"0s WATCHDOG=1", "5s WATCHDOG=1", "10s WATCHDOG=1", "15s WATCHDOG=1"}
		if !slices.Equal(w.told, want) {
			t.Errorf("systemd was told %q, want %q", w.told, want)
		}
		if w.log.Len() > 0 {
			t.Errorf("logged without a reason: %s", w.log.String())
		}
	})
}

func TestFailingProbeIsNotPingedAndLoggedOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		calls := 0
		w.runFor(t, 15*time.Second, 4*time.Second, func() error {
			calls++
			if calls >= 2 && calls <= 4 {
				return errors.New("table is stuck")
			}
			return nil
		})
		want := []string{"0s WATCHDOG=1", "8s WATCHDOG=1", "10s WATCHDOG=1", "12s WATCHDOG=1", "14s WATCHDOG=1"}
		if !slices.Equal(w.told, want) {
			t.Errorf("systemd was told %q, want %q", w.told, want)
		}
		if got := strings.Count(w.log.String(), "table is stuck"); got != 1 {
			t.Errorf("failure logged %d times, want once:\n%s", got, w.log.String())
		}
		if got := strings.Count(w.log.String(), "succeeds again"); got != 1 {
			t.Errorf("recovery logged %d times, want once:\n%s", got, w.log.String())
		}
	})
}

func TestNoSignOfLifeWhileAProbeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		calls := 0
		w.runFor(t, 13*time.Second, 4*time.Second, func() error {
			if calls++; calls == 2 {
				time.Sleep(9 * time.Second) // from 2 s on
			}
			return nil
		})
		want := []string{"0s WATCHDOG=1", "11s WATCHDOG=1", "11s WATCHDOG=1", "12s WATCHDOG=1"} // one tick was due
		if !slices.Equal(w.told, want) {
			t.Errorf("systemd was told %q, want %q", w.told, want)
		}
	})
}

func TestProbeThatFailsAfterTheEndIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		w.runFor(t, 2*time.Second, 10*time.Second, func() error {
			time.Sleep(3 * time.Second)
			return errors.New("closed")
		})
		if w.log.Len() > 0 {
			t.Errorf("the end of the service was logged as a failure: %s", w.log.String())
		}
	})
}

func TestUnreachableManagerIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched()
		w.send = func(string) error { return os.ErrNotExist }
		w.runFor(t, 20*time.Second, 4*time.Second, func() error { return nil })
		if got := strings.Count(w.log.String(), "\n"); got != 1 {
			t.Errorf("logged %d lines, want one:\n%s", got, w.log.String())
		}
	})
}

func TestWatchdogThatIsOffReturnsAtOnce(t *testing.T) {
	w := newWatched()
	w.RunWatchdog(t.Context(), 0, nil, slog.New(slog.DiscardHandler))
	if len(w.told) > 0 {
		t.Errorf("systemd was told %q though the watchdog is off", w.told)
	}
}
