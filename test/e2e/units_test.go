package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lockd/test/machine"
)

func TestUnitsHaveNoMistakes(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		// --man=no: the manual pages come with the packages.
		out, ok := m.Try("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
			"lockd.service", "lockd.socket", "lockd-http.socket", "lockd-ws.socket")
		if !ok || out != "" {
			t.Errorf("systemd-analyze verify: %s", out)
		}
	})
}

func TestSandboxScoresAtMostOnePointTwo(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		if out, ok := m.Try("systemd-analyze", "security", "--threshold=12", "lockd.service"); !ok {
			t.Errorf("systemd-analyze security:\n%s", out)
		}
		var checks []struct {
			Name string `json:"name"`
			Set  bool   `json:"set"`
		}
		out := m.Run("systemd-analyze", "security", "--json=short", "lockd.service")
		if err := json.Unmarshal([]byte(out), &checks); err != nil || len(checks) < 50 {
			t.Errorf("systemd-analyze security looked at %d settings: %v", len(checks), err)
		}
	})
}

func TestDefaultsServeWithoutAnySocketUnit(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		m.WantProperty("ActiveState", "active")
		m.WantProperty("SubState", "running")
		m.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
		m.Connect("tcp", "[::1]:9999").Want("g foo", "0 Lock Get Failure: foo")
		if _, err := os.Stat(m.Outer("/run/lockd.sock")); err == nil {
			t.Error("/run/lockd.sock is there without lockd.socket")
		}
	})
}

func TestServiceIsNotRootAndKeepsItsStateToItself(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		user := m.Run("ps", "-o", "uid=", "-p", m.Property("MainPID"))
		// The range of dynamic users; numbers, as their names need libnss-systemd.
		if uid := atoi(t, user); uid < 61184 || uid > 65519 {
			t.Errorf("lockd runs as %d", uid)
		}
		if got := m.Run("stat", "-L", "-c", "%u %a", "/var/lib/lockd"); got != user+" 700" {
			t.Errorf("/var/lib/lockd is of %s, want of %s and 700", got, user)
		}
	})
}

func TestServiceMayOpenAsManyFilesAsTheMachineAllows(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		limits := m.Run("cat", "/proc/"+m.Property("MainPID")+"/limits")
		open := regexp.MustCompile(`Max open files +(\d+) +(\d+)`).FindStringSubmatch(limits)
		machines := strings.TrimSpace(m.Run("bash", "-c", "ulimit -Hn"))
		if open == nil || open[1] != open[2] {
			t.Fatalf("limits of the service:\n%s", limits)
		}
		if got, allowed := atoi(t, open[1]), atoi(t, machines); got < min(allowed, 1<<20) {
			t.Errorf("the service may open %d files, the machine allows %d", got, allowed)
		}
	})
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStatusShowsConnectionsAndLocks(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		for range 2 {
			m.Connect("tcp", "127.0.0.1:9999").Want("i x", "0 Lock Not Locked: x")
		}
		holder := m.Connect("tcp", "127.0.0.1:9999")
		for i := range 7 {
			holder.Want(fmt.Sprintf("g l%d", i), fmt.Sprintf("1 Lock Get Success: l%d", i))
		}
		m.Eventually("status shows 3 connections and 7 locks", func() bool {
			status := m.Property("StatusText")
			return strings.Contains(status, "3 connections") && strings.Contains(status, "7 locks")
		})
	})
}

func TestUnixSocketAdmitsMembersOfTheGroupOnly(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.socket")
		// nobody is in no group; with --groups it has the one that usermod -aG gives.
		as := func(groups string) (string, bool) {
			return m.Try("setpriv", "--reuid=nobody", "--regid=nogroup", groups, "/usr/bin/lockd", "ls", "--server", "unix:///run/lockd.sock")
		}
		if out, ok := as("--clear-groups"); ok || !strings.Contains(out, "permission denied") {
			t.Errorf("who is not in the group lockd gets: %s", out)
		}
		group := strings.Split(m.Run("getent", "group", "lockd"), ":")[2]
		if out, ok := as("--groups=" + group); !ok {
			t.Errorf("who is in the group lockd gets: %s", out)
		}
	})
}
