package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lockd/test/machine"
)

// token returns the fencing token of the lock name, which must be free.
func token(t *testing.T, c *machine.Client, name string) uint64 {
	t.Helper()
	answer := c.Ask("gw 0 " + name)
	var token uint64
	if _, err := fmt.Sscanf(answer, "1 Lock Get Success: token=%d ", &token); err != nil {
		t.Fatalf("gw 0 %s: answered %q", name, answer)
	}
	return token
}

// ahead writes the state of a server whose clock was decades ahead of this
// machine's: tokens above it do not come from the clock.
const ahead = 4_000_000_000_000_000_000

func putStateAhead(m *machine.Machine) {
	m.Run("bash", "-c", fmt.Sprintf("echo lockd tokens reserved up to %d >/var/lib/lockd/tokens", uint64(ahead)))
}

func TestCrashKeepsTokensRising(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.socket", "lockd.service")
		last := token(t, m.Connect("tcp", "127.0.0.1:9999"), "foo")
		for range 3 {
			pid := m.Property("MainPID")
			m.Run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "lockd.service")
			next := token(t, m.Connect("tcp", "127.0.0.1:9999"), "foo") // of the process after it
			if next <= last {
				t.Errorf("token %d after a crash, %d before it", next, last)
			}
			if m.Property("MainPID") == pid {
				t.Fatal("nothing was restarted")
			}
			last = next
		}
	})
}

func TestRestartKeepsTokensRising(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		c := m.Connect("tcp", "127.0.0.1:9999")
		first := token(t, c, "foo")
		c.Close()
		m.Run("systemctl", "restart", "lockd.service")
		if second := token(t, m.Connect("tcp", "127.0.0.1:9999"), "foo"); second <= first {
			t.Errorf("token %d after a restart, %d before it", second, first)
		}
	})
}

func TestTokensRiseOverRestartsAndCrashesWhereTheClockStepsBack(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		m.Run("systemctl", "stop", "lockd.service")
		putStateAhead(m)
		last := uint64(ahead)
		for _, end := range [][]string{
			{"systemctl", "restart", "lockd.service"},
			{"systemctl", "kill", "--kill-who=main", "--signal=KILL", "lockd.service"},
			{"systemctl", "restart", "lockd.service"},
		} {
			m.Run("systemctl", "start", "lockd.service")
			c := m.Connect("tcp", "127.0.0.1:9999")
			next := token(t, c, "foo")
			if next <= last {
				t.Errorf("token %d follows %d", next, last)
			}
			last = next
			c.Close()
			pid := m.Property("MainPID")
			m.Run(end...)
			m.Eventually("another process serves", func() bool {
				return m.Property("ActiveState") == "active" && m.Property("MainPID") != pid
			})
		}
	})
}

// The service may have another user at each start, to whom the directory then belongs.
func TestStateBelongsToTheServiceWhateverItsUserIs(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.service")
		m.Run("systemctl", "stop", "lockd.service")
		putStateAhead(m)
		m.Run("bash", "-c", "chown -R 61234:61234 /var/lib/private/lockd")
		m.Run("systemctl", "start", "lockd.service")
		if token := token(t, m.Connect("tcp", "127.0.0.1:9999"), "foo"); token <= ahead {
			t.Errorf("token %d, %d is stored", token, uint64(ahead))
		}
		user := m.Run("ps", "-o", "uid=", "-p", m.Property("MainPID"))
		for name, mode := range map[string]string{"": "700", "/tokens": "600", "/lock": "600"} {
			if got := m.Run("stat", "-L", "-c", "%u %a", "/var/lib/lockd"+name); got != user+" "+mode {
				t.Errorf("/var/lib/lockd%s is of %s, want of %s and %s", name, got, user, mode)
			}
		}
		if out := m.Run("journalctl", "--unit=lockd", "--output=cat"); strings.Contains(out, "no state_dir") {
			t.Errorf("the journal says that there is no state directory:\n%s", out)
		}
	})
}

func TestConfigurationShowsThatSystemdGaveTheStateDirectory(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.DropIn("ExecStartPre=/usr/bin/lockd config show")
		wantShown := func(line string) {
			t.Helper()
			m.Run("systemctl", "restart", "lockd.service")
			m.Eventually("config show says "+line, func() bool {
				out, _ := m.Try("journalctl", "--unit=lockd", "--output=cat", "--grep=^state_dir:")
				return strings.Contains(strings.Join(strings.Fields(out), " "), line)
			})
		}
		wantShown("state_dir: /var/lib/lockd # environment STATE_DIRECTORY")
		m.Configure("state_dir: /var/lib/lockd/deeper\n")
		wantShown("state_dir: /var/lib/lockd/deeper # file /etc/lockd/lockd.yaml:1")
		if _, err := os.Stat(m.Outer("/var/lib/private/lockd/deeper/tokens")); err != nil {
			t.Error(err)
		}
	})
}

func TestStateDirectoryOutsideTheSandboxIsAnErrorThatSaysWhatToDo(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.DropIn("Restart=no")
		m.Configure("state_dir: /var/lib/elsewhere\n")
		if _, ok := m.Try("systemctl", "start", "lockd.service"); ok {
			t.Error("lockd started")
		}
		m.WantProperty("ExecMainStatus", "1")
		out := m.Run("journalctl", "--unit=lockd", "--output=cat", "--priority=notice")
		for _, want := range []string{
			"lockd: error: state directory: mkdir /var/lib/elsewhere: read-only file system",
			"lockd: hint: mount it for writing, or in a systemd unit add it to ReadWritePaths=",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is not in the journal:\n%s", want, out)
			}
		}
	})
}
