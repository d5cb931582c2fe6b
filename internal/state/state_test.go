package state

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"lockd/internal/locks"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashVariable) != "" {
		os.Exit(serveUntilKilled())
	}
	goleak.VerifyTestMain(m)
}

// clock is a moment at so many nanoseconds.
func clock(n int64) time.Time { return time.Unix(0, n) }

// inBlocks are options for blocks of a size that tests can use up.
func inBlocks(size uint64) options { return options{block: size, sync: (*os.File).Sync} }

// newDir returns a path for a directory that there is not yet.
func newDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state")
}

func mustOpen(t *testing.T, path string, now time.Time, o options) *Dir {
	t.Helper()
	d, err := open(path, now, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// kill leaves a directory as it is after kill -9.
func (d *Dir) kill() {
	d.lock.Close()
	d.lock = nil
}

// stored returns the number in the file.
func stored(t *testing.T, path string) uint64 {
	t.Helper()
	n, err := load(filepath.Join(path, tokensFile))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A granter grants a lock over and over.
type granter struct {
	table   *locks.Table
	session *locks.Session
}

func newGranter(tokens *locks.Tokens) granter {
	return granter{locks.New(locks.Limits{}, tokens), locks.NewSession("a", nil)}
}

// grant returns the token of the next grant.
func (g granter) grant() uint64 {
	r, err := g.table.Get(g.session, locks.Request{Name: []byte("x")})
	if err != nil {
		panic(err)
	}
	g.table.Leave(g.session, 0)
	return r.Token
}

// grants returns the token of the last of so many grants.
func (g granter) grants(times int) (token uint64) {
	for range times {
		token = g.grant()
	}
	return token
}

func put(t *testing.T, path, name, content string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTokensStartFromTheHigherOfDirectoryAndClock(t *testing.T) {
	for _, test := range []struct {
		name   string
		stored uint64 // 0: nothing
		now    int64
		want   uint64 // the first token
	}{
		{"a new directory", 0, 1000, 1001},
		{"the clock went on", 1000, 5000, 5001},
		{"the clock stepped back", 5000, 1000, 5001},
		{"both are the same", 1000, 1000, 1001},
		{"the clock is before 1970", 5000, -1000, 5001},
		{"a new directory before 1970", 0, -1000, 1},
		{"as high as it may be stored", maxStored, 1000, maxStored + 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := newDir(t)
			if test.stored > 0 {
				put(t, path, tokensFile, record(test.stored))
			}
			d := mustOpen(t, path, clock(test.now), inBlocks(64))
			if test.stored < maxStored {
				if n := stored(t, path); n != test.want-1+64 {
					t.Errorf("%d is stored before the first token, %d", n, test.want)
				}
			}
			if got := newGranter(d.Tokens()).grant(); got != test.want {
				t.Errorf("the first token is %d, want %d", got, test.want)
			}
		})
	}
}

func TestWithoutDirectoryTokensStartFromTheClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	if got, want := newGranter(Clock(now)).grant(), uint64(now.UnixNano())+1; got != want {
		t.Errorf("the first token is %d, want %d", got, want)
	}
	if got := newGranter(Clock(clock(-1))).grant(); got != 1 {
		t.Errorf("the first token before 1970 is %d, want 1", got)
	}
}

// Each life begins where a killed one left the directory, with a clock that
// stands still, goes on or steps back.
func TestTokensRiseOverCrashesWhateverTheClockDoes(t *testing.T) {
	path := newDir(t)
	last := uint64(0)
	for _, now := range []int64{1000, 1000, 999, 0, -5, 500, 2000, 1, 1001} {
		d := mustOpen(t, path, clock(now), inBlocks(64))
		g := newGranter(d.Tokens())
		for range 3 {
			if token := g.grant(); token <= last {
				t.Errorf("with the clock at %d, token %d follows %d", now, token, last)
			} else {
				last = token
			}
		}
		d.kill()
	}
}

func TestTokensRiseWhenTheDirectoryIsLost(t *testing.T) {
	path, last, now := newDir(t), uint64(0), time.Now()
	for _, lost := range []string{tokensFile, lockFile, "nothing", ".", "nothing"} {
		d, err := Open(path, now)
		if err != nil {
			t.Fatal(err)
		}
		token := newGranter(d.Tokens()).grants(1000)
		if token <= last {
			t.Errorf("token %d follows %d, before %s is lost", token, last, lost)
		}
		last = token
		d.kill()
		if err := os.RemoveAll(filepath.Join(path, lost)); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Millisecond) // no restart is as fast
	}
}

// What is reserved may be lost with the directory: the clock has to be above it by
// the time that a process has been started.
func TestNoMoreThanAMillisecondOfTheClockIsReserved(t *testing.T) {
	path, now := newDir(t), time.Now()
	d, err := Open(path, now)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if ahead := time.Duration(stored(t, path) - uint64(now.UnixNano())); ahead > 1100*time.Microsecond {
		t.Errorf("%s of tokens are reserved", ahead)
	}
}

func TestOnlyTheServersUserSeesTheDirectoryItMade(t *testing.T) {
	path := newDir(t)
	mustOpen(t, path, clock(1), inBlocks(64))
	for name, want := range map[string]os.FileMode{".": os.ModeDir | 0o700, tokensFile: 0o600, lockFile: 0o600} {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has the mode %s, want %s", name, info.Mode(), want)
		}
	}
}

// A running is a directory whose Run has been started.
type running struct {
	*Dir
	granter
	log logged
}

// A logged is what has been written to it.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines returns the lines, each with its end.
func (l *logged) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(strings.Lines(l.text.String()))
}

// run calls f in a bubble, with the Run of the directory under way.
func run(t *testing.T, path string, o options, f func(t *testing.T, r *running)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := mustOpen(t, path, clock(1000), o)
		r := &running{Dir: d, granter: newGranter(d.Tokens())}
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { d.Run(ctx, slog.New(slog.NewTextHandler(&r.log, nil))) })
		f(t, r)
		cancel()
		done.Wait()
	})
}

// after waits until so much time has passed, and all is done that was due.
func (r *running) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *running) wantStats(t *testing.T, want Stats) {
	t.Helper()
	synctest.Wait()
	if got := r.Stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// wantLog checks that the log has one line for each of the given, with the texts.
func (r *running) wantLog(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	lines := r.log.lines()
	if len(lines) != len(want) {
		t.Fatalf("%d lines are logged, want %d: %q", len(lines), len(want), lines)
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("logged %s, want %s", line, want[i])
		}
	}
}

func TestTheNextBlockIsReservedWhenHalfOfOneIsLeft(t *testing.T) {
	path := newDir(t)
	run(t, path, inBlocks(64), func(t *testing.T, r *running) {
		want := uint64(1)
		for range 10 {
			before := stored(t, path)
			r.grants(31)
			r.wantStats(t, Stats{Reservations: want})
			token := r.grant()
			want++
			r.wantStats(t, Stats{Reservations: want})
			if n := stored(t, path); n != token+64 || n <= before {
				t.Errorf("at token %d, %d is stored after %d, want %d", token, n, before, token+64)
			}
		}
		r.wantLog(t)
	})
}

// Not even a directory that never answers holds up a grant.
func TestGrantsDoNotWaitForASlowDisk(t *testing.T) {
	path, o := newDir(t), inBlocks(64)
	slow, answer := false, make(chan struct{})
	o.sync = func(f *os.File) error {
		if slow {
			<-answer
		}
		return f.Sync()
	}
	run(t, path, o, func(t *testing.T, r *running) {
		slow, answer = true, make(chan struct{})
		token := r.grants(1000)
		synctest.Wait()
		if n := stored(t, path); n >= token {
			t.Fatalf("%d is stored already", n)
		}
		close(answer)
		// As late as it comes, it is reserved from the counter.
		synctest.Wait()
		if n := stored(t, path); n != token+64 {
			t.Errorf("at token %d, %d is stored, want %d", token, n, token+64)
		}
		r.wantLog(t)
	})
}

// failAndWorkAgain has storing fail for a while.
func failAndWorkAgain(t *testing.T, path string, o options, cause string, fail, mend func(t *testing.T)) {
	t.Helper()
	run(t, path, o, func(t *testing.T, r *running) {
		r.grants(40)
		r.wantStats(t, Stats{Reservations: 2})
		before := stored(t, path)

		fail(t)
		r.grants(1000)
		r.wantStats(t, Stats{Reservations: 2, Failures: 1, LastFailed: true})
		failed := `level=ERROR msg="fencing tokens cannot be reserved: after a crash they rise only if the clock does not step back" state_dir=` + path + " error="
		r.wantLog(t, failed)
		r.wantLog(t, cause)
		r.after(10 * time.Second)
		token := r.grants(1000)
		r.wantStats(t, Stats{Reservations: 2, Failures: 11, LastFailed: true})
		r.wantLog(t, failed)

		mend(t)
		if n := stored(t, path); n != before {
			t.Errorf("what could not be stored is: %d", n)
		}
		r.after(time.Second)
		r.wantStats(t, Stats{Reservations: 3, Failures: 11})
		again := `level=INFO msg="fencing tokens are reserved again" state_dir=` + path
		r.wantLog(t, failed, again)
		if n := stored(t, path); n != token+64 {
			t.Errorf("at token %d, %d is stored, want %d", token, n, token+64)
		}

		fail(t)
		r.grants(32)
		r.wantLog(t, failed, again, failed)
		mend(t)
		r.after(time.Second)
		r.grants(32)
		r.wantStats(t, Stats{Reservations: 5, Failures: 12})
		r.wantLog(t, failed, again, failed, again)
	})
}

func TestGrantsGoOnWhereNothingCanBeStored(t *testing.T) {
	for name, test := range map[string]struct {
		cause      string
		fail, mend func(path string) error
	}{
		"something is in the way": {
			"tokens.new: is a directory",
			func(path string) error { return os.Mkdir(filepath.Join(path, "tokens.new"), 0o700) },
			func(path string) error { return os.Remove(filepath.Join(path, "tokens.new")) },
		},
		"the file cannot be replaced": {
			"rename ",
			func(path string) error {
				file := filepath.Join(path, tokensFile)
				return errorOf(os.Rename(file, file+".away"), os.MkdirAll(filepath.Join(file, "full"), 0o700))
			},
			func(path string) error {
				file := filepath.Join(path, tokensFile)
				return errorOf(os.RemoveAll(file), os.Rename(file+".away", file))
			},
		},
		"the directory is gone for a while": {
			"no such file or directory",
			func(path string) error { return os.Rename(path, path+".away") },
			func(path string) error { return os.Rename(path+".away", path) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newDir(t)
			do := func(f func(path string) error) func(t *testing.T) {
				return func(t *testing.T) {
					t.Helper()
					if err := f(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			failAndWorkAgain(t, path, inBlocks(64), test.cause, do(test.fail), do(test.mend))
		})
	}
}

func errorOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestRunReturnsWhileItWaitsToTryAgain(t *testing.T) {
	path := newDir(t)
	run(t, path, inBlocks(64), func(t *testing.T, r *running) {
		put(t, filepath.Join(path, "tokens.new"), "x", "")
		r.grants(40)
		r.wantStats(t, Stats{Reservations: 1, Failures: 1, LastFailed: true})
	})
}

// Where the disk could not take what was granted, a clean stop still may.
func TestCloseStoresWhatTheCounterHasPassed(t *testing.T) {
	for _, mended := range []bool{true, false} {
		t.Run(fmt.Sprintf("mended %t", mended), func(t *testing.T) {
			path := newDir(t)
			inTheWay := filepath.Join(path, "tokens.new")
			d, err := open(path, clock(1000), inBlocks(64))
			if err != nil {
				t.Fatal(err)
			}
			before := stored(t, path)
			put(t, inTheWay, "x", "")
			token := newGranter(d.Tokens()).grants(1000)
			if mended {
				if err := os.RemoveAll(inTheWay); err != nil {
					t.Fatal(err)
				}
			}
			err = d.Close()
			if mended && (err != nil || stored(t, path) < token) {
				t.Errorf("%d is stored after token %d, %v", stored(t, path), token, err)
			}
			if want := "state directory: open " + inTheWay + ": is a directory"; !mended && (err == nil || err.Error() != want || stored(t, path) != before) {
				t.Errorf("%d is stored after %d, error %v, want %s", stored(t, path), before, err, want)
			}
			if err := d.Close(); err != nil {
				t.Errorf("the second Close: %v", err)
			}
			os.RemoveAll(inTheWay)
			mustOpen(t, path, clock(1000), inBlocks(64)) // it was given back either way
		})
	}
}

func TestCloseStoresNothingWhereItNeedNot(t *testing.T) {
	path := newDir(t)
	d := mustOpen(t, path, clock(1000), inBlocks(64))
	newGranter(d.Tokens()).grants(64)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := d.Stats(); got.Reservations != 1 || stored(t, path) != 1064 {
		t.Errorf("%+v, %d is stored", got, stored(t, path))
	}
}
