package job

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A StartError tells why a command could not be started.
type StartError struct {
	Name  string
	Found bool // the command is there, but cannot be run: for a shell the code is 126, else 127
	Err   error
}

// Error names the command.
func (e *StartError) Error() string { return fmt.Sprintf("run %q: %v", e.Name, e.Err) }

// Unwrap returns e.Err.
func (e *StartError) Unwrap() error { return e.Err }

// lookPath finds a command as a shell does: by its path if it has a slash, else in
// PATH, where one that may not be run is told only if there is no other.
func lookPath(name string) (string, error) {
	candidates := []string{name}
	if name == "" {
		candidates = nil
	} else if !strings.Contains(name, "/") {
		candidates = nil
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			if dir == "" {
				dir = "."
			}
			candidates = append(candidates, dir+"/"+name)
		}
	}
	failure := &StartError{Name: name, Err: errors.New("no such command in PATH")}
	for _, path := range candidates {
		_, err := exec.LookPath(path)
		switch {
		case err == nil:
			return path, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			if len(candidates) == 1 {
				failure.Err = unix.ENOENT
			}
		default:
			failure.Found, failure.Err = true, reason(err)
		}
	}
	return "", failure
}

// reason takes off err what names the command a second time.
func reason(err error) error {
	var execErr *exec.Error
	var pathErr *fs.PathError
	switch {
	case errors.As(err, &pathErr):
		return pathErr.Err
	case errors.As(err, &execErr):
		return execErr.Err
	}
	return err
}
