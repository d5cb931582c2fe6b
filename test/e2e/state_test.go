package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// token returns the fencing token of the lock name, which must be free.
func (c *client) token(name string) uint64 {
	c.t.Helper()
	answer := c.ask("gw 0 " + name)
	var token uint64
	if _, err := fmt.Sscanf(answer, "1 Lock Get Success: token=%d ", &token); err != nil {
		c.t.Fatalf("gw 0 %s: answered %q", name, answer)
	}
	return token
}

// ahead writes the state of a server whose clock was decades ahead of this
// machine's: tokens above it do not come from the clock.
const ahead = 4_000_000_000_000_000_000

func (m *machine) putStateAhead() {
	m.t.Helper()
	m.run("bash", "-c", fmt.Sprintf("echo lockd tokens reserved up to %d >/var/lib/lockd/tokens", uint64(ahead)))
}

func TestCrashKeepsTokensRising(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.socket", "lockd.service")
	last := m.connect("tcp", "127.0.0.1:9999").token("foo")
	for range 3 {
		pid := m.property("MainPID")
		m.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "lockd.service")
		next := m.connect("tcp", "127.0.0.1:9999").token("foo") // of the process after it
		if next <= last {
			t.Errorf("token %d after a crash, %d before it", next, last)
		}
		if m.property("MainPID") == pid {
			t.Fatal("nothing was restarted")
		}
		last = next
	}
}

func TestRestartKeepsTokensRising(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	c := m.connect("tcp", "127.0.0.1:9999")
	first := c.token("foo")
	c.conn.Close()
	m.run("systemctl", "restart", "lockd.service")
	if second := m.connect("tcp", "127.0.0.1:9999").token("foo"); second <= first {
		t.Errorf("token %d after a restart, %d before it", second, first)
	}
}

func TestTokensRiseOverRestartsAndCrashesWhereTheClockStepsBack(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	m.run("systemctl", "stop", "lockd.service")
	m.putStateAhead()
	last := uint64(ahead)
	for _, end := range [][]string{
		{"systemctl", "restart", "lockd.service"},
		{"systemctl", "kill", "--kill-who=main", "--signal=KILL", "lockd.service"},
		{"systemctl", "restart", "lockd.service"},
	} {
		m.run("systemctl", "start", "lockd.service")
		c := m.connect("tcp", "127.0.0.1:9999")
		next := c.token("foo")
		if next <= last {
			t.Errorf("token %d follows %d", next, last)
		}
		last = next
		c.conn.Close()
		pid := m.property("MainPID")
		m.run(end...)
		m.eventually("another process serves", func() bool {
			return m.property("ActiveState") == "active" && m.property("MainPID") != pid
		})
	}
}

// The service may have another user at each start, to whom the directory then belongs.
func TestStateBelongsToTheServiceWhateverItsUserIs(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.service")
	m.run("systemctl", "stop", "lockd.service")
	m.putStateAhead()
	m.run("bash", "-c", "chown -R 61234:61234 /var/lib/private/lockd")
	m.run("systemctl", "start", "lockd.service")
	if token := m.connect("tcp", "127.0.0.1:9999").token("foo"); token <= ahead {
		t.Errorf("token %d, %d is stored", token, uint64(ahead))
	}
	user := m.run("ps", "-o", "uid=", "-p", m.property("MainPID"))
	for name, mode := range map[string]string{"": "700", "/tokens": "600", "/lock": "600"} {
		if got := m.run("stat", "-L", "-c", "%u %a", "/var/lib/lockd"+name); got != user+" "+mode {
			t.Errorf("/var/lib/lockd%s is of %s, want of %s and %s", name, got, user, mode)
		}
	}
	if out := m.run("journalctl", "--unit=lockd", "--output=cat"); strings.Contains(out, "no state_dir") {
		t.Errorf("the journal says that there is no state directory:\n%s", out)
	}
}

func TestConfigurationShowsThatSystemdGaveTheStateDirectory(t *testing.T) {
	m := boot(t)
	m.dropIn("ExecStartPre=/usr/bin/lockd config show")
	wantShown := func(line string) {
		t.Helper()
		m.run("systemctl", "restart", "lockd.service")
		m.eventually("config show says "+line, func() bool {
			out, _ := m.try("journalctl", "--unit=lockd", "--output=cat", "--grep=^state_dir:")
			return strings.Contains(strings.Join(strings.Fields(out), " "), line)
		})
	}
	wantShown("state_dir: /var/lib/lockd # environment STATE_DIRECTORY")
	m.configure("state_dir: /var/lib/lockd/deeper\n")
	wantShown("state_dir: /var/lib/lockd/deeper # file /etc/lockd/lockd.yaml:1")
	if _, err := os.Stat(m.outer("/var/lib/private/lockd/deeper/tokens")); err != nil {
		t.Error(err)
	}
}

func TestStateDirectoryOutsideTheSandboxIsAnErrorThatSaysWhatToDo(t *testing.T) {
	m := boot(t)
	m.dropIn("Restart=no")
	m.configure("state_dir: /var/lib/elsewhere\n")
	if _, ok := m.try("systemctl", "start", "lockd.service"); ok {
		t.Error("lockd started")
	}
	m.wantProperty("ExecMainStatus", "1")
	out := m.run("journalctl", "--unit=lockd", "--output=cat", "--priority=notice")
	for _, want := range []string{
		"lockd: error: state directory: mkdir /var/lib/elsewhere: read-only file system",
		"lockd: hint: mount it for writing, or in a systemd unit add it to ReadWritePaths=",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in the journal:\n%s", want, out)
		}
	}
}
