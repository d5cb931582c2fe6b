package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const anotherOrClock = ", or name another directory in state_dir; without one, fencing tokens start from the clock"

// wantUnusable checks what opening a directory says to who runs the server.
func wantUnusable(t *testing.T, path, want, hint string) {
	t.Helper()
	d, err := open(path, clock(1000), inBlocks(64))
	if err == nil {
		d.Close()
		t.Fatal("it can be opened")
	}
	var known *Error
	if !errors.As(err, &known) {
		t.Fatalf("%v is no *Error", err)
	}
	if err.Error() != "state directory: "+want || known.Hint != hint {
		t.Errorf("error: %s\nhint: %s\nwant error: state directory: %s\nhint: %s", err, known.Hint, want, hint)
	}
}

func TestWhatIsNoDirectoryIsAnErrorThatSaysWhatToDo(t *testing.T) {
	const see = "see to it that the server can write there" + anotherOrClock
	for name, test := range map[string]struct {
		prepare    func(path string) error
		want, hint string // PATH is the path
	}{
		"one of several parts that are missing": {
			func(path string) error { return os.Remove(filepath.Dir(path)) },
			"mkdir PATH: no such file or directory", "make the directory above it first" + anotherOrClock,
		},
		"a file": {
			func(path string) error { return os.WriteFile(path, nil, 0o600) },
			"open PATH/lock: not a directory", see,
		},
		"a directory for a lock": {
			func(path string) error { return os.MkdirAll(filepath.Join(path, lockFile), 0o700) },
			"open PATH/lock: is a directory", see,
		},
		"a pipe for a lock": {
			func(path string) error {
				return errorOf(os.Mkdir(path, 0o700), unix.Mkfifo(filepath.Join(path, lockFile), 0o600))
			},
			"truncate PATH/lock: invalid argument", see,
		},
		"a link for a lock": {
			func(path string) error {
				return errorOf(os.Mkdir(path, 0o700), os.Symlink(path+".elsewhere", filepath.Join(path, lockFile)))
			},
			"open PATH/lock: too many levels of symbolic links", see,
		},
		"a directory for tokens": {
			func(path string) error { return os.MkdirAll(filepath.Join(path, tokensFile), 0o700) },
			"read PATH/tokens: is a directory", see,
		},
		"a directory for new tokens": {
			func(path string) error { return os.MkdirAll(filepath.Join(path, tokensFile+".new"), 0o700) },
			"open PATH/tokens.new: is a directory", see,
		},
		"a pipe for new tokens": {
			func(path string) error {
				return errorOf(os.Mkdir(path, 0o700), unix.Mkfifo(filepath.Join(path, tokensFile+".new"), 0o600))
			},
			"open PATH/tokens.new: no such device or address", see,
		},
		"a link for new tokens": {
			func(path string) error {
				return errorOf(os.Mkdir(path, 0o700), os.Symlink(path+".elsewhere", filepath.Join(path, tokensFile+".new")))
			},
			"open PATH/tokens.new: too many levels of symbolic links", see,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newDir(t)
			if err := test.prepare(path); err != nil {
				t.Fatal(err)
			}
			wantUnusable(t, path, strings.ReplaceAll(test.want, "PATH", path), test.hint)
		})
	}
	wantUnusable(t, "", "mkdir : no such file or directory", "make the directory above it first"+anotherOrClock)
}

func TestDamagedTokensAreAnErrorThatSaysWhatToDo(t *testing.T) {
	whole := record(1234)
	for name, content := range map[string]string{
		"nothing": "", "blanks": " \n", "zeros": strings.Repeat("\x00", len(whole)), "no header": "1234\n",
		"torn in the number": whole[:len(whole)-2], "torn in the header": whole[:8], "torn at the end": whole[:len(whole)-1],
		"a line more": whole + "\n", "two records": whole + whole, "blanks before": " " + whole, "CR LF": header + "1234\r\n",
		"no number": header + "\n", "a word": header + "x\n", "a sign": header + "+1234\n", "below zero": header + "-1\n",
		"zeros before": header + "01234\n", "hexadecimal": header + "0x12\n", "64 bits": header + "18446744073709551615\n",
		"higher than ever stored": record(maxStored + 1), "too large": header + "99999999999999999999999\n",
		"much": strings.Repeat(whole, 10000),
	} {
		t.Run(name, func(t *testing.T) {
			path := newDir(t)
			put(t, path, tokensFile, content)
			file := filepath.Join(path, tokensFile)
			wantUnusable(t, path, file+" is damaged",
				"remove that file if the clock of this machine is right: fencing tokens then start from the clock")
			if after, err := os.ReadFile(file); err != nil || string(after) != content {
				t.Errorf("it was touched: %q, %v", after, err)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			d := mustOpen(t, path, clock(1000), inBlocks(64)) // as the hint says
			if last := d.Tokens().Last(); last != 1000 {
				t.Errorf("tokens start from %d", last)
			}
		})
	}
}

func TestAPipeForTokensIsDamagedAndDoesNotBlock(t *testing.T) {
	path := newDir(t)
	if err := errorOf(os.Mkdir(path, 0o700), unix.Mkfifo(filepath.Join(path, tokensFile), 0o600)); err != nil {
		t.Fatal(err)
	}
	wantUnusable(t, path, filepath.Join(path, tokensFile)+" is damaged",
		"remove that file if the clock of this machine is right: fencing tokens then start from the clock")
}

func TestWhatACrashLeftBesideTheTokensDoesNoHarm(t *testing.T) {
	path := newDir(t)
	put(t, path, tokensFile, record(5000))
	put(t, path, tokensFile+".new", "lockd tokens reserved up to 60000000000000")
	put(t, path, lockFile, "not a number, and longer than a process id could ever be\n")
	d := mustOpen(t, path, clock(1000), inBlocks(64))
	if last := d.Tokens().Last(); last != 5000 || stored(t, path) != 5064 {
		t.Errorf("tokens start from %d, %d is stored", last, stored(t, path))
	}
	if content, err := os.ReadFile(filepath.Join(path, lockFile)); string(content) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("the lock holds %q, %v", content, err)
	}
}

func TestASecondServerIsAnErrorThatNamesTheFirst(t *testing.T) {
	const hint = "stop that server, or give each a directory of its own in state_dir"
	path := newDir(t)
	first := mustOpen(t, path, clock(1000), inBlocks(64))
	wantUnusable(t, path, fmt.Sprintf("%s belongs to process %d, which runs", path, os.Getpid()), hint)
	if n := stored(t, path); n != 1064 {
		t.Errorf("the second has stored %d", n)
	}
	for _, content := range []string{"", "\n", "x", "-1\n", "\x1b[1m\n", strings.Repeat("9", 100)} {
		put(t, path, lockFile, content) // the file stays the one that is locked
		wantUnusable(t, path, path+" belongs to another process, which runs", hint)
	}
	first.Close()
	mustOpen(t, path, clock(1000), inBlocks(64))
}

// asNobody runs f without the right to write what is not its own. Root loses it
// for the thread alone, which ends with f.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

func TestADirectoryThatCannotBeWrittenIsAnErrorThatSaysWhatToDo(t *testing.T) {
	const hint = "let the server's user write there" + anotherOrClock
	for name, test := range map[string]struct {
		above, here os.FileMode // 0: is not there
		want        string
	}{
		"that is there":     {0o755, 0o555, "open PATH/lock: permission denied"},
		"that is hidden":    {0o755, 0o600, "open PATH/lock: permission denied"},
		"that is not there": {0o555, 0, "mkdir PATH: permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			path := newDir(t)
			above := filepath.Dir(path)
			t.Cleanup(func() { os.Chmod(above, 0o755); os.Chmod(path, 0o755) }) // to be removed
			if test.here != 0 {
				if err := errorOf(os.Mkdir(path, 0o700), os.Chmod(path, test.here)); err != nil {
					t.Fatal(err)
				}
			}
			// The directory above both belongs to the test alone.
			if err := errorOf(os.Chmod(filepath.Dir(above), 0o755), os.Chmod(above, test.above)); err != nil {
				t.Fatal(err)
			}
			asNobody(t, func() { wantUnusable(t, path, strings.ReplaceAll(test.want, "PATH", path), hint) })
		})
	}
}

func TestFilesThatCannotBeWrittenAreAnErrorThatSaysWhatToDo(t *testing.T) {
	path := newDir(t)
	put(t, path, lockFile, "")
	if err := errorOf(os.Chmod(filepath.Dir(path), 0o755), os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755),
		os.Chmod(path, 0o555), os.Chmod(filepath.Join(path, lockFile), 0o666)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(path, 0o755) })
	asNobody(t, func() {
		wantUnusable(t, path, "open "+filepath.Join(path, "tokens.new")+": permission denied", "let the server's user write there"+anotherOrClock)
	})
}
