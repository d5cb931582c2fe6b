package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestUnitsHaveNoMistakes(t *testing.T) {
	m := boot(t)
	// --man=no: the manual pages come with the packages.
	out, ok := m.try("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
		"lockd.service", "lockd.socket", "lockd-http.socket", "lockd-ws.socket")
	if !ok || out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
}

func TestSandboxScoresAtMostOnePointTwo(t *testing.T) {
	m := boot(t)
	if out, ok := m.try("systemd-analyze", "security", "--threshold=12", "lockd.service"); !ok {
		t.Errorf("systemd-analyze security:\n%s", out)
	}
	var checks []struct {
		Name string `json:"name"`
		Set  bool   `json:"set"`
	}
	out := m.run("systemd-analyze", "security", "--json=short", "lockd.service")
	if err := json.Unmarshal([]byte(out), &checks); err != nil || len(checks) < 50 {
		t.Errorf("systemd-analyze security looked at %d settings: %v", len(checks), err)
	}
}

func TestDefaultsServeWithoutAnySocketUnit(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	m.wantProperty("ActiveState", "active")
	m.wantProperty("SubState", "running")
	m.connect("tcp", "127.0.0.1:9999").want("g foo", "1 Lock Get Success: foo")
	m.connect("tcp", "[::1]:9999").want("g foo", "0 Lock Get Failure: foo")
	if _, err := os.Stat(m.outer("/run/lockd.sock")); err == nil {
		t.Error("/run/lockd.sock is there without lockd.socket")
	}
}

func TestServiceIsNotRootAndKeepsItsStateToItself(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	user := m.run("ps", "-o", "uid=", "-p", m.property("MainPID"))
	// The range of dynamic users; numbers, as their names need libnss-systemd.
	if uid := atoi(t, user); uid < 61184 || uid > 65519 {
		t.Errorf("lockd runs as %d", uid)
	}
	if got := m.run("stat", "-L", "-c", "%u %a", "/var/lib/lockd"); got != user+" 700" {
		t.Errorf("/var/lib/lockd is of %s, want of %s and 700", got, user)
	}
}

func TestServiceMayOpenAsManyFilesAsTheMachineAllows(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	limits := m.run("cat", "/proc/"+m.property("MainPID")+"/limits")
	open := regexp.MustCompile(`Max open files +(\d+) +(\d+)`).FindStringSubmatch(limits)
	machines := strings.TrimSpace(m.run("bash", "-c", "ulimit -Hn"))
	if open == nil || open[1] != open[2] {
		t.Fatalf("limits of the service:\n%s", limits)
	}
	if got, allowed := atoi(t, open[1]), atoi(t, machines); got < min(allowed, 1<<20) {
		t.Errorf("the service may open %d files, the machine allows %d", got, allowed)
	}
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
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	for range 2 {
		m.connect("tcp", "127.0.0.1:9999").want("i x", "0 Lock Not Locked: x")
	}
	holder := m.connect("tcp", "127.0.0.1:9999")
	for i := range 7 {
		holder.want(fmt.Sprintf("g l%d", i), fmt.Sprintf("1 Lock Get Success: l%d", i))
	}
	m.eventually("status shows 3 connections and 7 locks", func() bool {
		status := m.property("StatusText")
		return strings.Contains(status, "3 connections") && strings.Contains(status, "7 locks")
	})
}
