// Package packages_test builds the packages and lives through what an admin does
// with them: install, upgrade, remove, on a machine whose every change is thrown
// away.
package packages_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"lockd/test/needs"
)

const (
	oldVersion = "0.9.0"
	newVersion = "1.0.0"
	// builtVariable names the directory with what TestMain has built.
	builtVariable = "LOCKD_TEST_PACKAGES"
	// built on some day
	epoch = "1767225600" // 2026-01-01 00:00:00 UTC
)

// What TestMain builds: the directories below that of builtVariable.
const (
	first  = "first"  // newVersion, every architecture
	second = "second" // the same again, from another place
	older  = "older"  // oldVersion, of this machine's architecture
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if needs.Everything() {
		dir, err := os.MkdirTemp("", "lockd-packages")
		if err == nil {
			defer os.RemoveAll(dir)
			err = os.Setenv(builtVariable, dir)
		}
		if err == nil {
			err = buildAll(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// buildAll builds from copies of one moment of the checkout, one of which has
// another path, and is built as somebody with other habits would.
func buildAll(dir string) error {
	here, there := filepath.Join(dir, "source"), filepath.Join(dir, "somewhere", "quite", "else")
	if err := copyCheckout(here); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(there), 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-r", here, there).CombinedOutput(); err != nil {
		return fmt.Errorf("copy: %w\n%s", err, out)
	}
	if err := build(here, filepath.Join(dir, first), "umask 022", "VERSION=v"+newVersion); err != nil {
		return err
	}
	if err := build(there, filepath.Join(dir, second), "umask 077", "VERSION=v"+newVersion, "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "GOFLAGS="); err != nil {
		return err
	}
	return build(here, filepath.Join(dir, older), "umask 022", "VERSION=v"+oldVersion, "ARCHES="+runtime.GOARCH)
}

func copyCheckout(to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", `tar -C "$1" --exclude=./.git --exclude=./bin --exclude=./dist -cf - . | tar -C "$2" -xf -`, "sh", needs.Repository(), to)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the checkout: %w\n%s", err, out)
	}
	return nil
}

func build(source, to, umask string, environment ...string) error {
	cmd := exec.Command("sh", "-c", umask+` && exec deploy/packages/build.sh "$1"`, "sh", to)
	cmd.Dir = source
	cmd.Env = append(append(os.Environ(), "COMMIT=0123456", "SOURCE_DATE_EPOCH="+epoch), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build packages: %w\n%s", err, out)
	}
	return nil
}

// packages leaves t out where nothing has been built, and returns one of the
// directories with packages.
func packages(t *testing.T, which string, tools ...string) string {
	t.Helper()
	needs.Full(t, tools...)
	return filepath.Join(os.Getenv(builtVariable), which)
}

func deb(version, arch string) string { return "lockd_" + version + "-1_" + arch + ".deb" }

func rpm(version, arch string) string {
	return "lockd-" + version + "-1." + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch] + ".rpm"
}

func tarball(version, arch string) string { return "lockd-" + version + "-linux-" + arch + ".tar.gz" }

func architectures() []string { return []string{"amd64", "arm64"} }

// output runs a program that must exit 0, and returns what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &problems)
	}
	return out.String()
}
