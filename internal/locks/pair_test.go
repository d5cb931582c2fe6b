package locks_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/locks/lockstest"
)

// A failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// A pair is a table and the model of it, which are done the same things to.
type pair struct {
	failer
	costs      costs
	table      *locks.Table
	model      *lockstest.Model
	heard      [2]heard // by the owners of the table's sessions, and of the model's
	clients    []*client
	names      [][]byte
	now        time.Duration
	steps      int
	lastSteps  [16]step
	cameAbout  outcomes
	lastTokens uint64
}

// A client has a session of the table and one of the model, both with its address.
type client struct {
	real, model *locks.Session
	waits       bool
}

// heard is what owners are told.
type heard struct {
	events []lockstest.Event
	calls  []call
}

type call struct{ what, addr string }

type pairOwner struct {
	*heard
	addr string
}

func (o pairOwner) Granted()               { o.calls = append(o.calls, call{"granted", o.addr}) }
func (o pairOwner) Break()                 { o.calls = append(o.calls, call{"break", o.addr}) }
func (o pairOwner) Happened(e locks.Event) { o.events = append(o.events, lockstest.EventOf(e)) }

// outcomes counts what came about, so that a test can tell it tried it.
type outcomes struct {
	errs                                      map[error]int
	granted, waitGranted, leftGranted, forced int
}

// A step is one thing done, with what it was done to.
type step struct {
	what     action
	client   int
	mode     locks.Mode
	name     int
	argument int
}

type action uint8

const (
	doGet action = iota
	doTry
	doWait
	doRelease
	doLeave
	doBreak
	doLimit
	doPass // time
	numActions
)

func (s step) String() string {
	what := [numActions]string{"get", "try", "wait", "release", "leave", "break", "limit", "pass"}[s.what]
	return fmt.Sprintf("%s client=%d mode=%d name=%d argument=%d", what, s.client, s.mode, s.name, s.argument)
}

func newPair(t failer, costs costs, clients int) *pair {
	p := &pair{
		failer: t, costs: costs, table: newTable(locks.Limits{}), model: lockstest.NewModel(),
		names:     [][]byte{nil, []byte("a"), []byte("ab"), []byte("\x00\xff"), bytes.Repeat([]byte("long"), 50)},
		cameAbout: outcomes{errs: make(map[error]int)},
	}
	for i := range clients {
		addr := fmt.Sprint("unix:", i)
		p.clients = append(p.clients, &client{
			real:  locks.NewSession(addr, pairOwner{&p.heard[0], addr}),
			model: locks.NewSession(addr, pairOwner{&p.heard[1], addr}),
		})
	}
	return p
}

// fail tells what was done last.
func (p *pair) fail(format string, args ...any) {
	p.Helper()
	last := []byte(fmt.Sprintf("step %d, after", p.steps))
	for i := max(p.steps-len(p.lastSteps), 0); i < p.steps; i++ {
		last = fmt.Appendf(last, "\n\t%v", p.lastSteps[i%len(p.lastSteps)])
	}
	p.Fatalf("%s:\n"+format, append([]any{last}, args...)...)
}

// do takes one step. A session that waits can only end that or leave: where it
// is to do else, another does it.
func (p *pair) do(s step) {
	if s.what < doLeave && s.what != doTry {
		for range p.clients {
			if !p.clients[s.client].waits {
				break
			}
			s.client = (s.client + 1) % len(p.clients)
		}
	}
	c := p.clients[s.client]
	if c.waits && s.what < doLeave {
		s.what = doTry
	}
	p.lastSteps[p.steps%len(p.lastSteps)] = s
	p.steps++
	p.act(c, s)
	p.compareHeard()
}

func (p *pair) act(c *client, s step) {
	name := p.names[s.name%len(p.names)]
	r := locks.Request{Mode: s.mode, Name: name, Now: p.now, Max: s.argument}
	switch s.what {
	case doGet:
		r.Max = 0
		p.ask(c, r)
	case doTry:
		r.Queue = locks.HonourQueue
		p.ask(c, r)
	case doWait:
		r.Queue = locks.JoinQueue
		p.ask(c, r)
	case doRelease:
		got, want := p.table.Release(c.real, s.mode, name, p.now), p.model.Release(c.model, s.mode, name, p.now)
		if got != want {
			p.fail("release: %t, want %t", got, want)
		}
	case doLeave:
		p.leave(c)
	case doBreak:
		p.breakLock(s.mode, name, s.argument)
	case doLimit:
		p.table.SetLimits(locks.Limits{SessionHolds: s.argument})
		p.model.SessionHolds = s.argument
	case doPass:
		p.now += 1 << s.argument
	}
}

func (p *pair) ask(c *client, r locks.Request) {
	got, err := p.table.Get(c.real, r)
	want, wantErr := p.model.Get(c.model, r)
	if !sameResult(got, want) || !errors.Is(err, wantErr) {
		p.fail("get: %+v, %v; want %+v, %v", got, err, want, wantErr)
	}
	if c.waits && wantErr == nil {
		p.cameAbout.waitGranted++
	}
	c.waits = errors.Is(wantErr, locks.ErrWaiting)
	p.cameAbout.errs[wantErr]++
}

func sameResult(a, b locks.Result) bool {
	if (a.Holder == nil) != (b.Holder == nil) || a.Holder != nil && a.Holder.Addr() != b.Holder.Addr() {
		return false
	}
	a.Holder, b.Holder = nil, nil
	return a == b
}

func (p *pair) leave(c *client) {
	if c.waits && p.model.Granted(c.model) {
		p.cameAbout.leftGranted++
	}
	if got, want := p.table.Leave(c.real, p.now), p.model.Leave(c.model, p.now); got != want {
		p.Fatalf("%d holds are left behind, want %d", got, want)
	}
	c.waits = false
}

// breakLock breaks a lock by 0, by a token that nobody has, or by one of those
// who hold it, which n chooses.
func (p *pair) breakLock(m locks.Mode, name []byte, n int) {
	token := uint64(0)
	if held := slices.Collect(p.model.List(locks.Query{Exclusive: m == locks.Exclusive, Shared: m == locks.Shared, Name: name, Exact: true})); n%4 == 1 {
		token = p.lastTokens + uint64(n)
	} else if n%4 > 1 && len(held) > 0 {
		token = held[n%len(held)].Token
	}
	got, want := p.table.Break(m, name, token), p.model.Break(m, name, token)
	if !slices.EqualFunc(got, want, func(a, b *locks.Session) bool { return a.Addr() == b.Addr() }) {
		p.fail("break by %d: %d sessions, want %d", token, len(got), len(want))
	}
}

// compareHeard wants the owners of both to have been told the same since the last
// time, in the same order.
func (p *pair) compareHeard() {
	got, want := &p.heard[0], &p.heard[1]
	if !slices.Equal(got.events, want.events) || !slices.Equal(got.calls, want.calls) {
		p.fail("told are %v and %v, want %v and %v", got.events, got.calls, want.events, want.calls)
	}
	for _, e := range got.events {
		switch e.Kind {
		case locks.Granted:
			if e.Token <= p.lastTokens {
				p.fail("the token %d is granted after %d", e.Token, p.lastTokens)
			}
			p.lastTokens = e.Token
			p.cameAbout.granted++
		case locks.Forced:
			p.cameAbout.forced++
		}
	}
	for i := range p.heard {
		p.heard[i].events, p.heard[i].calls = p.heard[i].events[:0], p.heard[i].calls[:0]
	}
}

// compare looks at the table and the model from every side, from some only now
// and then.
func (p *pair) compare() {
	p.compareStats()
	if p.steps%8 == 0 {
		p.compareDurations()
	}
	both := locks.Query{Exclusive: true, Shared: true, Waiters: true}
	p.compareList(both)
	for m, q := range [...]locks.Query{locks.Exclusive: {Exclusive: true}, locks.Shared: {Shared: true}} {
		if m == p.steps%2 {
			p.compareList(q)
		}
		for _, name := range p.names {
			if got, want := p.table.Inspect(locks.Mode(m), name), p.model.Inspect(locks.Mode(m), name); got != want {
				p.fail("inspect %q of mode %d: %d, want %d", name, m, got, want)
			}
			q.Name, q.Exact, q.Waiters = name, true, true
			p.compareList(q)
		}
	}
	both.Name = p.names[p.steps%len(p.names)]
	p.compareList(both)
	for _, c := range p.clients {
		if got, want := c.real.Holds(), p.model.Holds(c.model); got != want {
			p.fail("%s holds %d, want %d", c.real.Addr(), got, want)
		}
		if got, want := c.real.Granted(), p.model.Granted(c.model); got != want {
			p.fail("%s is granted what it waits for: %t, want %t", c.real.Addr(), got, want)
		}
	}
}

func (p *pair) compareStats() {
	got, want := p.table.Stats(), p.model.Stats()
	want.Bytes = p.costs.of(want)
	if got != want {
		p.fail("stats: %+v, want %+v", got, want)
	}
}

func (p *pair) compareDurations() {
	gotExclusive, gotShared := p.table.Durations()
	wantExclusive, wantShared := p.model.Durations()
	if gotExclusive != wantExclusive || gotShared != wantShared {
		p.fail("durations:\n%+v\n%+v, want\n%+v\n%+v", gotExclusive, gotShared, wantExclusive, wantShared)
	}
}

func (p *pair) compareList(q locks.Query) {
	if got, want := slices.Collect(p.table.List(q)), slices.Collect(p.model.List(q)); !slices.EqualFunc(got, want, sameEntry) {
		p.fail("the answer to %+v: %+v, want %+v", q, got, want)
	}
}

func sameEntry(a, b locks.Entry) bool {
	return bytes.Equal(a.Name, b.Name) && a.Session.Addr() == b.Session.Addr() && a.Token == b.Token &&
		a.Since == b.Since && a.Max == b.Max && a.Mode == b.Mode && a.Waiting == b.Waiting
}

// end lets all leave: then nothing is held, and no byte counted.
func (p *pair) end() {
	for _, c := range p.clients {
		p.leave(c)
	}
	p.compareHeard()
	p.compare()
	p.compareDurations()
	if got := p.table.Stats(); got.Bytes != 0 || got.Exclusive.Locks+got.Shared.Locks != 0 {
		p.fail("when all have left: %+v", got)
	}
}

// costs are the bytes counted for each thing. What is counted must depend on
// what is there alone, not on how that came to be.
type costs struct {
	lock       [2]int64 // with its first hold, by mode
	hold, wait int64    // hold: a further one of a shared lock
}

// measure lets a table that is empty say what things cost.
func measure(t testing.TB) costs {
	t.Helper()
	table, counted := newTable(locks.Limits{}), int64(0)
	more := func() int64 {
		before := counted
		counted = table.Stats().Bytes
		return counted - before
	}
	var c costs
	mustGet(t, table, locks.NewSession("a", nil), locks.Exclusive, "")
	c.lock[locks.Exclusive] = more()
	mustGet(t, table, locks.NewSession("b", nil), locks.Shared, "")
	c.lock[locks.Shared] = more()
	mustGet(t, table, locks.NewSession("c", nil), locks.Shared, "")
	c.hold = more()
	mustWait(t, table, locks.NewSession("d", nil), locks.Shared, "")
	c.wait = more()
	if min(c.lock[locks.Exclusive], c.lock[locks.Shared], c.hold, c.wait) <= 0 {
		t.Fatalf("counted are %+v", c)
	}
	return c
}

func (c costs) of(s locks.Stats) (bytes int64) {
	for m, of := range []locks.ModeStats{s.Exclusive, s.Shared} {
		bytes += int64(of.NameBytes) + c.lock[m]*int64(of.Locks) + c.hold*int64(of.Holders-of.Locks) + c.wait*int64(of.Waiters)
	}
	return bytes
}
