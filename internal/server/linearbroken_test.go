package server_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// The tables here break a promise now and then, each another one, so that the test
// of histories can show that it would notice.

// nowAndThen is one time in twenty.
func nowAndThen() bool { return rand.IntN(20) == 0 }

// A grantingTable is told what to do with each request, and with what comes of it.
type grantingTable struct {
	*locks.Table
	before func(r *locks.Request)
	after  func(result *locks.Result, err *error)
}

func (t *grantingTable) Get(s *locks.Session, r locks.Request) (locks.Result, error) {
	if t.before != nil {
		t.before(&r)
	}
	result, err := t.Table.Get(s, r)
	if t.after != nil {
		t.after(&result, &err)
	}
	return result, err
}

func grantToTwo(result *locks.Result, err *error) {
	if errors.Is(*err, locks.ErrHeld) && nowAndThen() {
		*result, *err = locks.Result{Holders: 1, Token: 1 << 40}, nil
	}
}

func repeatToken(result *locks.Result, err *error) {
	if *err == nil && nowAndThen() {
		result.Token--
	}
}

func overtake(r *locks.Request) {
	if r.Mode == locks.Shared && r.Queue == locks.HonourQueue {
		r.Queue = locks.PassQueue
	}
}

func forgetMax(r *locks.Request) {
	if nowAndThen() {
		r.Max = 0
	}
}

// A forgetfulTable says that it has released what it has not.
type forgetfulTable struct{ *locks.Table }

func (t forgetfulTable) Release(s *locks.Session, m locks.Mode, name []byte, now time.Duration) bool {
	return nowAndThen() || t.Table.Release(s, m, name, now)
}

// A blindTable does not see holders.
type blindTable struct{ *locks.Table }

func (t blindTable) Inspect(m locks.Mode, name []byte) int {
	if nowAndThen() {
		return 0
	}
	return t.Table.Inspect(m, name)
}

// A keepingTable lets locks stay with those who have left, until it is mended.
type keepingTable struct {
	*locks.Table
	mu     sync.Mutex
	kept   []*locks.Session
	mended bool
}

func (t *keepingTable) Leave(s *locks.Session, now time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mended || rand.IntN(4) > 0 {
		return t.Table.Leave(s, now)
	}
	t.kept = append(t.kept, s)
	return s.Holds()
}

func (t *keepingTable) mend() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mended = true
	for _, s := range t.kept {
		t.Table.Leave(s, 0)
	}
}

// A pushingTable has who comes last wait before one who came earlier: that one
// leaves the queue, and comes again.
type pushingTable struct {
	*locks.Table
	mu    sync.Mutex // one at a time, since it acts for sessions that are not asked
	waits []pushed   // for exclusive locks, in the order they came
}

type pushed struct {
	session *locks.Session
	request locks.Request
}

func (t *pushingTable) Get(s *locks.Session, r locks.Request) (locks.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(s)
	result, err := t.Table.Get(s, r)
	if errors.Is(err, locks.ErrWaiting) && r.Mode == locks.Exclusive {
		r.Name = slices.Clone(r.Name)
		t.push(r)
		t.waits = append(t.waits, pushed{s, r})
	}
	return result, err
}

func (t *pushingTable) forget(s *locks.Session) {
	t.waits = slices.DeleteFunc(t.waits, func(p pushed) bool { return p.session == s })
}

// push moves one who waits for what r asks for to the end of the queue.
func (t *pushingTable) push(r locks.Request) {
	i := slices.IndexFunc(t.waits, func(p pushed) bool {
		return string(p.request.Name) == string(r.Name) && !p.session.Granted()
	})
	if i >= 0 && nowAndThen() {
		t.Table.Get(t.waits[i].session, locks.Request{Now: r.Now})
		t.Table.Get(t.waits[i].session, t.waits[i].request)
	}
}

func (t *pushingTable) Release(s *locks.Session, m locks.Mode, name []byte, now time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Table.Release(s, m, name, now)
}

func (t *pushingTable) Leave(s *locks.Session, now time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(s)
	return t.Table.Leave(s, now)
}

func TestHistoriesOfBrokenTablesAreNoticed(t *testing.T) {
	for name, broken := range map[string]func(*locks.Table) server.Table{
		"a lock is granted to two":    func(t *locks.Table) server.Table { return &grantingTable{Table: t, after: grantToTwo} },
		"a token is given twice":      func(t *locks.Table) server.Table { return &grantingTable{Table: t, after: repeatToken} },
		"who tries overtakes":         func(t *locks.Table) server.Table { return &grantingTable{Table: t, before: overtake} },
		"a maximum is forgotten":      func(t *locks.Table) server.Table { return &grantingTable{Table: t, before: forgetMax} },
		"a release is forgotten":      func(t *locks.Table) server.Table { return forgetfulTable{t} },
		"an end is forgotten":         func(t *locks.Table) server.Table { return &keepingTable{Table: t} },
		"holders are not seen":        func(t *locks.Table) server.Table { return blindTable{t} },
		"who came first waits behind": func(t *locks.Table) server.Table { return &pushingTable{Table: t} },
	} {
		t.Run(name, func(t *testing.T) { wantNoticed(t, broken) })
	}
}

// brokenRounds is how many rounds may not notice a broken table. In general a few
// do.
const brokenRounds = 2000

func wantNoticed(t *testing.T, broken func(*locks.Table) server.Table) {
	t.Helper()
	var table server.Table
	s := start(t, with(anybodyMayBreak), func(set *setup) {
		set.around = func(whole *locks.Table) server.Table {
			table = broken(whole)
			return table
		}
	})
	if keeping, ok := table.(*keepingTable); ok {
		t.Cleanup(keeping.mend) // a test wants its table to be empty in the end
	}
	for n := range brokenRounds {
		switch err := s.round(rand.Uint64(), n).check(); {
		case errors.Is(err, errNoHistory):
			return
		case err != nil && !errors.Is(err, errNotKnown):
			t.Fatal(err)
		}
	}
	t.Errorf("%d rounds have not noticed it", brokenRounds)
}
