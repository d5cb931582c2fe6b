package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A pidFile holds this process's id as long as it is locked. Its lock, not its
// content, tells a live server from one that was killed.
type pidFile struct {
	path string
	file *os.File
}

// acquirePIDFile writes the process id to path, whole or not at all. It takes
// the place of a file that a dead server left; one that is locked is an error. An
// empty path means no file and returns nil.
func acquirePIDFile(path string) (*pidFile, error) {
	if path == "" {
		return nil, nil
	}
	f, err := writeLocked(path)
	if err != nil {
		hint := fileHint(err)
		if errors.Is(err, unix.EACCES) {
			hint += "; under systemd no pid file is needed"
		}
		return nil, &exitError{err: fmt.Errorf("pid file: %w", err), code: exitFailed, hint: hint}
	}
	defer os.Remove(f.Name())
	for {
		// Linking, unlike renaming, never takes the place of another's file.
		err := os.Link(f.Name(), path)
		if err == nil {
			return &pidFile{path, f}, nil
		}
		if errors.Is(err, fs.ErrExist) {
			err = removeDead(path)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("pid file: %w", err)
		}
	}
}

// writeLocked writes the process id to a temporary file beside path, locked.
func writeLocked(path string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		var failed *fs.PathError
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("create %s: %w", path, err) // not the temporary file's name
	}
	_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	err = errors.Join(err, f.Chmod(0o644), unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	if err != nil {
		os.Remove(f.Name())
		f.Close()
		return nil, err
	}
	return f, nil
}

// maxPIDContent is far above any process id and what may stand around it.
const maxPIDContent = 32

// removeDead removes the pid file of a server that is gone. It returns nil when
// it is worth trying again. What is no pid file it does not touch.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s exists and is no regular file", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist): // gone since
		return nil
	case err != nil:
		return err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxPIDContent+1))
	if err != nil {
		return err
	}
	pid := strings.TrimSpace(string(content))
	if _, err := strconv.ParseUint(pid, 10, 32); len(content) > maxPIDContent || err != nil && pid != "" {
		return fmt.Errorf("%s exists and holds no process id", path)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s belongs to process %s, which runs", path, pid)
	}
	// Locked now, so that of two who found it dead only one removes it; the other
	// finds that path is another file by then.
	if !isAt(f, path) {
		return nil
	}
	return os.Remove(path)
}

func isAt(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(mine, there)
}

// remove removes the file if it is still this process's. On nil it does nothing.
func (p *pidFile) remove() error {
	if p == nil {
		return nil
	}
	defer p.file.Close()
	if !isAt(p.file, p.path) {
		return nil
	}
	return os.Remove(p.path)
}
