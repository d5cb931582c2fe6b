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
)

const (
	// namespaceVariable tells this test binary that it runs in a network of its own.
	namespaceVariable = "LOCKD_TEST_NAMESPACE"
	// binaryVariable is the directory that lockd has been built into.
	binaryVariable = "LOCKD_TEST_BINARY_DIR"
)

// The documents use the default ports, which somebody may have here. So their
// commands are run by this test binary once more, in a network of its own.
func TestShellBlocksDoWhatTheDocumentsSay(t *testing.T) {
	for _, document := range []string{"../README.md", "operations.md"} {
		t.Run(filepath.Base(document), func(t *testing.T) {
			if os.Getenv(namespaceVariable) == "" {
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
	for _, tool := range []string{"nc", "curl", "sh", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			leaveOut(t, "there is no "+tool)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	cmd.Env = append(os.Environ(), namespaceVariable+"=1", binaryVariable+"="+binaryDir(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		asRootOfItsOwn(cmd.SysProcAttr)
	}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		leaveOut(t, fmt.Sprintf("no network namespace: %v", err))
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

// leaveOut skips a test, loudly. Where everything must be tested, it fails.
func leaveOut(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("LOCKD_TEST_FULL") == "1" {
		t.Fatalf("%s, and LOCKD_TEST_FULL=1 leaves nothing out", why)
	}
	fmt.Fprintf(os.Stderr, "LEFT OUT: %s: %s. Run `make test` as root on Debian.\n", t.Name(), why)
	t.Skip(why)
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
