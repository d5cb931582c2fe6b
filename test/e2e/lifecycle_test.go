package e2e_test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/test/machine"
)

func TestReloadTakesAGoodConfiguration(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		c := m.Connect("tcp", "127.0.0.1:9999")
		c.Want("g kept", "1 Lock Get Success: kept")
		pid := m.Property("MainPID")

		m.Configure("features:\n  dump: false\n")
		m.Run("systemctl", "reload", "lockd.service")
		m.Eventually("dump is off", func() bool { return c.Ask("dump") == "0 disabled" })
		c.Want("r kept", "1 Lock Release Success: kept")
		m.WantProperty("ActiveState", "active")
		m.WantProperty("MainPID", pid)
	})
}

func TestReloadKeepsWhatItHadWhereTheConfigurationIsBad(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Configure("features:\n  dump: false\n")
		m.Run("systemctl", "start", "lockd.service")
		c := m.Connect("tcp", "127.0.0.1:9999")
		c.Want("g kept", "1 Lock Get Success: kept")

		m.Configure("features:\n  dump: true\n  dumq: true\n")
		if out, ok := m.Try("systemctl", "reload", "lockd.service"); ok {
			t.Errorf("reload says that all went well: %s", out)
		}
		m.Eventually("the journal names the file and the key, as an error", func() bool {
			out := m.Run("journalctl", "--unit=lockd", "--priority=err", "--output=cat")
			return strings.Contains(out, "lockd.yaml") && strings.Contains(out, "dumq")
		})
		m.Eventually("the reload is over", func() bool { return m.Property("ActiveState") == "active" })
		c.Want("dump", "0 disabled")
		m.Run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", "lockd.service") // which nothing has checked before
		m.Eventually("the daemon refuses it too", func() bool {
			return strings.Contains(m.Run("journalctl", "--unit=lockd", "--output=cat"), "not reloaded")
		})
		c.Want("dump", "0 disabled")
		c.Want("r kept", "1 Lock Release Success: kept")

		m.Configure("features:\n  dump: true\n")
		m.Run("systemctl", "reload", "lockd.service")
		m.Eventually("the next good one is taken", func() bool { return c.Ask("dump") == "map[]" })
	})
}

func TestStopWaitsForClientsUpToTheGraceAndSucceeds(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Configure("shutdown:\n  grace: 2s\n")
		m.Run("systemctl", "start", "lockd.service")
		c := m.Connect("tcp", "127.0.0.1:9999")
		c.Want("g foo", "1 Lock Get Success: foo")

		start := time.Now()
		m.Run("systemctl", "stop", "lockd.service")
		if took := time.Since(start); took < 1500*time.Millisecond || took > 8*time.Second {
			t.Errorf("stopping took %v with a grace of 2s and a client that stays", took)
		}
		if err := c.ReadEnd(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client sees %v, want the end of its connection", err)
		}
		m.WantProperty("Result", "success")
		m.WantProperty("ExecMainStatus", "0")
		m.WantProperty("ActiveState", "inactive")
	})
}

func TestStopWithoutClientsIsImmediate(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		start := time.Now()
		m.Run("systemctl", "stop", "lockd.service")
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("stopping took %v with nobody there", took)
		}
		m.WantProperty("Result", "success")
	})
}

func TestStopOutlastsTimeoutStopSecWhereTheGraceIsLonger(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.DropIn("TimeoutStopSec=2s")
		m.Configure("shutdown:\n  grace: 5s\n")
		m.Run("systemctl", "start", "lockd.service")
		c := m.Connect("tcp", "127.0.0.1:9999")
		c.Want("g foo", "1 Lock Get Success: foo")
		start := time.Now()
		m.Run("systemctl", "stop", "lockd.service")
		if took := time.Since(start); took < 4500*time.Millisecond {
			t.Errorf("stopping took %v with a grace of 5s and a client that stays", took)
		}
		m.WantProperty("Result", "success")
	})
}

func TestKilledServiceComesBackAndRefusesNobodyMeanwhile(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.socket", "lockd.service")
		m.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
		pid := m.Property("MainPID")
		m.Run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "lockd.service")

		// The socket is systemd's: who connects now waits for the next process.
		m.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
		m.Eventually("the service is up again", func() bool { return m.Property("ActiveState") == "active" })
		if m.Property("MainPID") == pid {
			t.Error("nothing was restarted")
		}
		m.WantProperty("NRestarts", "1")
	})
}

// A crash of a Go program looks like exit code 2, that of a wrong usage, unless
// the unit sees to it.
func TestCrashedServiceComesBack(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		m.Run("systemctl", "kill", "--kill-who=main", "--signal=QUIT", "lockd.service") // ends as a panic does
		m.Eventually("another process serves", func() bool {
			return m.Property("NRestarts") == "1" && m.Property("ActiveState") == "active"
		})
		m.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
	})
}

func TestWatchdogRestartsAServiceThatHangs(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.DropIn("WatchdogSec=2s")
		m.Run("systemctl", "start", "lockd.service")
		c := m.Connect("tcp", "127.0.0.1:9999")
		c.Want("g foo", "1 Lock Get Success: foo")
		pid := m.Property("MainPID")

		m.Run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "lockd.service")
		m.Eventually("another process serves", func() bool {
			return m.Property("NRestarts") == "1" && m.Property("ActiveState") == "active" && m.Property("MainPID") != pid
		})
		if out := m.Run("journalctl", "--output=cat", "UNIT=lockd.service"); !strings.Contains(out, "atchdog") {
			t.Errorf("systemd restarted it, but not for the watchdog:\n%s", out)
		}
		m.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
	})
}

func TestWatchdogLeavesAHealthyServiceAlone(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.DropIn("WatchdogSec=1s")
		m.Run("systemctl", "start", "lockd.service")
		started, pid := time.Now(), m.Property("MainPID")
		signs := make(map[string]bool)
		m.Eventually("several signs of life came, over more than two intervals", func() bool {
			signs[m.Property("WatchdogTimestampMonotonic")] = true
			return len(signs) >= 4 && time.Since(started) > 2500*time.Millisecond
		})
		m.WantProperty("MainPID", pid)
		m.WantProperty("NRestarts", "0")
		for key, value := range counters(m.Connect("tcp", "127.0.0.1:9999")) {
			if strings.HasPrefix(key, "command_") && key != "command_q" && value != "0" {
				t.Errorf("%s is %s: the watchdog's probe is counted", key, value)
			}
		}
	})
}

// counters asks q, of which shared_orphans is the last line at level 1.
func counters(c *machine.Client) map[string]string {
	counters := make(map[string]string)
	for line := c.Ask("q"); ; line = c.ReadLine() {
		key, value, _ := strings.Cut(line, ": ")
		counters[key] = value
		if key == "shared_orphans" {
			return counters
		}
	}
}

func TestWrongConfigurationIsNotTriedAgain(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Configure("no_such_key: 1\n")
		if _, ok := m.Try("systemctl", "start", "lockd.service"); ok {
			t.Error("lockd started with an unknown key in its configuration")
		}
		m.WantProperty("ActiveState", "failed")
		m.WantProperty("ExecMainStatus", "2")
		m.WantProperty("NRestarts", "0")
		if out := m.Run("journalctl", "--unit=lockd", "--output=cat"); !strings.Contains(out, "no_such_key") {
			t.Errorf("the journal does not name the key:\n%s", out)
		}
	})
}
