package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"lockd/internal/locks"
)

const (
	// simSecondsVariable has the simulation go on for longer.
	simSecondsVariable = "LOCKD_SIM_SECONDS"
	// simSeedVariable has it begin with a world that failed.
	simSeedVariable = "LOCKD_SIM_SEED"
)

// simTime is how long worlds are made. With the race detector, on two cores, that
// is some 80,000 steps, in each of which a few clients do something at once.
const simTime = 12 * time.Second

func simNumber(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestNoScheduleBreaksAPromise lives through random worlds under virtual time:
// many clients of one server wait for few locks, cancel, leave in all ways, and
// are disconnected, much of it at once.
func TestNoScheduleBreaksAPromise(t *testing.T) {
	limit := simTime
	if testing.Short() {
		limit /= 4
	}
	end := time.Now().Add(time.Duration(simNumber(t, simSecondsVariable, uint64(limit/time.Second))) * time.Second)
	seed := simNumber(t, simSeedVariable, rand.Uint64())
	var all simSums
	for time.Now().Before(end) {
		synctest.Test(t, func(t *testing.T) {
			w := newSimWorld(t, seed)
			w.live(w.profile.steps)
			w.finish()
			all.add(w)
		})
		seed++
	}
	t.Logf("%+v", all)
	all.want(t)
}

// simSums are the sums over many worlds.
type simSums struct {
	Worlds, Steps, Commands, Answers, Exact, Events int
	Fates                                           [simBroken + 1]int
	Reasons                                         map[string]int
}

func (s *simSums) add(w *simWorld) {
	if s.Reasons == nil {
		s.Reasons = make(map[string]int)
	}
	s.Worlds++
	s.Steps += w.step
	s.Exact += w.tally.exact
	s.Events += w.tally.events
	for v, n := range w.tally.sent {
		s.Commands += int(n)
		s.Answers += int(w.tally.answered[v])
	}
	for fate, n := range w.tally.fates {
		s.Fates[fate] += n
	}
	for reason, n := range w.tally.reasons {
		s.Reasons[reason] += n
	}
}

// want wants everything to have come about, and not just by a rare chance.
func (s *simSums) want(t *testing.T) {
	t.Helper()
	least := s.Steps / 2000
	for _, reason := range []string{"granted", "granted at once", "held", "queue", "limit", "timeout", "cancelled", "draining"} {
		if s.Reasons[reason] <= least && reason != "draining" || s.Reasons[reason] == 0 {
			t.Errorf("%s came about %d times", reason, s.Reasons[reason])
		}
	}
	for _, n := range s.Fates[simHalfCloses:] {
		if n <= least {
			t.Errorf("the ends of clients were %v", s.Fates)
		}
	}
	if s.Exact <= s.Steps/50 || s.Events <= s.Steps/50 {
		t.Errorf("too little was looked at: %+v", s)
	}
}

// finish ends the server in one of the ways there are, and wants nothing left.
func (w *simWorld) finish() {
	w.audit()
	switch w.dice.below(3) {
	case 0:
		w.closes()
		w.destroy(w.srv.Destroy)
	case 1:
		w.closeSlowly()
	default:
		w.allLeave()
		at := w.srv.now()
		if err := w.srv.Close(context.Background()); err != nil || w.srv.now() != at {
			w.fail("Close without clients: %v after %v", err, w.srv.now()-at)
		}
	}
	synctest.Wait()
	w.collect()
	w.wantEmpty()
}

// closes notes that the server begins to close.
func (w *simWorld) closes() { w.closing, w.closedAt, w.closeStep = true, w.srv.now(), w.step }

// destroy has all clients disconnected, and believes no event of that, as the
// observer may miss some. What they hold then is orphaned; those who
// wait may get a lock before, and do what they have sent behind the wait.
func (w *simWorld) destroy(do func()) {
	w.destroyed = true
	for _, c := range w.clients {
		for key := range c.holds {
			left := &w.left[key.mode]
			if len(c.pending) > 0 {
				left.doubt++
			} else {
				left.least++
			}
		}
		for _, command := range c.pending {
			w.left[command.key.mode].doubt++
		}
	}
	do()
}

// allLeave has all clients leave, the observer last.
func (w *simWorld) allLeave() {
	for _, c := range w.living() {
		w.end(c, w.drawFate(c))
	}
	w.settle()
	w.audit()
	w.end(w.observer, simHalfCloses)
	w.settle()
}

// simGrace is how long a Close waits.
const simGrace = 300 * time.Millisecond

// closeSlowly closes the server while its clients go on. In the end either they
// leave, or the grace is over.
func (w *simWorld) closeSlowly() {
	ctx, cancel := context.WithTimeout(context.Background(), simGrace)
	defer cancel()
	w.closes()
	var err error
	var at time.Duration
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		err = w.srv.Close(ctx)
		at = w.srv.now()
	}()
	w.live(40) // at most 3 ms each
	w.audit()
	select {
	case <-closed:
		w.fail("Close returns %v at %v, while there are clients", err, at)
	default:
	}
	want, wantErr := w.closedAt+simGrace, context.DeadlineExceeded
	if w.dice.below(2) == 0 {
		w.allLeave()
		want, wantErr = w.srv.now(), nil
	}
	w.destroy(func() { <-closed })
	if !errors.Is(err, wantErr) || at != want {
		w.fail("Close returns %v at %v, want %v at %v", err, at, wantErr, want)
	}
}

// wantEmpty wants nothing to be left of anybody.
func (w *simWorld) wantEmpty() {
	if len(w.clients) > 0 {
		w.fail("%d clients are still there", len(w.clients))
	}
	st := w.srv.Stats()
	if st.Connections() != 0 || st.Watchers != 0 || st.Locks.Waiting || st.Locks.Bytes != 0 {
		w.fail("the server is left with %+v", st)
	}
	w.wantNoLocks(locks.Exclusive, st.Locks.Exclusive)
	w.wantNoLocks(locks.Shared, st.Locks.Shared)
	if entries := slices.Collect(w.table.List(locks.Query{Exclusive: true, Shared: true, Waiters: true})); len(entries) > 0 {
		w.fail("the table is left with %+v", entries)
	}
	if named, conns := w.srv.registry.list(), w.srv.Conns(); len(named)+len(conns) > 0 {
		w.fail("the server is left with %v and the names of %v", conns, named)
	}
}

// wantNoLocks wants all that was held when the observer saw its last event to be
// orphans.
func (w *simWorld) wantNoLocks(m locks.Mode, got locks.ModeStats) {
	orphans := simRange{w.tally.orphans[m] + w.left[m].least, w.left[m].doubt}
	if got != (locks.ModeStats{Orphans: got.Orphans}) || !orphans.has(got.Orphans) {
		w.fail("of mode %d, %+v is left, want %+v orphans", m, got, orphans)
	}
}
