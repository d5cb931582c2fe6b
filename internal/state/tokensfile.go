package state

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tokensFile holds one line: header and a decimal number.
const (
	tokensFile = "tokens"
	header     = "lockd tokens reserved up to "
)

// maxContent is far above the length of that line, in bytes.
const maxContent = 100

// maxStored leaves tokens, which have 63 bits, for 36 years at one a nanosecond. No
// clock before the year 2225 gives a number above.
const maxStored = math.MaxInt64 - 1<<60

func record(n uint64) string { return header + strconv.FormatUint(n, 10) + "\n" }

// load returns the number that a file holds, 0 where there is no file. Content
// that this program has not written is an error: taken for less than it was, it
// could make tokens fall.
func load(path string) (uint64, error) {
	// Without waiting for a writer, should it be a pipe.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxContent))
	if err != nil {
		return 0, err
	}
	digits := strings.TrimSuffix(strings.TrimPrefix(string(content), header), "\n")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > maxStored || record(n) != string(content) {
		return 0, &Error{
			Err:  fmt.Errorf("%s is damaged", path),
			Hint: "remove that file if the clock of this machine is right: fencing tokens then start from the clock",
		}
	}
	return n, nil
}

// store puts the number into a file such that a crash at any moment, of the machine
// as well, leaves it or the one before.
func store(path string, n uint64, sync func(*os.File) error) error {
	temporary := path + ".new"
	if err := write(temporary, record(n), sync); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path), sync)
}

func write(path, content string, sync func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(content); err == nil {
		err = sync(f)
	}
	return errors.Join(err, f.Close())
}

func syncDir(path string, sync func(*os.File) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(sync(f), f.Close())
}
