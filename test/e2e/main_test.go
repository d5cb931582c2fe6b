// Package e2e runs the built lockd under a real systemd, with the units that
// the packages install. Its tests need root and Debian's systemd; `make test`
// sees to both and sets LOCKD_TEST_FULL=1. Without that they are skipped.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The repository, seen from this package's folder.
const (
	repository = "../.."
	bootScript = "../systemd-boot.sh"
)

// deadline bounds each wait for something that happens within moments, on a
// machine that is busy with other tests.
const deadline = 20 * time.Second

// binaryVariable names the lockd to test, where that is not to be built.
const binaryVariable = "LOCKD_TEST_BINARY"

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run builds lockd, once for all tests, hands it over in binaryVariable, and
// runs them.
func run(m *testing.M) int {
	if !full() || os.Getenv(binaryVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "lockd-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "lockd")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/lockd")
	build.Dir = repository
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build lockd: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(binaryVariable, binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func full() bool {
	return os.Getenv("LOCKD_TEST_FULL") == "1"
}

// needSystemd skips t where nobody promised what it needs, and fails it where
// the promise is not kept.
func needSystemd(t *testing.T) {
	t.Helper()
	if !full() {
		t.Skip("SKIPPED: needs root and a Debian with systemd; run `make test` as root")
	}
	if os.Geteuid() != 0 {
		t.Fatal("LOCKD_TEST_FULL=1, but not root")
	}
	for _, tool := range []string{"systemctl", "systemd-analyze", "systemd-sysusers", "dbus-daemon", "nsenter", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("LOCKD_TEST_FULL=1, but %v", err)
		}
	}
}
