package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenUnix opens a Unix socket. A file that a dead server left is replaced; one
// that somebody serves is an error that says who.
func listenUnix(ctx context.Context, a Address) (net.Listener, error) {
	unlock, err := lockDirectory(filepath.Dir(a.Path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(ctx, a.Path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// Before the file exists, so that nobody it is not meant for can connect
		// in the moment until its group is set.
		control := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(a.Mode)) })
		return errors.Join(control, err)
	}}
	l, err := config.Listen(ctx, "unix", a.Path)
	if err != nil {
		return nil, err
	}
	// Whoever replaces the file owns the new one: see Listener.Close.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := setOwner(a); err != nil {
		os.Remove(a.Path)
		l.Close()
		return nil, err
	}
	return l, nil
}

// lockDirectory keeps two servers from replacing the same file at once.
func lockDirectory(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock directory %s: %w", dir, err)
	}
	return func() { d.Close() }, nil
}

func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is no socket", path)
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		defer c.Close()
		return &inUseError{path, peerProcess(c.(*net.UnixConn))}
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	}
	return err
}

// An inUseError is unix.EADDRINUSE for a socket that somebody serves.
type inUseError struct {
	path   string
	server string // who serves it
}

func (e *inUseError) Error() string { return fmt.Sprintf("%s is in use by %s", e.path, e.server) }
func (e *inUseError) Unwrap() error { return unix.EADDRINUSE }

// peerProcess names the process that listens at the other end.
func peerProcess(c *net.UnixConn) string {
	var peer *unix.Ucred
	raw, err := c.SyscallConn()
	if err == nil {
		control := raw.Control(func(fd uintptr) {
			peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		})
		err = errors.Join(err, control)
	}
	if err != nil || peer.Pid == 0 {
		return "a process that cannot be seen from here"
	}
	name, err := os.ReadFile("/proc/" + strconv.Itoa(int(peer.Pid)) + "/comm")
	if err != nil {
		return fmt.Sprintf("process %d", peer.Pid)
	}
	return fmt.Sprintf("process %d (%s)", peer.Pid, strings.TrimSpace(string(name)))
}

// setOwner gives the file its group, and its mode whatever the umask.
func setOwner(a Address) error {
	if a.Group != "" {
		gid, err := groupID(a.Group)
		if err != nil {
			return err
		}
		if err := os.Chown(a.Path, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(a.Path, a.Mode)
}

func groupID(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("group %q is not known here", group)
	}
	return strconv.Atoi(g.Gid)
}
