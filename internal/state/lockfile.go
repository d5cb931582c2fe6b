package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockFile is locked by the process that the directory belongs to, whose id it
// holds. It stays when that is gone: its lock, not its content, tells a live
// server from a dead one.
const lockFile = "lock"

// maxPIDContent is far above any process id and what may stand around it.
const maxPIDContent = 32

// acquire locks a file for this process and writes its id into it.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = &Error{
			Err:  fmt.Errorf("%s belongs to %s, which runs", filepath.Dir(path), holder(f)),
			Hint: "stop that server, or give each a directory of its own in state_dir",
		}
	case err != nil:
		err = &fs.PathError{Op: "lock", Path: path, Err: err}
	default:
		err = replace(f, strconv.Itoa(os.Getpid())+"\n")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func replace(f *os.File, content string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(content), 0)
	return err
}

// holder names the process that has locked f, if it has written its id already.
func holder(f *os.File) string {
	content := make([]byte, maxPIDContent)
	n, _ := f.ReadAt(content, 0)
	pid := strings.TrimSpace(string(content[:n]))
	if _, err := strconv.ParseUint(pid, 10, 32); err != nil {
		return "another process"
	}
	return "process " + pid
}
