package lockstest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"lockd/internal/locks"
)

func concurrencyTests() []subtest {
	return []subtest{
		{"many sessions at once exclude each other and leave nothing behind", testContention},
		{"a lock of one's own is never refused", testOwnLocks},
		{"a grant and a withdrawal in the same moment are one or the other", testSameMoment},
		{"of many who wait for a lock and give up at once, each holds what it is told it was granted", testImpatient},
		{"of many who wait, withdraw, leave and are broken, each is served once and in order", testCrowd},
	}
}

const (
	workers   = 16
	hotNames  = 3
	workerOps = 4_000
)

// A hot is a lock that all workers want. Counter is changed only by who holds
// the exclusive lock, without any other protection: where two do, the race
// detector tells, or a change is lost.
type hot struct {
	name    []byte
	counter int
}

func testContention(t *tester) {
	var hots [hotNames]hot
	for i := range hots {
		hots[i].name = fmt.Appendf(nil, "hot/%d", i)
	}
	var all [workers]worker
	var running sync.WaitGroup
	for i := range all {
		all[i] = worker{
			tester: t, hots: &hots, session: locks.NewSession(fmt.Sprint("unix:", i), nil),
			random: rand.New(rand.NewPCG(1, uint64(i))),
		}
		running.Go(all[i].run)
	}
	running.Wait()
	checkWorkers(t, all[:], hots[:])
}

func checkWorkers(t *tester, all []worker, hots []hot) {
	var orphans [len(modes)]uint64
	var changes [hotNames]int
	for i := range all {
		for _, m := range modes {
			orphans[m] += all[i].orphans[m]
		}
		for n, c := range all[i].changes {
			changes[n] += c
		}
	}
	for i := range hots {
		if hots[i].counter != changes[i] || changes[i] == 0 {
			t.Errorf("%s was changed %d times, and %d were kept", hots[i].name, changes[i], hots[i].counter)
		}
		for _, m := range modes {
			t.inspect(m, string(hots[i].name), 0)
		}
	}
	if orphans[locks.Exclusive] == 0 || orphans[locks.Shared] == 0 {
		t.Errorf("nothing was orphaned: %v", orphans)
	}
	t.empty(orphans[locks.Exclusive], orphans[locks.Shared])
}

// A worker is a client that does what comes to its mind.
type worker struct {
	*tester
	hots    *[hotNames]hot
	session *locks.Session
	random  *rand.Rand
	holds   [len(modes)][hotNames]bool
	changes [hotNames]int
	orphans [len(modes)]uint64
}

func (w *worker) run() {
	for range workerOps {
		m, i := modes[w.random.IntN(2)], w.random.IntN(hotNames)
		switch w.random.IntN(40) {
		case 0:
			w.leave()
		case 1:
			w.checkListing(m)
		case 2:
			w.checkStats()
		case 3, 4, 5, 6:
			w.inspect(m, i)
		default:
			if w.random.IntN(2) == 0 {
				w.get(m, i)
			} else {
				w.release(m, i)
			}
		}
	}
	w.leave()
}

func (w *worker) get(m locks.Mode, i int) {
	had := w.holds[m][i]
	r, err := w.table.Get(w.session, locks.Request{Mode: m, Name: w.hots[i].name})
	switch {
	case err == nil && (r.Holders < 1 || r.Holders > workers || m == locks.Exclusive && r.Holders != 1):
		w.Errorf("get %s: %d holders", modeWord(m), r.Holders)
	case err != nil && (m == locks.Shared || had || !errors.Is(err, locks.ErrHeld)):
		w.Errorf("get %s, held before: %t: %v", modeWord(m), had, err)
	case err == nil:
		w.holds[m][i] = true
		w.change(m, i)
	}
}

// change counts one up where the lock, held at this moment, allows it.
func (w *worker) change(m locks.Mode, i int) {
	if m == locks.Exclusive {
		w.hots[i].counter++
		w.changes[i]++
	}
}

func (w *worker) release(m locks.Mode, i int) {
	had := w.holds[m][i]
	if had {
		w.change(m, i)
	}
	if got := w.table.Release(w.session, m, w.hots[i].name, 0); got != had {
		w.Errorf("release %s: %t", modeWord(m), got)
	}
	w.holds[m][i] = false
}

func (w *worker) inspect(m locks.Mode, i int) {
	n := w.table.Inspect(m, w.hots[i].name)
	if n < 0 || n > workers || m == locks.Exclusive && n > 1 || w.holds[m][i] && n == 0 {
		w.Errorf("inspect %s, held by the asking one: %t: %d", modeWord(m), w.holds[m][i], n)
	}
}

func (w *worker) leave() {
	for m := range w.holds {
		for i, held := range w.holds[m] {
			if held {
				w.change(modes[m], i)
				w.orphans[m]++
			}
		}
	}
	w.table.Leave(w.session, 0)
	w.holds = [len(modes)][hotNames]bool{}
	if n := w.session.Holds(); n != 0 {
		w.Errorf("a session holds %d locks after it left", n)
	}
}

// checkListing wants every lock once, sorted, with no holder twice, and what
// the worker holds itself among them.
func (w *worker) checkListing(m locks.Mode) {
	all := byLock(slices.Collect(w.table.List(queryOf(m))))
	mine := 0
	for i, l := range all {
		if i > 0 && all[i-1].name >= l.name {
			w.Errorf("%q is listed before %q", all[i-1].name, l.name)
		}
		if m == locks.Exclusive && len(l.holders) > 1 {
			w.Errorf("%s %q is listed with %d holders", modeWord(m), l.name, len(l.holders))
		}
		seen := make(map[*locks.Session]bool)
		for _, s := range l.holders {
			if seen[s] {
				w.Errorf("%s %q is listed with a holder twice", modeWord(m), l.name)
			}
			seen[s] = true
		}
		if seen[w.session] {
			mine++
		}
	}
	if mine != w.held(m) {
		w.Errorf("%d %s locks of a session are listed, which holds %d", mine, modeWord(m), w.held(m))
	}
}

func (w *worker) held(m locks.Mode) (n int) {
	for _, held := range w.holds[m] {
		if held {
			n++
		}
	}
	return n
}

// checkStats wants numbers that can be: they change while they are added up.
func (w *worker) checkStats() {
	got := w.table.Stats()
	for _, m := range modes {
		of := got.Exclusive
		if m == locks.Shared {
			of = got.Shared
		}
		mine := uint64(w.held(m))
		if of.Locks < mine || of.Locks > hotNames || of.Holders < of.Locks || of.Holders > hotNames*workers {
			w.Errorf("%s counters: %+v, while the asking session holds %d", modeWord(m), of, mine)
		}
	}
}

func testOwnLocks(t *tester) {
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() {
			s := locks.NewSession(fmt.Sprint("unix:", i), nil)
			for n := range 500 {
				name := fmt.Appendf(nil, "%d/%d", i, n%50)
				if _, err := t.table.Get(s, locks.Request{Mode: locks.Exclusive, Name: name}); err != nil {
					t.Errorf("get %q: %v", name, err)
				}
				if n%3 == 0 && !t.table.Release(s, locks.Exclusive, name, 0) {
					t.Errorf("%q is not released", name)
				}
			}
			t.table.Leave(s, 0)
		})
	}
	running.Wait()
	if got := t.table.Stats(); got.Exclusive.Locks != 0 || got.Exclusive.Holders != 0 || got.Bytes != 0 {
		t.Errorf("stats after all left: %+v", got)
	}
}

// A counter is an owner that counts the grants it is told of.
type counter struct{ granted atomic.Int64 }

func (c *counter) Granted()           { c.granted.Add(1) }
func (*counter) Break()               {}
func (*counter) Happened(locks.Event) {}

// testSameMoment has one release a lock while another, which waits for it, gives
// up or leaves.
func testSameMoment(t *tester) {
	const rounds = 10_000
	random, told := rand.New(rand.NewPCG(3, 3)), new(counter)
	a, b := locks.NewSession("a", nil), locks.NewSession("b", told)
	begin, released := make(chan int), make(chan struct{}, 1)
	var running sync.WaitGroup
	running.Go(func() {
		for moments := range begin {
			pass(moments)
			t.table.Release(a, locks.Exclusive, []byte("x"), 0)
			released <- struct{}{}
		}
	})
	defer running.Wait()
	defer close(begin)
	orphans, granted := uint64(0), 0
	for i := range rounds {
		told.granted.Store(0)
		t.get(a, locks.Exclusive, "x", 1)
		if _, err := t.askToWait(b, locks.Exclusive, "x", 0); !errors.Is(err, locks.ErrWaiting) {
			t.Fatalf("a wait: %v", err)
		}
		begin <- random.IntN(4)
		pass(random.IntN(4))
		if i%2 == 0 {
			granted += t.endAtOnce(b, told)
		} else {
			t.leave(b)
			orphans += uint64(told.granted.Load())
		}
		<-released
		if n := told.granted.Load(); n > 1 {
			t.Fatalf("a wait has been told of %d grants", n)
		}
	}
	if granted == 0 || granted == rounds/2 || orphans == 0 || orphans == rounds/2 {
		t.Errorf("of %d waits that gave up and as many that left, %d and %d were granted", rounds/2, granted, orphans)
	}
	t.empty(orphans, 0)
}

// testImpatient has many at the lock at the very same time.
func testImpatient(t *tester) {
	const rounds = 10_000
	var running sync.WaitGroup
	for i := range workers / 2 {
		running.Go(func() {
			told := new(counter)
			s := locks.NewSession(fmt.Sprint("unix:", i), told)
			for range rounds {
				told.granted.Store(0)
				if _, err := t.askToWait(s, locks.Exclusive, "x", 0); errors.Is(err, locks.ErrWaiting) {
					t.endAtOnce(s, told)
				} else if err != nil || !t.table.Release(s, locks.Exclusive, []byte("x"), 0) {
					t.Errorf("a lock is granted at once, and not held: %v", err)
				}
			}
		})
	}
	running.Wait()
	t.empty(0, 0)
}

// pass lets others run some times.
func pass(moments int) {
	for range moments {
		runtime.Gosched()
	}
}

// endAtOnce ends the wait of s for x, which is told of a grant exactly where it
// holds the lock then. It returns the number of grants.
func (t *tester) endAtOnce(s *locks.Session, told *counter) int {
	r, err := t.table.Get(s, locks.Request{})
	n := told.granted.Load()
	held := t.table.Release(s, locks.Exclusive, []byte("x"), 0)
	if held != (err == nil) || held != (n == 1) || held != (r.Token != 0) {
		t.Errorf("a wait ends with %+v, %v and is told of %d grants; the lock was held: %t", r, err, n, held)
	}
	return int(n)
}
