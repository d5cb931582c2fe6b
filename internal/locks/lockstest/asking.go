package lockstest

import (
	"errors"
	"slices"
	"time"

	"lockd/internal/locks"
)

// request is what level 2 asks: whoever waits goes first.
func (t *tester) request(m locks.Mode, name string, limit int) locks.Request {
	return locks.Request{Mode: m, Name: []byte(name), Now: t.now, Max: limit, Queue: locks.HonourQueue}
}

// try has s ask without waiting and wants it to become one of so many holders.
func (t *tester) try(s *locks.Session, m locks.Mode, name string, limit, holders int) uint64 {
	t.Helper()
	r, err := t.table.Get(s, t.request(m, name, limit))
	if err != nil || r.Token == 0 || r != (locks.Result{Holders: holders, Token: r.Token}) {
		t.Fatalf("try %s %q by %s, at most %d: %+v, %v; want %d holders", modeWord(m), name, s.Addr(), limit, r, err, holders)
	}
	return r.Token
}

// refuseTry has s ask without waiting and wants it to be told this.
func (t *tester) refuseTry(s *locks.Session, m locks.Mode, name string, limit int, wantErr error, want locks.Result) {
	t.Helper()
	if r, err := t.table.Get(s, t.request(m, name, limit)); !errors.Is(err, wantErr) || r != want {
		t.Fatalf("try %s %q by %s, at most %d: %+v, %v; want %+v, %v", modeWord(m), name, s.Addr(), limit, r, err, want, wantErr)
	}
}

// askToWait has s ask for a lock for which it would wait.
func (t *tester) askToWait(s *locks.Session, m locks.Mode, name string, limit int) (locks.Result, error) {
	r := t.request(m, name, limit)
	r.Queue = locks.JoinQueue
	return t.table.Get(s, r)
}

// wait wants s to wait then.
func (t *tester) wait(s *locks.Session, m locks.Mode, name string, limit int) {
	t.Helper()
	if r, err := t.askToWait(s, m, name, limit); !errors.Is(err, locks.ErrWaiting) || r != (locks.Result{}) {
		t.Fatalf("wait for %s %q by %s, at most %d: %+v, %v", modeWord(m), name, s.Addr(), limit, r, err)
	}
	t.waits(s)
}

// waits wants these to have been told nothing, so they wait.
func (t *tester) waits(sessions ...*locks.Session) {
	t.Helper()
	for _, s := range sessions {
		if n := ownerOf(s).granted; n != 0 {
			t.Fatalf("%s has been told of %d grants, want it to wait", s.Addr(), n)
		}
	}
}

func ownerOf(s *locks.Session) *owner { return s.Owner().(*owner) }

// granted wants s, which waited, to have been told once of its grant, as one of
// so many holders, and to learn of it that it waited so long.
func (t *tester) granted(s *locks.Session, holders int, waited time.Duration) uint64 {
	t.Helper()
	t.told(s)
	r, err := t.table.Get(s, locks.Request{Now: t.now})
	if err != nil || r.Token == 0 || r != (locks.Result{Holders: holders, Token: r.Token, Waited: waited}) {
		t.Fatalf("the wait of %s: %+v, %v; want %d holders after %v", s.Addr(), r, err, holders, waited)
	}
	return r.Token
}

// told wants s to have been told of one grant, of which it does not ask.
func (t *tester) told(s *locks.Session) {
	t.Helper()
	o := ownerOf(s)
	if o.granted != 1 {
		t.Fatalf("%s has been told of %d grants, want 1", s.Addr(), o.granted)
	}
	o.granted = 0
}

// withdraw has s give up its wait and wants it to be told this.
func (t *tester) withdraw(s *locks.Session, want locks.Result) {
	t.Helper()
	if r, err := t.table.Get(s, locks.Request{Now: t.now}); !errors.Is(err, locks.ErrQueue) || r != want {
		t.Fatalf("the withdrawn wait of %s: %+v, %v; want %+v", s.Addr(), r, err, want)
	}
	t.waits(s)
}

// giveUp has s give up its wait, whatever it is told.
func (t *tester) giveUp(s *locks.Session) {
	t.Helper()
	if _, err := t.table.Get(s, locks.Request{Now: t.now}); !errors.Is(err, locks.ErrQueue) {
		t.Fatalf("the withdrawn wait of %s: %v", s.Addr(), err)
	}
}

// queue wants these to wait for the lock, in this order.
func (t *tester) queue(m locks.Mode, name string, want ...*locks.Session) {
	t.Helper()
	q := queryOf(m)
	q.Name, q.Exact, q.Waiters = []byte(name), true, true
	waiting := slices.DeleteFunc(slices.Collect(t.table.List(q)), func(e locks.Entry) bool { return !e.Waiting })
	if got := sessionsOf(waiting); !slices.Equal(got, want) {
		t.Fatalf("for %s %q there wait %s, want %s", modeWord(m), name, addrs(got), addrs(want))
	}
	t.waits(want...)
}
