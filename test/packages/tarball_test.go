package packages_test

import (
	"strings"
	"testing"
)

// The README in the archive shows how to install what is in it.
func TestTarballIsInstalledAsItsREADMESays(t *testing.T) {
	h := boot(t, "tar")
	h.sh("cd /opt && tar -xzf " + dist + "new.tar.gz")
	h.sh("cd /opt/lockd-*/ && sudo() { \"$@\"; } && set -e\n" + h.installCommands())
	h.wantActive(true, "lockd.service", "lockd.socket")
	h.wantRunning(newVersion)
	h.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
	h.Connect("unix", "/run/lockd.sock").Want("g foo", "0 Lock Get Failure: foo")
	h.wantText(h.sh("cd /opt/lockd-*/ && man -l man/lockd.8.gz | col -b && zcat third-party-licenses.txt.gz"), "SIGNALS", "Permission is hereby granted")
}

// installCommands is the first block of the README that begins with sudo install.
func (h host) installCommands() string {
	h.t.Helper()
	_, block, found := strings.Cut(h.sh("cat /opt/lockd-*/README.md"), "```sh\nsudo install ")
	block, _, closed := strings.Cut(block, "\n```")
	if !found || !closed {
		h.t.Fatal("README.md does not show how to install")
	}
	return "sudo install " + block
}
