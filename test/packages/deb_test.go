package packages_test

import (
	"strings"
	"testing"

	"lockd/test/needs"
)

// The grace is short, because a removal waits for a client that does not leave.
const anExample = "limits:\n  locks_per_connection: 7\nshutdown:\n  grace: 1s\n"

func TestDebLivesFromInstallationToPurge(t *testing.T) {
	h := boot(t, "dpkg")
	before := h.leftBehind()

	h.wantText(h.dpkg("-i", dist+"old.deb"), "!does not start", "!still", "!mistake")
	h.wantActive(true, "lockd.service", "lockd.socket")
	h.wantActive(false, "lockd-http.socket", "lockd-ws.socket")
	h.wantEnabled(true, "lockd.service", "lockd.socket")
	h.wantEnabled(false, "lockd-http.socket", "lockd-ws.socket")
	h.WantProperty("NRestarts", "0")
	h.wantRunning(oldVersion)
	h.wantText(h.sh("stat -c '%G %a' /run/lockd.sock; getent group lockd"), "lockd 660")
	h.checkShell()

	h.upgradeWithALockHeld(h.dpkg, "-i", dist+"new.deb")
	h.wantText(h.dpkg("-i", dist+"new.deb"), "!still", "!restart") // nothing new
	h.wantText(h.dpkg("-i", dist+"old.deb"), "lockd "+oldVersion+" is installed, and the server that runs is still "+newVersion+".", "No lock is held")

	h.removeDeb(before)
}

// upgradeWithALockHeld upgrades while a client holds a lock, and restarts.
func (h host) upgradeWithALockHeld(upgrade func(args ...string) string, args ...string) {
	h.t.Helper()
	h.Write("/etc/lockd/lockd.yaml", anExample)
	holder := h.Connect("tcp", "127.0.0.1:9999")
	holder.Want("g foo", "1 Lock Get Success: foo")
	pid := h.Property("MainPID")

	h.wantText(upgrade(args...), h.documented(), "!mistake")
	h.WantProperty("MainPID", pid)
	h.WantProperty("NeedDaemonReload", "no")
	h.wantRunning(oldVersion)
	holder.Want("i foo", "1 Lock Is Locked: foo")
	if got := h.Run("cat", "/etc/lockd/lockd.yaml"); got != strings.TrimSpace(anExample) {
		h.t.Errorf("the edited lockd.yaml is now\n%s", got)
	}

	// The old server goes on with the new file's help.
	h.Run("systemctl", "reload", "lockd")
	h.Eventually("the edited file is in force", func() bool {
		return strings.Contains(h.Run("journalctl", "-u", "lockd", "-o", "cat", "--no-pager"), "configuration reloaded")
	})
	holder.Want("i foo", "1 Lock Is Locked: foo")

	holder.Want("r foo", "1 Lock Release Success: foo")
	holder.Close()
	h.Run("systemctl", "restart", "lockd")
	h.wantRunning(newVersion)
	h.wantActive(true, "lockd.service", "lockd.socket")
}

// documented is what docs/operations.md says that an upgrade says.
func (h host) documented() string {
	h.t.Helper()
	_, section, _ := strings.Cut(string(read(h.t, needs.Repository(), "docs/operations.md")), "\n## Upgrade\n")
	_, block, _ := strings.Cut(section, "```text\n")
	block, _, closed := strings.Cut(block, "```")
	if !closed || !strings.Contains(block, newVersion) {
		h.t.Fatalf("docs/operations.md does not show what an upgrade says: %q", block)
	}
	return strings.TrimSpace(block)
}

// checkShell looks for man pages and completions as a user would.
func (h host) checkShell() {
	h.t.Helper()
	for page, text := range map[string]string{
		"lockd": "SIGNALS", "lockd-serve": "SIGNALS", "8 lockd": "EXIT STATUS", "5 lockd.yaml": "limits.line_bytes", "lockd-run": "NAME -- COMMAND", "lockd.yaml": "KEYS",
	} {
		h.wantText(h.sh("MANWIDTH=80 MAN_KEEP_FORMATTING= man "+page+" | col -b"), text)
	}
	h.wantText(h.Run("bash", "-c", "source /usr/share/bash-completion/bash_completion; _completion_loader lockd; complete -p lockd"), "__start_lockd")
}

// removeDeb removes the package while a client is there, and purges it.
func (h host) removeDeb(before []string) {
	h.t.Helper()
	h.Run("systemctl", "enable", "lockd-ws.socket")
	h.Run("systemctl", "restart", "lockd")
	h.wantActive(true, "lockd-ws.socket")
	holder := h.Connect("tcp", "127.0.0.1:9999")
	holder.Want("g foo", "1 Lock Get Success: foo")
	h.dpkg("-r", "lockd")
	if err := holder.ReadEnd(); err == nil {
		h.t.Error("the connection goes on after the removal")
	}
	h.wantActive(false, "lockd.service", "lockd.socket", "lockd-ws.socket")
	if got := h.Run("cat", "/etc/lockd/lockd.yaml"); got != strings.TrimSpace(anExample) {
		h.t.Errorf("after the removal lockd.yaml is\n%s", got)
	}
	h.Run("test", "-d", "/var/lib/private/lockd")

	h.wantText(h.dpkg("-i", dist+"new.deb"), "!does not start", "!still")
	h.wantActive(true, "lockd.service", "lockd.socket")
	h.wantText(h.Run("lockd", "config", "show"), "locks_per_connection: 7")

	h.dpkg("--purge", "lockd")
	h.wantActive(false, "lockd.service", "lockd.socket")
	h.wantLeftBehind(before)
	h.Run("getent", "group", "lockd") // which stays
	h.dpkg("-i", dist+"new.deb")
	h.wantRunning(newVersion)
}

func TestDebStartsNothingOnAnUpgradeThatTheAdminHasStopped(t *testing.T) {
	h := boot(t, "dpkg")
	h.dpkg("-i", dist+"old.deb")
	h.Run("systemctl", "disable", "--now", "lockd.service", "lockd.socket")
	h.wantText(h.dpkg("-i", dist+"new.deb"), "!still", "!restart")
	h.wantActive(false, "lockd.service", "lockd.socket")
	h.wantEnabled(false, "lockd.service", "lockd.socket")

	// A file with which the new version does not start is told of in time.
	h.Configure("limits: {line_byte: 3}\n")
	h.wantText(h.dpkg("-i", dist+"new.deb"), "with which lockd does not start", "lockd.yaml:1: limits.line_byte: unknown key")
}

func TestDebIsInstalledOverABrokenConfiguration(t *testing.T) {
	h := boot(t, "dpkg")
	h.dpkg("-i", dist+"old.deb")
	h.dpkg("-r", "lockd")
	h.Configure("limits: {line_byte: 3}\n")
	h.wantText(h.dpkg("-i", dist+"new.deb"), "does not start", "unknown key; did you mean limits.line_bytes?", "systemctl restart lockd")
	h.wantText(h.Run("dpkg", "-s", "lockd"), "Status: install ok installed")
	h.Configure("limits: {line_bytes: 300}\n")
	h.Run("systemctl", "restart", "lockd.socket", "lockd")
	h.wantRunning(newVersion)
}

func TestDebAsksWhoMayStartServices(t *testing.T) {
	h := boot(t, "dpkg")
	h.Write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
	h.Run("chmod", "755", "/usr/sbin/policy-rc.d")
	h.dpkg("-i", dist+"new.deb")
	h.wantActive(false, "lockd.service", "lockd.socket")
	h.dpkg("--purge", "lockd")

	// So that a machine may have the commands alone.
	h.Run("rm", "/usr/sbin/policy-rc.d")
	h.Run("systemctl", "mask", "lockd.service", "lockd.socket")
	h.wantText(h.dpkg("-i", dist+"new.deb"), "!does not start")
	h.wantActive(false, "lockd.service", "lockd.socket")
}

func TestDebIsInstalledWhereNoSystemdRuns(t *testing.T) {
	h := boot(t, "dpkg", "unshare")
	hidden := func(commands string) string {
		return h.Run("unshare", "--mount", "sh", "-ec", "mount -t tmpfs tmpfs /run\nexport DEBIAN_FRONTEND=noninteractive\n"+commands)
	}
	hidden("dpkg -i " + dist + "new.deb\nlockd version\ngetent group lockd")
	h.wantActive(false, "lockd.service", "lockd.socket")
	hidden("dpkg -i " + dist + "old.deb")
	hidden("dpkg -r lockd")
	hidden("dpkg --purge lockd")
}

// needrestart reads its files as Perl. What they say for lockd.service must be
// the number that keeps it from a restart.
func TestNeedrestartLeavesLockdAlone(t *testing.T) {
	h := boot(t, "dpkg")
	h.dpkg("-i", dist+"new.deb")
	got := h.Run("perl", "-e", `our %nrconf; defined(do "/etc/needrestart/conf.d/lockd.conf") or die $@ || $!;
		my $rules = $nrconf{override_rc};
		print join ",", map { "lockd.service" =~ $_ ? $rules->{$_} : "no match" } keys %$rules`)
	if got != "0" {
		t.Errorf("needrestart is told %q for lockd.service, want 0", got)
	}
}
