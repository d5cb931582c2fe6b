// Package e2e_test runs the built lockd under a real systemd, with the units that
// the packages install: under this Debian's and under a newer one.
package e2e_test

import (
	"os"
	"testing"

	"lockd/test/machine"
	"lockd/test/needs"
)

// newerVariable names a root directory with a newer systemd.
const newerVariable = "LOCKD_TEST_NEWER_ROOT"

func TestMain(m *testing.M) { os.Exit(needs.Run(m)) }

// onEverySystemd runs a test on a machine with this Debian's systemd and on one
// with a newer. Nothing is started on them.
func onEverySystemd(t *testing.T, test func(t *testing.T, m *machine.Machine)) {
	t.Helper()
	t.Run("this", func(t *testing.T) {
		t.Parallel()
		test(t, boot(t, ""))
	})
	t.Run("newer", func(t *testing.T) {
		t.Parallel()
		test(t, boot(t, newerRoot(t)))
	})
}

// newerRoot returns the root directory with a newer systemd.
func newerRoot(t *testing.T) string {
	t.Helper()
	root := os.Getenv(newerVariable)
	if root == "" {
		needs.LeaveOut(t, newerVariable+" is not set: see test/newer-root.sh")
	}
	return root
}

func boot(t *testing.T, root string) *machine.Machine {
	t.Helper()
	needs.Full(t) // before lockd is built for it
	m := machine.Boot(t, machine.Options{Root: root, Copy: machine.Units(t)})
	m.Run("systemd-sysusers")
	return m
}
