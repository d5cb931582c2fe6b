package lockstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lockd/internal/locks"
)

const (
	crowdSize   = 20
	crowdVisits = 800
	crowdLimit  = 3 // holders of a shared lock
)

// A crowd is many members that want a few locks and wait for them.
type crowd struct {
	*tester
	done   <-chan struct{} // closed when it has taken too long
	clock  atomic.Int64    // counts what happens
	places [4]place
}

// A place is a lock that they want. Counter is changed only by who holds it
// exclusively, without any other protection; inside are who know that they hold it.
type place struct {
	mode    locks.Mode
	name    string
	limit   int
	counter int
	inside  atomic.Int64
}

func testCrowd(t *tester) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := &crowd{tester: t, done: ctx.Done()}
	for i := range c.places {
		p := &c.places[i]
		p.mode, p.name, p.limit = modes[i%2], fmt.Sprintf("place/%d", i/2), 1
		if p.mode == locks.Shared {
			p.limit = crowdLimit
		}
	}
	var members [crowdSize]*member
	var running sync.WaitGroup
	for i := range members {
		members[i] = c.member(i)
		running.Go(members[i].run)
	}
	running.Wait()
	c.check(members[:])
}

// check wants what all members saw to fit together.
func (c *crowd) check(members []*member) {
	var sum tally
	var changes [len(c.places)]int
	asked := make([][]asking, len(c.places))
	for _, m := range members {
		sum.add(&m.tally)
		for i := range c.places {
			changes[i] += m.changes[i]
			asked[i] = append(asked[i], m.asked[i]...)
		}
	}
	for i := range c.places {
		p := &c.places[i]
		if p.counter != changes[i] || p.inside.Load() != 0 {
			c.Errorf("%s was changed %d times and %d were kept; %d are inside", p.name, changes[i], p.counter, p.inside.Load())
		}
		c.checkOrder(p, asked[i])
	}
	for _, m := range modes {
		if begun, ended := sum.kinds[m][locks.Granted], sum.ended(m); begun != ended || sum.orphans[m] != sum.left(m) {
			c.Errorf("%s: %d holds began, %d ended; %d were to be orphaned and %d were", modeWord(m), begun, ended, sum.orphans[m], sum.left(m))
		}
	}
	if sum.granted == 0 || sum.withdrawn == 0 || sum.leftWaiting == 0 || sum.kinds[locks.Exclusive][locks.Forced] == 0 {
		c.Errorf("too little came about: %+v", sum)
	}
	c.empty(sum.orphans[locks.Exclusive], sum.orphans[locks.Shared])
}

// An asking is a request that was granted: when it was made by the crowd's clock,
// and the token it got.
type asking struct {
	before, after int64
	token         uint64
}

// checkOrder wants who surely asked before another to have the lower token.
func (c *crowd) checkOrder(p *place, asked []asking) {
	slices.SortFunc(asked, func(a, b asking) int { return cmp.Compare(a.token, b.token) })
	latest := asking{}
	for i, a := range asked {
		if i > 0 && a.token == asked[i-1].token {
			c.Errorf("%s %s: two grants have the token %d", modeWord(p.mode), p.name, a.token)
		}
		if a.after < latest.before {
			c.Errorf("%s %s: who asked between %d and %d was served before who did between %d and %d",
				modeWord(p.mode), p.name, latest.before, latest.after, a.before, a.after)
		}
		if a.before > latest.before {
			latest = a
		}
	}
}

// A tally counts what came about.
type tally struct {
	kinds                                    [len(modes)][locks.Forced + 1]uint64
	orphans                                  [len(modes)]uint64 // as its session knows
	granted, withdrawn, leftWaiting, leftNew int                // outcomes of waits
}

func (y *tally) add(other *tally) {
	for _, m := range modes {
		for kind, n := range other.kinds[m] {
			y.kinds[m][kind] += n
		}
		y.orphans[m] += other.orphans[m]
	}
	y.granted += other.granted
	y.withdrawn += other.withdrawn
	y.leftWaiting += other.leftWaiting
	y.leftNew += other.leftNew
}

// left returns how many holds ended by their session's leaving.
func (y *tally) left(m locks.Mode) uint64 {
	return y.kinds[m][locks.Orphaned] + y.kinds[m][locks.Forced]
}

func (y *tally) ended(m locks.Mode) uint64 { return y.left(m) + y.kinds[m][locks.Released] }

// A member of the crowd is the owner of its session.
type member struct {
	*crowd
	session *locks.Session
	random  *rand.Rand
	signal  chan struct{} // has room for one grant, of which each wait has no more
	breaks  atomic.Bool

	// These belong to who acts for the session, which never are two at once.
	tally
	token   uint64 // of the last grant
	heard   bool   // the signal of the wait that goes on
	holds   [4]bool
	changes [4]int
	asked   [4][]asking
}

func (c *crowd) member(i int) *member {
	m := &member{crowd: c, random: rand.New(rand.NewPCG(2, uint64(i))), signal: make(chan struct{}, 1)}
	m.session = locks.NewSession(fmt.Sprint("unix:", i), m)
	return m
}

// Granted is told by who makes room.
func (m *member) Granted() {
	select {
	case m.signal <- struct{}{}:
	default:
		m.Errorf("%s is told twice of a grant", m.session.Addr())
	}
}

// Break is told by whoever breaks a lock.
func (m *member) Break() { m.breaks.Store(true) }

// Happened is not told of two events of one session at once: the race detector
// would see it.
func (m *member) Happened(e locks.Event) {
	m.kinds[e.Mode][e.Kind]++
	if e.Kind == locks.Granted {
		m.token = e.Token
	}
}

func (m *member) run() {
	for range crowdVisits {
		i := m.random.IntN(len(m.places))
		switch n := m.random.IntN(40); {
		case m.breaks.Swap(false), n == 0:
			m.leave()
		case n == 1:
			m.table.Break(m.places[i].mode, []byte(m.places[i].name), m.token*uint64(m.random.IntN(2)))
		case n == 2:
			m.look(i)
		case m.holds[i]:
			m.part(i)
		default:
			m.visit(i)
		}
	}
	m.leave()
}

func (m *member) request(i int) locks.Request {
	p := &m.places[i]
	return locks.Request{
		Mode: p.mode, Name: []byte(p.name), Now: time.Duration(m.clock.Add(1)), Max: p.limit, Queue: locks.JoinQueue,
	}
}

// visit asks for a lock and waits for it: to the end, or some moments.
func (m *member) visit(i int) {
	before := m.clock.Add(1)
	r, err := m.table.Get(m.session, m.request(i))
	asked := asking{before: before, after: m.clock.Add(1)}
	if err == nil {
		m.enter(i, asked, r)
		return
	}
	if !errors.Is(err, locks.ErrWaiting) {
		m.Errorf("a request that may wait: %v", err)
		return
	}
	if n := m.random.IntN(8); m.holds != [4]bool{} || n < 3 { // who holds something must not wait for ever
		m.hesitate()
	} else {
		m.await()
		if n == 3 {
			m.hesitate()
		}
	}
	if m.random.IntN(6) == 0 {
		m.leaveWaiting(i, asked)
		return
	}
	m.end(i, asked)
}

func (m *member) hesitate() { pass(m.random.IntN(20)) }

// await waits until it is told.
func (m *member) await() {
	select {
	case <-m.signal:
		m.heard = true
	case <-m.done:
		m.Errorf("%s is not served", m.session.Addr())
	}
}

// end asks what became of the wait. It is told of a grant exactly where there is
// one.
func (m *member) end(i int, asked asking) {
	r, err := m.table.Get(m.session, m.request(i))
	switch told := m.told(); {
	case err == nil && told:
		m.granted++
		m.enter(i, asked, r)
	case errors.Is(err, locks.ErrQueue) && !told:
		m.withdrawn++
	default:
		m.Errorf("a wait ends with %+v, %v; it is told of a grant: %t", r, err, told)
	}
}

// told tells, once a wait is over, whether there was word of its grant.
func (m *member) told() bool {
	heard := m.heard
	m.heard = false
	select {
	case <-m.signal:
		if heard {
			m.Errorf("%s has been told twice of a grant", m.session.Addr())
		}
		return true
	default:
		return heard
	}
}

// leaveWaiting leaves during a wait, which may have been granted.
func (m *member) leaveWaiting(i int, asked asking) {
	m.leave()
	m.leftWaiting++
	if m.told() {
		m.leftNew++
		m.orphans[m.places[i].mode]++
		asked.token = m.token
		m.asked[i] = append(m.asked[i], asked)
	}
}

// enter is done by who holds the lock.
func (m *member) enter(i int, asked asking, r locks.Result) {
	p := &m.places[i]
	if r.Token != m.token || r.Holders < 1 || r.Holders > p.limit || r.Waited < 0 {
		m.Errorf("%s %s is granted with %+v, the event had the token %d", modeWord(p.mode), p.name, r, m.token)
	}
	asked.token = r.Token
	m.asked[i] = append(m.asked[i], asked)
	m.holds[i] = true
	if n := p.inside.Add(1); n > int64(p.limit) {
		m.Errorf("%d are inside %s, of which at most %d can be", n, p.name, p.limit)
	}
	m.change(i)
	if m.random.IntN(3) == 0 {
		m.hesitate()
	}
	if again, err := m.table.Get(m.session, m.request(i)); err != nil || again.Token != r.Token {
		m.Errorf("asked again, %+v becomes %+v, %v", r, again, err)
	}
	if m.random.IntN(2) == 0 {
		m.part(i)
	}
}

func (m *member) change(i int) {
	if m.places[i].mode == locks.Exclusive {
		m.places[i].counter++
		m.changes[i]++
	}
}

// part releases the lock.
func (m *member) part(i int) {
	p := &m.places[i]
	m.exit(i)
	if !m.table.Release(m.session, p.mode, []byte(p.name), time.Duration(m.clock.Add(1))) {
		m.Errorf("%s %s is not released", modeWord(p.mode), p.name)
	}
}

func (m *member) exit(i int) {
	m.change(i)
	m.holds[i] = false
	m.places[i].inside.Add(-1)
}

func (m *member) leave() {
	for i, holds := range m.holds {
		if holds {
			m.exit(i)
			m.orphans[m.places[i].mode]++
		}
	}
	m.table.Leave(m.session, time.Duration(m.clock.Add(1)))
}

// look wants the table to show nothing that cannot be.
func (m *member) look(i int) {
	p := &m.places[i]
	q := queryOf(p.mode)
	q.Name, q.Exact, q.Waiters = []byte(p.name), true, true
	holders, seen := 0, make(map[*locks.Session]bool)
	for _, e := range slices.Collect(m.table.List(q)) {
		if seen[e.Session] || e.Waiting != (e.Token == 0) {
			m.Errorf("%s is listed twice or wrongly: %+v", e.Session.Addr(), e)
		}
		seen[e.Session] = true
		if !e.Waiting {
			holders++
		}
	}
	if holders > p.limit || holders == 0 && len(seen) > 0 || seen[m.session] != m.holds[i] {
		m.Errorf("%s %s: %d holders and %d waiters are listed, who asks among them: %t",
			modeWord(p.mode), p.name, holders, len(seen)-holders, seen[m.session])
	}
	if n := m.table.Inspect(p.mode, []byte(p.name)); n > p.limit {
		m.Errorf("%s %s: %d holders", modeWord(p.mode), p.name, n)
	}
	// While they are added up, who waits may go from one lock to the other.
	if got := m.table.Stats(); got.Exclusive.Waiters+got.Shared.Waiters > crowdSize*uint64(len(m.places)) || got.Bytes < 0 {
		m.Errorf("stats: %+v", got)
	}
}
