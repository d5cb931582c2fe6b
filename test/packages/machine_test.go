package packages_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"lockd/test/machine"
)

// A host is a machine that packages are installed on.
type host struct {
	*machine.Machine
	t *testing.T
}

// dist is where a host has the packages.
const dist = "/opt/dist/"

// boot boots a machine with packages, of which none is installed. Machines know
// nothing of each other, and much of their time is waiting.
func boot(t *testing.T, tools ...string) host {
	t.Helper()
	t.Parallel()
	built := packages(t, first, tools...)
	old := filepath.Join(os.Getenv(builtVariable), older)
	arch := runtime.GOARCH
	m := machine.Boot(t, machine.Options{Copy: map[string]string{
		filepath.Join(built, deb(newVersion, arch)):     dist + "new.deb",
		filepath.Join(built, rpm(newVersion, arch)):     dist + "new.rpm",
		filepath.Join(built, tarball(newVersion, arch)): dist + "new.tar.gz",
		filepath.Join(old, deb(oldVersion, arch)):       dist + "old.deb",
		filepath.Join(old, rpm(oldVersion, arch)):       dist + "old.rpm",
	}})
	// On this machine perhaps no package may start anything. And an index of all
	// man pages, which takes long, is not what is tested.
	m.Run("rm", "-f", "/usr/sbin/policy-rc.d", "/var/lib/man-db/auto-update")
	return host{m, t}
}

// sh runs commands of a shell, which must exit 0.
func (h host) sh(commands string) string {
	h.t.Helper()
	return h.Run("sh", "-c", commands)
}

// dpkg runs dpkg without anybody to ask, and returns what it printed. An image
// may leave out what an installation has.
func (h host) dpkg(args ...string) string {
	h.t.Helper()
	return h.Run(append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--path-include=/usr/share/man/*", "--path-include=/usr/share/doc/*"}, args...)...)
}

func (h host) wantActive(want bool, units ...string) {
	h.t.Helper()
	for _, u := range units {
		if out, active := h.Try("systemctl", "is-active", u); active != want {
			h.t.Errorf("%s is %s, want active: %v", u, out, want)
		}
	}
}

func (h host) wantEnabled(want bool, units ...string) {
	h.t.Helper()
	for _, u := range units {
		if out, enabled := h.Try("systemctl", "is-enabled", u); enabled != want {
			h.t.Errorf("%s is %s, want enabled: %v", u, out, want)
		}
	}
}

// wantText checks that a command's output has some texts, and lacks those that
// begin with "!".
func (h host) wantText(output string, texts ...string) {
	h.t.Helper()
	for _, text := range texts {
		text, lacks := strings.CutPrefix(text, "!")
		if strings.Contains(output, text) == lacks {
			h.t.Errorf("has %q: %v, in\n%s", text, !lacks, output)
		}
	}
}

// wantRunning checks which version serves.
func (h host) wantRunning(version string) {
	h.t.Helper()
	h.wantText(h.Run("lockd", "stats", "--json"), `"version":"`+version+`"`)
}

// leftBehind are the files named after lockd where a system has its own.
func (h host) leftBehind() []string {
	h.t.Helper()
	found := h.sh("find /etc /usr /var /run -xdev -name '*lockd*' ! -path '/usr/src/*' ! -path '/usr/local/*' ! -path '/usr/lib/modules/*' ! -path '/var/cache/man/*' 2>/dev/null | sort")
	return strings.Fields(found)
}

func (h host) wantLeftBehind(before []string, texts ...string) {
	h.t.Helper()
	var more []string
	for _, path := range h.leftBehind() {
		if !slices.Contains(before, path) {
			more = append(more, path)
		}
	}
	if !slices.Equal(more, texts) {
		h.t.Errorf("left behind: %q, want %q", more, texts)
	}
}
