package state

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// An Error is why a directory cannot be used.
type Error struct {
	Err  error
	Hint string // what to do about it, for who runs the server
}

// Error tells what is wrong, and with which directory or file.
func (e *Error) Error() string { return "state directory: " + e.Err.Error() }

// Unwrap returns the error without its hint.
func (e *Error) Unwrap() error { return e.Err }

// unusable gives a hint to an error that has none.
func unusable(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Err: err, Hint: wayOut(err) + ", or name another directory in state_dir; without one, fencing tokens start from the clock"}
}

func wayOut(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "make the directory above it first"
	case errors.Is(err, fs.ErrPermission):
		return "let the server's user write there"
	case errors.Is(err, unix.EROFS):
		return "mount it for writing, or in a systemd unit add it to ReadWritePaths="
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "make room there"
	}
	return "see to it that the server can write there"
}
