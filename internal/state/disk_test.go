package state

import (
	"errors"
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

// mountVariable tells this test binary that it may mount what it likes.
const mountVariable = "LOCKD_TEST_MOUNT"

// mounting runs the test that calls it as a process with mounts of its own. It
// reports whether this is that process.
func mounting(t *testing.T) bool {
	t.Helper()
	if os.Getenv(mountVariable) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mountVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 { // root of its own, where the system lets users be that
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		needs.LeaveOut(t, fmt.Sprintf("no mount namespace: %v", err))
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// smallDisk mounts one of 64 KiB on a new directory.
func smallDisk(t *testing.T) (path string) {
	t.Helper()
	path = newDir(t)
	if err := errorOf(os.Mkdir(path, 0o700), unix.Mount("tmpfs", path, "tmpfs", 0, "size=64k,mode=0700")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	})
	return path
}

func filler(path string) string { return filepath.Join(path, "filler") }

// fill leaves not a byte on the disk.
func fill(t *testing.T, path string) {
	t.Helper()
	err := os.WriteFile(filler(path), make([]byte, 1<<20), 0o600)
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("writing more than there is room: %v", err)
	}
}

func TestGrantsGoOnWhereTheDiskIsFull(t *testing.T) {
	if !mounting(t) {
		return
	}
	path := smallDisk(t)
	failAndWorkAgain(t, path, inBlocks(64), "tokens.new: no space left on device",
		func(t *testing.T) { fill(t, path) },
		func(t *testing.T) {
			if err := os.Remove(filler(path)); err != nil {
				t.Fatal(err)
			}
		})
}

func TestAFullDiskIsAnErrorThatSaysWhatToDo(t *testing.T) {
	if !mounting(t) {
		return
	}
	path := smallDisk(t)
	put(t, path, lockFile, "1\n")
	fill(t, path)
	wantUnusable(t, path, "write "+filepath.Join(path, "tokens.new")+": no space left on device", "make room there"+anotherOrClock)
	if err := os.Remove(filler(path)); err != nil {
		t.Fatal(err)
	}
	d, err := open(path, clock(1000), inBlocks(64))
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

func TestADiskMountedReadOnlyIsAnErrorThatSaysWhatToDo(t *testing.T) {
	if !mounting(t) {
		return
	}
	path := smallDisk(t)
	if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	const hint = "mount it for writing, or in a systemd unit add it to ReadWritePaths=" + anotherOrClock
	wantUnusable(t, path, "open "+filepath.Join(path, lockFile)+": read-only file system", hint)
	inside := filepath.Join(path, "inside")
	wantUnusable(t, inside, "mkdir "+inside+": read-only file system", hint)
}
