// Package state keeps in a directory what must outlive the process: a number that
// no fencing token has passed yet (docs/protocol.md, "Fencing tokens").
//
// Tokens rise over restarts and crashes because they start from the higher of
// that number and the clock. So either may fail, the directory by being lost or
// the clock by stepping back, but not both at once.
package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"lockd/internal/locks"
)

// block is how many tokens are reserved ahead of the counter, at most. A restart
// goes on behind what was reserved, and tokens must not run ahead of the clock:
// with the directory lost, the clock alone has to be above all of them. A server
// grants fewer than one token a nanosecond, and a restart takes longer than the
// millisecond that this block is, so that the clock is ahead again by then.
//
// The next block is reserved when half of it is left. At a million grants a
// second that is half a second, far more than writing needs.
const block = 1 << 20

// retryPause is how long Run waits after it could not write.
const retryPause = time.Second

// A Dir is a state directory that belongs to this process.
type Dir struct {
	path   string
	tokens *locks.Tokens
	options

	lock *os.File // nil once closed

	reserved atomic.Uint64 // stored by this process; set by Open, Run and Close in turn
	failing  bool          // belongs to Run

	reservations, failures atomic.Uint64
	lastFailed             atomic.Bool
}

// options are what only tests have otherwise.
type options struct {
	block uint64
	sync  func(f *os.File) error
}

// Stats tell how reserving tokens goes.
type Stats struct {
	Reservations, Failures uint64 // since the start
	LastFailed             bool   // the latest of them
}

// Clock returns the counter of a server that has no state directory.
func Clock(now time.Time) *locks.Tokens { return locks.NewTokens(fromClock(now)) }

// fromClock is 0 for a clock that is before 1970.
func fromClock(now time.Time) uint64 { return uint64(max(now.UnixNano(), 0)) }

// Open takes a directory, which it makes if only the last part of the path is
// missing, and reserves the first tokens. Its errors are of type [*Error] and name
// what is wrong. Close gives the directory back.
func Open(path string, now time.Time) (*Dir, error) {
	return open(path, now, options{block: block, sync: (*os.File).Sync})
}

func open(path string, now time.Time, o options) (*Dir, error) {
	if err := makeDir(path, o.sync); err != nil {
		return nil, unusable(err)
	}
	lock, err := acquire(filepath.Join(path, lockFile))
	if err != nil {
		return nil, unusable(err)
	}
	d := &Dir{path: path, options: o, lock: lock}
	stored, err := load(d.file())
	if err == nil {
		d.tokens = locks.NewTokens(max(stored, fromClock(now)))
		err = d.reserve()
	}
	if err != nil {
		lock.Close()
		return nil, unusable(err)
	}
	return d, nil
}

func makeDir(path string, sync func(*os.File) error) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Clean(path)), sync)
}

// Tokens returns the counter.
func (d *Dir) Tokens() *locks.Tokens { return d.tokens }

// Stats may be called from any goroutine.
func (d *Dir) Stats() Stats {
	return Stats{d.reservations.Load(), d.failures.Load(), d.lastFailed.Load()}
}

// reserve stores a number that is a block ahead of the counter. As the counter
// only rises, that is never lower than what is stored.
func (d *Dir) reserve() error {
	next := d.tokens.Last() + d.block
	err := store(d.file(), next, d.sync)
	d.lastFailed.Store(err != nil)
	if err != nil {
		d.failures.Add(1)
		return err
	}
	d.reservations.Add(1)
	d.reserved.Store(next)
	d.tokens.TellAt(next - d.block/2)
	return nil
}

// Run reserves tokens ahead of the counter until ctx ends. Grants do not wait for
// it: where it cannot write, they go on, and it tries again. It logs when writing
// begins to fail and when it works again.
func (d *Dir) Run(ctx context.Context, log *slog.Logger) {
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.tokens.Low():
		case <-retry:
		}
		err := d.reserve()
		d.tell(log, err)
		if err != nil {
			retry = time.After(retryPause)
		}
	}
}

func (d *Dir) tell(log *slog.Logger, err error) {
	switch {
	case err != nil && !d.failing:
		log.Error("fencing tokens cannot be reserved: after a crash they rise only if the clock does not step back",
			"state_dir", d.path, "error", err)
	case err == nil && d.failing:
		log.Info("fencing tokens are reserved again", "state_dir", d.path)
	}
	d.failing = err != nil
}

// Close gives the directory back. Where the counter has passed what is stored,
// because that could not be written in time, it tries to store it once more; an
// error says that this failed. Run must have ended, and no more token be taken.
// Another Close does nothing.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	defer func() { d.lock = nil }()
	var err error
	if d.tokens.Last() > d.reserved.Load() {
		err = d.reserve()
	}
	if err = errors.Join(err, d.lock.Close()); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

func (d *Dir) file() string { return filepath.Join(d.path, tokensFile) }
