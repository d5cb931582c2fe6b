// Package needs is for tests that cannot do without something: root, a program,
// the built lockd.
//
// `make test` as root on Debian installs all of it and sets LOCKD_TEST_FULL=1.
// What is then missing fails the test. Elsewhere the test is left out, loudly.
package needs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BinaryVariable names the lockd to test, where that is not to be built.
const BinaryVariable = "LOCKD_TEST_BINARY"

// Everything reports whether no test may be left out.
func Everything() bool {
	return os.Getenv("LOCKD_TEST_FULL") == "1"
}

// LeaveOut ends t: as skipped, or as failed where no test may be left out.
func LeaveOut(t testing.TB, why string) {
	t.Helper()
	if Everything() {
		t.Fatalf("%s, and LOCKD_TEST_FULL=1 leaves nothing out", why)
	}
	fmt.Fprintf(os.Stderr, "LEFT OUT: %s: %s. Run `make test` as root on Debian.\n", t.Name(), why)
	t.Skip(why)
}

// Tools leaves t out where one of the programs is not there.
func Tools(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			LeaveOut(t, "there is no "+program)
		}
	}
}

// Full is for tests too heavy for the quick check: it leaves t out unless
// everything must be tested, and wants root and the programs.
func Full(t testing.TB, programs ...string) {
	t.Helper()
	if !Everything() {
		LeaveOut(t, "it is for `make test` only")
	}
	if os.Geteuid() != 0 {
		LeaveOut(t, "this is not root")
	}
	Tools(t, programs...)
}

// Lockd returns the path of the lockd to test. It is built into a directory of
// t's unless BinaryVariable names one.
func Lockd(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(BinaryVariable); path != "" {
		return path
	}
	path, err := build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Run runs the tests of a package, which all share one lockd. Its result is for
// os.Exit. Where nothing heavy is tested it builds nothing.
func Run(m *testing.M) int {
	if !Everything() || os.Getenv(BinaryVariable) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "lockd-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	path, err := build(dir)
	if err == nil {
		err = os.Setenv(BinaryVariable, path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build builds lockd as it is shipped: static.
func build(dir string) (string, error) {
	path := filepath.Join(dir, "lockd")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/lockd")
	cmd.Dir = Repository()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build lockd: %w\n%s", err, out)
	}
	return path, nil
}

// Repository returns the top of the checkout that the test runs in.
func Repository() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err) // the directory of a running test is gone
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			panic("the test does not run in a checkout")
		}
		dir = filepath.Dir(dir)
	}
}
