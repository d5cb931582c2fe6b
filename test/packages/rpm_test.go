package packages_test

import (
	"strings"
	"testing"
)

// rpm runs rpm, which on Debian knows of no other package, and warns that it is
// not how one installs there.
func (h host) rpm(args ...string) string {
	h.t.Helper()
	return h.Run(append([]string{"rpm", "--nodeps", "--force-debian"}, args...)...)
}

func TestRPMLivesFromInstallationToRemoval(t *testing.T) {
	h := boot(t, "rpm")
	before := h.leftBehind()

	h.wantText(h.rpm("-i", dist+"old.rpm"), "!still")
	h.wantActive(false, "lockd.service", "lockd.socket") // that is the admin's
	h.wantEnabled(true, "lockd.service", "lockd.socket") // as Debian's presets say
	h.wantEnabled(false, "lockd-http.socket", "lockd-ws.socket")
	h.wantText(h.Run("getent", "group", "lockd"), "lockd:x:")
	if out := h.Run("rpm", "-V", "--nodeps", "lockd"); out != "" {
		t.Errorf("rpm -V: %s", out)
	}
	h.Run("systemctl", "start", "lockd")
	h.wantActive(true, "lockd.service", "lockd.socket")
	h.wantRunning(oldVersion)
	h.wantText(h.sh("MANWIDTH=80 man lockd | col -b"), "SIGNALS")

	h.upgradeWithALockHeld(h.rpm, "-U", dist+"new.rpm")
	out, _ := h.Try("rpm", "-V", "--nodeps", "lockd")
	if lines := strings.Split(out, "\n"); len(lines) != 1 || !strings.HasSuffix(out, "c /etc/lockd/lockd.yaml") {
		t.Errorf("rpm -V: %s", out)
	}
	h.wantText(h.rpm("-U", "--force", dist+"new.rpm"), "!still")
	h.wantText(h.rpm("-U", "--oldpackage", dist+"old.rpm"), "the server that runs is still "+newVersion)

	h.Run("systemctl", "enable", "lockd-ws.socket")
	h.Run("systemctl", "restart", "lockd")
	holder := h.Connect("tcp", "127.0.0.1:9999")
	holder.Want("g foo", "1 Lock Get Success: foo")
	h.Run("rpm", "-e", "lockd")
	if err := holder.ReadEnd(); err == nil {
		t.Error("the connection goes on after the removal")
	}
	h.wantActive(false, "lockd.service", "lockd.socket", "lockd-ws.socket")
	h.wantLeftBehind(before, "/etc/lockd", "/etc/lockd/lockd.yaml.rpmsave", "/var/lib/lockd", "/var/lib/private/lockd")
}
