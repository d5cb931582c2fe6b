package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockd/test/needs"
)

// namespaceVariable tells this test binary that it runs in a network of its own.
const namespaceVariable = "LOCKD_TEST_NAMESPACE"

// The documents use the default ports, which somebody may have here. So their
// commands are run by this test binary once more, in a network of its own.
func TestShellBlocksDoWhatTheDocumentsSay(t *testing.T) {
	for _, document := range []string{"../README.md", "operations.md"} {
		t.Run(filepath.Base(document), func(t *testing.T) {
			if os.Getenv(namespaceVariable) == "" {
				t.Parallel()
				runInNamespace(t)
				return
			}
			if err := raiseLoopback(); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if document == "../README.md" {
				dir = ".." // it begins in the checkout, and writes nothing
			}
			runDocument(t, document, dir)
		})
	}
}

// runInNamespace runs the test that calls it as a process in a new network.
func runInNamespace(t *testing.T) {
	t.Helper()
	needs.Tools(t, "nc", "curl", "openssl", "sh", "ss", "go")
	cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	cmd.Env = append(os.Environ(), namespaceVariable+"=1", needs.BinaryVariable+"="+needs.Lockd(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		asRootOfItsOwn(cmd.SysProcAttr)
	}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		needs.LeaveOut(t, fmt.Sprintf("no network namespace: %v", err))
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

// asRootOfItsOwn lets a user who is not root make a namespace, where the system
// lets users do so.
func asRootOfItsOwn(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}
