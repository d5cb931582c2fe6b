package state

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// crashVariable tells this test binary to be a process that will be killed. It
	// holds a life as text.
	crashVariable = "LOCKD_TEST_CRASH"
	// crashesVariable says how many servers the kills are to end, where that is not
	// to be the usual number.
	crashesVariable = "LOCKD_TEST_CRASHES"
)

// A life is what one process is told. Its servers, serversPerProcess, have a state
// directory each; a kill ends all of them, each somewhere else.
type life struct {
	path  string // of the directory that has those of the servers
	now   int64  // what it takes for the time, in Unix nanoseconds
	block uint64 // size of its blocks
	// onlyReserved has it grant what is reserved and wait for more. A server does
	// not wait; but what it then grants is safe only if the clock is.
	onlyReserved bool
	// At which grant and which sync of all its servers it kills itself; 0: at none.
	grant, sync int64
}

func (l life) String() string {
	return fmt.Sprintln(l.path, l.now, l.block, l.onlyReserved, l.grant, l.sync)
}

func parseLife(text string) (l life, err error) {
	_, err = fmt.Sscan(text, &l.path, &l.now, &l.block, &l.onlyReserved, &l.grant, &l.sync)
	return l, err
}

// serveUntilKilled is the process. It writes a line when it begins. That it
// returns, like all that it says on standard error, is a failure.
func serveUntilKilled() int {
	l, err := parseLife(os.Getenv(crashVariable))
	if err == nil {
		_, err = fmt.Println()
	}
	granted, syncing := killAt(l.grant), killAt(l.sync)
	o := options{block: l.block, sync: func(f *os.File) error { syncing(); return f.Sync() }}
	failed := make(chan error, serversPerProcess)
	for i := range serversPerProcess {
		go func() { failed <- l.serve(strconv.Itoa(i), o, granted) }()
	}
	if err == nil {
		err = <-failed
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// killAt returns a function whose call number n does not come back.
func killAt(n int64) func() {
	var calls atomic.Int64
	return func() {
		if calls.Add(1) == n {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	}
}

// serve grants a lock as fast as it can, and notes each token where the next life
// finds it.
func (l life) serve(name string, o options, granted func()) error {
	notes, err := openNotes(filepath.Join(l.path, name+".notes"))
	if err != nil {
		return err
	}
	d, err := open(filepath.Join(l.path, name), clock(l.now), o)
	if err != nil {
		return err
	}
	go d.Run(context.Background(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	for g := newGranter(d.Tokens()); ; {
		for l.onlyReserved && d.Tokens().Last() >= d.reserved.Load() {
			<-time.After(10 * time.Microsecond)
		}
		if err := notes.add(g.grant()); err != nil {
			return err
		}
		granted()
	}
}

// Notes are a file with the last token of a server and the number of them. What was
// written to it, the end of the process does not take back.
type notes struct {
	file        *os.File
	last, count uint64
}

func openNotes(path string) (*notes, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	n, content := &notes{file: f}, make([]byte, 16)
	if _, err := f.ReadAt(content, 0); errors.Is(err, io.EOF) {
		return n, nil // a new one
	} else if err != nil {
		return nil, err
	}
	n.last, n.count = binary.BigEndian.Uint64(content), binary.BigEndian.Uint64(content[8:])
	return n, nil
}

func (n *notes) add(token uint64) error {
	if token <= n.last {
		return fmt.Errorf("%s: token %d follows %d", n.file.Name(), token, n.last)
	}
	n.last, n.count = token, n.count+1
	content := binary.BigEndian.AppendUint64(nil, n.last)
	_, err := n.file.WriteAt(binary.BigEndian.AppendUint64(content, n.count), 0)
	return err
}

// live starts the process and kills it so long after it has begun, unless it does
// so itself.
func (l life) live(t *testing.T, long time.Duration) {
	t.Helper()
	var says bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), crashVariable+"="+l.String()), &says
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it would grant on for ever
	begins, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := begins.Read(make([]byte, 1)); err != nil {
		t.Errorf("the process does not begin: %v", err)
	}
	end := time.AfterFunc(long, func() { cmd.Process.Kill() })
	defer end.Stop()
	cmd.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if says.Len() > 0 || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("%s\n%s", cmd.ProcessState, &says)
	}
}

// liveAtRandom has the process killed in one of three ways: by the time, mostly
// while it opens its directories; while it grants; and between two steps of
// storing, at one of so many syncs, which it must come to.
func (l life) liveAtRandom(t *testing.T, maxSyncs int64) {
	t.Helper()
	switch rand.N(3) {
	case 0:
		l.live(t, rand.N(2*time.Millisecond))
	case 1:
		l.grant = 1 + rand.N[int64](100)
		l.live(t, time.Minute)
	default:
		l.sync = 1 + rand.N(maxSyncs)
		l.live(t, time.Minute)
	}
}

// wantGrants checks that the lives were not all too short to grant anything.
func (l life) wantGrants(t *testing.T, least uint64) {
	t.Helper()
	sum := uint64(0)
	for i := range serversPerProcess {
		notes, err := openNotes(filepath.Join(l.path, strconv.Itoa(i)+".notes"))
		if err != nil {
			t.Fatal(err)
		}
		notes.file.Close()
		sum += notes.count
	}
	if sum < least {
		t.Errorf("%d tokens were granted, which is less than %d: this says little", sum, least)
	}
}

// killsWanted returns how many processes are to be killed.
func killsWanted(t *testing.T) int {
	t.Helper()
	if text := os.Getenv(crashesVariable); text != "" {
		crashes, err := strconv.Atoi(text)
		if err != nil || crashes < 1 {
			t.Fatalf("%s=%s is no number of crashes", crashesVariable, text)
		}
		return (crashes-1)/serversPerProcess + 1
	}
	if testing.Short() {
		return kills / 20
	}
	return kills
}

// The issue is kill -9: whatever a process was doing, no token that it granted is
// granted again, nor a lower one.
func TestTokensNeverRepeatOrFallOverKills(t *testing.T) {
	times := (killsWanted(t) + 1) / 2
	begin := time.Now()
	// A clock that nobody sets while the test runs.
	now := func() int64 { return begin.Add(time.Since(begin)).UnixNano() }

	t.Run("while the clock steps back", func(t *testing.T) {
		t.Parallel()
		l := life{path: t.TempDir(), block: 8, onlyReserved: true}
		for range times {
			l.now = []int64{now(), now() - time.Hour.Nanoseconds(), 0, rand.N(now())}[rand.N(4)]
			l.liveAtRandom(t, 4*serversPerProcess)
		}
		l.wantGrants(t, uint64(times))
	})
	t.Run("while directories are lost", func(t *testing.T) {
		t.Parallel()
		l := life{path: t.TempDir(), block: block}
		for range times {
			l.now = now()
			l.liveAtRandom(t, 2*serversPerProcess)
			if err := os.RemoveAll(filepath.Join(l.path, strconv.Itoa(rand.N(serversPerProcess)))); err != nil {
				t.Fatal(err)
			}
		}
		l.wantGrants(t, uint64(times))
	})
}
