package e2e

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReloadTakesAGoodConfiguration(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	c := m.connect("tcp", "127.0.0.1:9999")
	c.want("g kept", "1 Lock Get Success: kept")
	pid := m.property("MainPID")

	m.configure("features:\n  dump: false\n")
	m.run("systemctl", "reload", "lockd.service")
	m.eventually("dump is off", func() bool { return c.ask("dump") == "0 disabled" })
	c.want("r kept", "1 Lock Release Success: kept")
	m.wantProperty("ActiveState", "active")
	m.wantProperty("MainPID", pid)
}

func TestReloadKeepsWhatItHadWhereTheConfigurationIsBad(t *testing.T) {
	m := boot(t)
	m.configure("features:\n  dump: false\n")
	m.run("systemctl", "start", "lockd.service")
	c := m.connect("tcp", "127.0.0.1:9999")
	c.want("g kept", "1 Lock Get Success: kept")

	m.configure("features:\n  dump: true\n  dumq: true\n")
	if out, ok := m.try("systemctl", "reload", "lockd.service"); ok {
		t.Errorf("reload says that all went well: %s", out)
	}
	m.eventually("the journal names the file and the key, as an error", func() bool {
		out := m.run("journalctl", "--unit=lockd", "--priority=err", "--output=cat")
		return strings.Contains(out, "lockd.yaml") && strings.Contains(out, "dumq")
	})
	m.eventually("the reload is over", func() bool { return m.property("ActiveState") == "active" })
	c.want("dump", "0 disabled")
	m.run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", "lockd.service") // which nothing has checked before
	m.eventually("the daemon refuses it too", func() bool {
		return strings.Contains(m.run("journalctl", "--unit=lockd", "--output=cat"), "not reloaded")
	})
	c.want("dump", "0 disabled")
	c.want("r kept", "1 Lock Release Success: kept")

	m.configure("features:\n  dump: true\n")
	m.run("systemctl", "reload", "lockd.service")
	m.eventually("the next good one is taken", func() bool { return c.ask("dump") == "map[]" })
}

func TestStopWaitsForClientsUpToTheGraceAndSucceeds(t *testing.T) {
	m := boot(t)
	m.configure("shutdown:\n  grace: 2s\n")
	m.run("systemctl", "start", "lockd.service")
	c := m.connect("tcp", "127.0.0.1:9999")
	c.want("g foo", "1 Lock Get Success: foo")

	start := time.Now()
	m.run("systemctl", "stop", "lockd.service")
	if took := time.Since(start); took < 1500*time.Millisecond || took > 8*time.Second {
		t.Errorf("stopping took %v with a grace of 2s and a client that stays", took)
	}
	if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v, want the end of its connection", err)
	}
	m.wantProperty("Result", "success")
	m.wantProperty("ExecMainStatus", "0")
	m.wantProperty("ActiveState", "inactive")
}

func TestStopWithoutClientsIsImmediate(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	start := time.Now()
	m.run("systemctl", "stop", "lockd.service")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("stopping took %v with nobody there", took)
	}
	m.wantProperty("Result", "success")
}

func TestStopOutlastsTimeoutStopSecWhereTheGraceIsLonger(t *testing.T) {
	m := boot(t)
	m.dropIn("TimeoutStopSec=2s")
	m.configure("shutdown:\n  grace: 5s\n")
	m.run("systemctl", "start", "lockd.service")
	c := m.connect("tcp", "127.0.0.1:9999")
	c.want("g foo", "1 Lock Get Success: foo")
	start := time.Now()
	m.run("systemctl", "stop", "lockd.service")
	if took := time.Since(start); took < 4500*time.Millisecond {
		t.Errorf("stopping took %v with a grace of 5s and a client that stays", took)
	}
	m.wantProperty("Result", "success")
}

func TestKilledServiceComesBackAndRefusesNobodyMeanwhile(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.socket", "lockd.service")
	m.connect("tcp", "127.0.0.1:9999").want("g foo", "1 Lock Get Success: foo")
	pid := m.property("MainPID")
	m.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "lockd.service")

	// The socket is systemd's: who connects now waits for the next process.
	m.connect("tcp", "127.0.0.1:9999").want("g foo", "1 Lock Get Success: foo")
	m.eventually("the service is up again", func() bool { return m.property("ActiveState") == "active" })
	if m.property("MainPID") == pid {
		t.Error("nothing was restarted")
	}
	m.wantProperty("NRestarts", "1")
}

// A crash of a Go program looks like exit code 2, that of a wrong usage, unless
// the unit sees to it.
func TestCrashedServiceComesBack(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	m.run("systemctl", "kill", "--kill-who=main", "--signal=QUIT", "lockd.service") // ends as a panic does
	m.eventually("another process serves", func() bool {
		return m.property("NRestarts") == "1" && m.property("ActiveState") == "active"
	})
	m.connect("tcp", "127.0.0.1:9999").want("g foo", "1 Lock Get Success: foo")
}

func TestWatchdogRestartsAServiceThatHangs(t *testing.T) {
	m := boot(t)
	m.dropIn("WatchdogSec=2s")
	m.run("systemctl", "start", "lockd.service")
	c := m.connect("tcp", "127.0.0.1:9999")
	c.want("g foo", "1 Lock Get Success: foo")
	pid := m.property("MainPID")

	m.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "lockd.service")
	m.eventually("another process serves", func() bool {
		return m.property("NRestarts") == "1" && m.property("ActiveState") == "active" && m.property("MainPID") != pid
	})
	if out := m.run("journalctl", "--output=cat", "UNIT=lockd.service"); !strings.Contains(out, "atchdog") {
		t.Errorf("systemd restarted it, but not for the watchdog:\n%s", out)
	}
	m.connect("tcp", "127.0.0.1:9999").want("g foo", "1 Lock Get Success: foo")
}

func TestWatchdogLeavesAHealthyServiceAlone(t *testing.T) {
	m := boot(t)
	m.dropIn("WatchdogSec=1s")
	m.run("systemctl", "start", "lockd.service")
	started, pid := time.Now(), m.property("MainPID")
	signs := make(map[string]bool)
	m.eventually("several signs of life came, over more than two intervals", func() bool {
		signs[m.property("WatchdogTimestampMonotonic")] = true
		return len(signs) >= 4 && time.Since(started) > 2500*time.Millisecond
	})
	m.wantProperty("MainPID", pid)
	m.wantProperty("NRestarts", "0")
	for key, value := range m.connect("tcp", "127.0.0.1:9999").counters() {
		if strings.HasPrefix(key, "command_") && key != "command_q" && value != "0" {
			t.Errorf("%s is %s: the watchdog's probe is counted", key, value)
		}
	}
}

// counters asks q, of which shared_orphans is the last line at level 1.
func (c *client) counters() map[string]string {
	c.t.Helper()
	counters := make(map[string]string)
	for line := c.ask("q"); ; line = c.readLine() {
		key, value, _ := strings.Cut(line, ": ")
		counters[key] = value
		if key == "shared_orphans" {
			return counters
		}
	}
}

func TestWrongConfigurationIsNotTriedAgain(t *testing.T) {
	m := boot(t)
	m.configure("no_such_key: 1\n")
	if _, ok := m.try("systemctl", "start", "lockd.service"); ok {
		t.Error("lockd started with an unknown key in its configuration")
	}
	m.wantProperty("ActiveState", "failed")
	m.wantProperty("ExecMainStatus", "2")
	m.wantProperty("NRestarts", "0")
	if out := m.run("journalctl", "--unit=lockd", "--output=cat"); !strings.Contains(out, "no_such_key") {
		t.Errorf("the journal does not name the key:\n%s", out)
	}
}
