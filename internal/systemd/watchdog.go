package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// WatchdogInterval returns the time within which the manager expects a sign of
// life, from WATCHDOG_USEC and WATCHDOG_PID: 0 where the watchdog is off or
// meant for another process, an error where the variables are malformed.
func WatchdogInterval() (time.Duration, error) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("read watchdog interval: %w", err)
	}
	return interval, nil
}

// RunWatchdog restarts the manager's watchdog timer at once and then every
// half interval, each time only after probe returned nil, until ctx is done.
// It blocks; with an interval of 0 it returns at once. A probe is not called again
// before it returned, so one that never does gives no sign of life, and the manager
// restarts the service. When probes begin to fail, and when they succeed again, that
// is logged once.
//
// The first sign of life is due at once because READY=1 does not restart the
// timer that has been running since the process was started.
func (n *Notifier) RunWatchdog(ctx context.Context, interval time.Duration, probe func() error, log *slog.Logger) {
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(max(interval/2, 1))
	defer ticker.Stop()
	failing := false
	for {
		err := n.proveAlive(probe)
		if ctx.Err() != nil {
			return
		}
		failing = logChange(log, failing, err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (n *Notifier) proveAlive(probe func() error) error {
	if err := probe(); err != nil {
		return err
	}
	return n.Watchdog()
}

// logChange logs err if it differs from failing, the state before, and
// returns the state now.
func logChange(log *slog.Logger, failing bool, err error) bool {
	switch {
	case err != nil && !failing:
		log.Error("watchdog probe fails, systemd will restart the service unless it recovers", "error", err)
	case err == nil && failing:
		log.Info("watchdog probe succeeds again")
	}
	return err != nil
}
