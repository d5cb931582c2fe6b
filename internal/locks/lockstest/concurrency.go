package lockstest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"lockd/internal/locks"
)

func concurrencyTests() []subtest {
	return []subtest{
		{"many sessions at once exclude each other and leave nothing behind", testContention},
		{"a lock of one's own is never refused", testOwnLocks},
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
			tester: t, hots: &hots, session: locks.NewSession(fmt.Sprint("unix:", i)),
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
	n, err := w.table.Get(w.session, m, w.hots[i].name)
	switch {
	case err == nil && (n < 1 || n > workers || m == locks.Exclusive && n != 1):
		w.Errorf("get %s: %d holders", modeWord(m), n)
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
	if got := w.table.Release(w.session, m, w.hots[i].name); got != had {
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
	w.table.Leave(w.session)
	w.holds = [len(modes)][hotNames]bool{}
	if n := w.session.Holds(); n != 0 {
		w.Errorf("a session holds %d locks after it left", n)
	}
}

// checkListing wants every lock once, sorted, with no holder twice, and what
// the worker holds itself among them.
func (w *worker) checkListing(m locks.Mode) {
	all := w.table.List(m)
	mine := 0
	for i, h := range all {
		if i > 0 && bytes.Compare(all[i-1].Name, h.Name) >= 0 {
			w.Errorf("%q is listed before %q", all[i-1].Name, h.Name)
		}
		if len(h.Holders) == 0 || m == locks.Exclusive && len(h.Holders) > 1 {
			w.Errorf("%s %q is listed with %d holders", modeWord(m), h.Name, len(h.Holders))
		}
		seen := make(map[*locks.Session]bool)
		for _, s := range h.Holders {
			if seen[s] {
				w.Errorf("%s %q is listed with a holder twice", modeWord(m), h.Name)
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
			s := locks.NewSession(fmt.Sprint("unix:", i))
			for n := range 500 {
				name := fmt.Appendf(nil, "%d/%d", i, n%50)
				if _, err := t.table.Get(s, locks.Exclusive, name); err != nil {
					t.Errorf("get %q: %v", name, err)
				}
				if n%3 == 0 && !t.table.Release(s, locks.Exclusive, name) {
					t.Errorf("%q is not released", name)
				}
			}
			t.table.Leave(s)
		})
	}
	running.Wait()
	if got := t.table.Stats(); got.Exclusive.Locks != 0 || got.Exclusive.Holders != 0 || got.Bytes != 0 {
		t.Errorf("stats after all left: %+v", got)
	}
}
