package locks_test

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"weak"

	"lockd/internal/locks"
)

func wantNoAllocations(t *testing.T, f func()) {
	t.Helper()
	if allocs := testing.AllocsPerRun(1000, f); allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}

func TestTheSteadyStateAllocatesNothing(t *testing.T) {
	table, s, other := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil)
	names := [][]byte{[]byte("some/lock"), []byte("some/other/lock"), {}}
	mustGet(t, table, other, locks.Exclusive, "taken")
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		wantNoAllocations(t, func() {
			for _, name := range names {
				_, _ = table.Get(s, request(m, name))
				_, _ = table.Get(s, request(m, name))
			}
			for _, name := range names {
				table.Release(s, m, name, 0)
			}
		})
		wantNoAllocations(t, func() {
			for _, name := range names {
				_, _ = table.Get(s, request(m, name))
			}
			table.Leave(s, 0)
		})
	}
	taken := []byte("taken")
	wantNoAllocations(t, func() {
		_, _ = table.Get(s, request(locks.Exclusive, taken))
		table.Release(s, locks.Exclusive, taken, 0)
		table.Inspect(locks.Exclusive, taken)
		table.Stats()
	})
}

func TestHoldersThatComeAndGoAllocateNothing(t *testing.T) {
	table, name := newTable(locks.Limits{}), []byte("hot")
	sessions := make([]*locks.Session, 50)
	for i := range sessions {
		sessions[i] = locks.NewSession(fmt.Sprint("unix:", i), nil)
		mustGet(t, table, sessions[i], locks.Shared, "hot")
	}
	// Each in turn is away for a moment, then all but the first are.
	wantNoAllocations(t, func() {
		for _, s := range sessions {
			table.Release(s, locks.Shared, name, 0)
			_, _ = table.Get(s, request(locks.Shared, name))
		}
	})
	wantNoAllocations(t, func() {
		for _, s := range sessions[1:] {
			table.Release(s, locks.Shared, name, 0)
		}
		for _, s := range sessions[1:] {
			_, _ = table.Get(s, request(locks.Shared, name))
		}
	})
}

// ring has sessions wait for the lock that the first of them holds.
func ring(t testing.TB, table *locks.Table, m locks.Mode, waiters int) []*locks.Session {
	t.Helper()
	sessions := make([]*locks.Session, waiters+1)
	for i := range sessions {
		sessions[i] = locks.NewSession("s", nil)
		if i == 0 {
			mustGet(t, table, sessions[i], m, "x")
		} else {
			mustWait(t, table, sessions[i], m, "x")
		}
	}
	return sessions
}

// handOver lets the i-th turn of a ring end: the holder releases the lock and
// waits anew, and the next one learns that it has it.
func handOver(table *locks.Table, sessions []*locks.Session, i int, r locks.Request) bool {
	holder, next := sessions[i%len(sessions)], sessions[(i+1)%len(sessions)]
	released := table.Release(holder, r.Mode, r.Name, 0)
	_, waits := table.Get(holder, r)
	_, granted := table.Get(next, r)
	return released && errors.Is(waits, locks.ErrWaiting) && granted == nil
}

func TestHandingOverAllocatesNothing(t *testing.T) {
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		for _, waiters := range []int{1, 15, 1000} {
			table, r, i := newTable(locks.Limits{}), waiting(m, "x"), 0
			sessions := ring(t, table, m, waiters)
			wantNoAllocations(t, func() {
				if !handOver(table, sessions, i, r) {
					t.Fatalf("turn %d of %d does not go on", i, waiters)
				}
				i++
			})
		}
	}
}

// A lock that is free between two holders that wait for each other is made anew
// each time.
func TestWaitingForALockThatComesAndGoesAllocatesNothing(t *testing.T) {
	table, a, b := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil)
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		r := waiting(m, "x")
		wantNoAllocations(t, func() {
			_, _ = table.Get(a, r)
			_, _ = table.Get(b, r)
			table.Release(a, m, r.Name, 0)
			if _, err := table.Get(b, r); err != nil {
				t.Fatal(err)
			}
			table.Leave(b, 0)
		})
	}
}

func TestWithdrawingAllocatesNothing(t *testing.T) {
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		table, r, i := newTable(locks.Limits{}), waiting(m, "x"), 0
		sessions := ring(t, table, m, 100)[1:]
		wantNoAllocations(t, func() {
			s := sessions[i*37%len(sessions)]
			i++
			if _, err := table.Get(s, r); !errors.Is(err, locks.ErrQueue) {
				t.Fatal(err)
			}
			if _, err := table.Get(s, r); !errors.Is(err, locks.ErrWaiting) {
				t.Fatal(err)
			}
		})
	}
}

// heap returns the bytes in use, with nothing left over.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// allocated returns the bytes that f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// What a burst may leave behind: free lists and small indexes of all shards.
const leftOver = 2 << 20

func TestMemoryGoesBackWhenManyLocksAreReleased(t *testing.T) {
	table, s := newTable(locks.Limits{}), locks.NewSession("a", nil)
	before := heap()
	buf := make([]byte, 0, 32)
	name := func(i int) []byte { return strconv.AppendInt(append(buf[:0], "some/lock/"...), int64(i), 10) }
	for i := range manyLocks {
		if _, err := table.Get(s, request(locks.Exclusive, name(i))); err != nil {
			t.Fatal(err)
		}
	}
	full := heap() - before
	for i := range manyLocks / 2 {
		table.Release(s, locks.Exclusive, name(i), 0)
	}
	if half := heap() - before; half > full*3/4 {
		t.Errorf("of %d bytes, %d are in use when half of the locks are released", full, half)
	}
	table.Leave(s, 0)
	if left := heap() - before; left > leftOver {
		t.Errorf("of %d bytes, %d are in use when all locks are released", full, left)
	}
	runtime.KeepAlive(table)
}

func TestMemoryGoesBackWhenManyHoldersLeave(t *testing.T) {
	const n = manyLocks / 10
	table, sessions := newTable(locks.Limits{}), make([]*locks.Session, n)
	for i := range sessions {
		sessions[i] = locks.NewSession("s", nil)
	}
	before := heap()
	for _, s := range sessions {
		mustGet(t, table, s, locks.Shared, "hot")
	}
	full := heap() - before
	for _, s := range sessions {
		table.Leave(s, 0)
	}
	if left := heap() - before; left > full/10 {
		t.Errorf("of %d bytes, %d are in use when all holders left", full, left)
	}
	runtime.KeepAlive(sessions)
	runtime.KeepAlive(table)
}

func TestNoLongNameIsKept(t *testing.T) {
	table, s := newTable(locks.Limits{}), locks.NewSession("a", nil)
	before := heap()
	name := make([]byte, 8<<10)
	for i := range 2_000 {
		if _, err := table.Get(s, request(locks.Exclusive, strconv.AppendInt(name, int64(i), 10))); err != nil {
			t.Fatal(err)
		}
	}
	table.Leave(s, 0)
	if left := heap() - before; left > leftOver {
		t.Errorf("%d bytes are in use when all locks of long names are released", left)
	}
	runtime.KeepAlive(table)
}

func TestNoSessionIsKeptThatLeft(t *testing.T) {
	table, stays := newTable(locks.Limits{}), locks.NewSession("stays", nil)
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		mustGet(t, table, stays, m, "stays")
	}
	var gone []weak.Pointer[locks.Session]
	for i := range 100 {
		s := locks.NewSession("leaves", nil)
		mustGet(t, table, s, locks.Shared, "stays")
		mustGet(t, table, s, locks.Shared, "goes")
		mustGet(t, table, s, locks.Exclusive, fmt.Sprint(i))
		if i%2 == 0 {
			table.Release(s, locks.Shared, []byte("goes"), 0)
		}
		gone = append(gone, weak.Make(s))
		table.Leave(s, 0)
	}
	for i := range 100 {
		s := locks.NewSession("waits and leaves", nil)
		mustWait(t, table, s, locks.Exclusive, "stays")
		if i%2 == 0 {
			mustGetAtLast(t, table, stays, s)
		}
		gone = append(gone, weak.Make(s))
		table.Leave(s, 0)
	}
	runtime.GC()
	for i, s := range gone {
		if s.Value() != nil {
			t.Errorf("session %d is still referred to", i)
		}
	}
	runtime.KeepAlive(table)
}

// mustGetAtLast hands the lock from one session to the other and back.
func mustGetAtLast(t *testing.T, table *locks.Table, holder, waiter *locks.Session) {
	t.Helper()
	table.Release(holder, locks.Exclusive, []byte("stays"), 0)
	if r, err := table.Get(waiter, locks.Request{}); err != nil || r.Token == 0 {
		t.Fatalf("the wait ends with %+v, %v", r, err)
	}
	mustWait(t, table, holder, locks.Exclusive, "stays")
	table.Release(waiter, locks.Exclusive, []byte("stays"), 0)
	if r, err := table.Get(holder, locks.Request{}); err != nil || r.Token == 0 {
		t.Fatalf("the wait ends with %+v, %v", r, err)
	}
}

// The limit of the table's bytes stands for memory, so what is counted must be
// near what is used.
func TestBytesCountedAreNearBytesUsed(t *testing.T) {
	const n = manyLocks / 20
	for name, get := range map[string]func(table *locks.Table, i int, sessions []*locks.Session){
		"locks of one session": func(table *locks.Table, i int, sessions []*locks.Session) {
			mustGet(t, table, sessions[0], locks.Exclusive, fmt.Sprintf("some/lock/%07d", i))
		},
		"holders of one lock": func(table *locks.Table, i int, sessions []*locks.Session) {
			mustGet(t, table, sessions[i], locks.Shared, "hot")
		},
		"waiters for one lock": func(table *locks.Table, i int, sessions []*locks.Session) {
			if i == 0 {
				mustGet(t, table, sessions[i], locks.Exclusive, "hot")
			} else {
				mustWait(t, table, sessions[i], locks.Exclusive, "hot")
			}
		},
		"a waiter for each lock": func(table *locks.Table, i int, sessions []*locks.Session) {
			if name := fmt.Sprintf("some/lock/%07d", i/2); i%2 == 0 {
				mustGet(t, table, sessions[i], locks.Exclusive, name)
			} else {
				mustWait(t, table, sessions[i], locks.Exclusive, name)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			table, sessions := newTable(locks.Limits{}), make([]*locks.Session, n)
			for i := range sessions {
				sessions[i] = locks.NewSession("s", nil)
			}
			before := heap()
			for i := range n {
				get(table, i, sessions)
			}
			used, counted := heap()-before, table.Stats().Bytes
			if counted < used/2 || counted > used*2 {
				t.Errorf("%d bytes are used and %d counted", used, counted)
			}
			runtime.KeepAlive(sessions)
		})
	}
}

func TestMemoryGoesBackWhenAllHoldersButOneLeave(t *testing.T) {
	const n = manyLocks / 10
	table, sessions := newTable(locks.Limits{}), make([]*locks.Session, n)
	for i := range sessions {
		sessions[i] = locks.NewSession("s", nil)
	}
	before := heap()
	for _, s := range sessions {
		mustGet(t, table, s, locks.Shared, "hot")
	}
	full := heap() - before
	for _, s := range sessions[1:] {
		table.Leave(s, 0)
	}
	if left := heap() - before; left > full/10 {
		t.Errorf("of %d bytes, %d are in use when one holder is left", full, left)
	}
	runtime.KeepAlive(sessions)
	runtime.KeepAlive(table)
}

func TestBytesCountedAreNearBytesUsedByLocksOfNineHolders(t *testing.T) {
	const n = manyLocks / 4 // so many that what each shard has to spare is little
	table, sessions := newTable(locks.Limits{}), make([]*locks.Session, 9)
	for i := range sessions {
		sessions[i] = locks.NewSession("s", nil)
	}
	before := heap()
	for i := range n {
		mustGet(t, table, sessions[i%9], locks.Shared, fmt.Sprintf("%07d", i/9))
	}
	used, counted := heap()-before, table.Stats().Bytes
	if counted < used/2 || counted > used*2 {
		t.Errorf("%d bytes are used and %d counted", used, counted)
	}
	runtime.KeepAlive(sessions)
}

func TestMemoryGoesBackWhenManyWaitersLeave(t *testing.T) {
	const n = manyLocks / 10
	for name, end := range map[string]func(table *locks.Table, s *locks.Session){
		"withdrawn": func(table *locks.Table, s *locks.Session) { _, _ = table.Get(s, locks.Request{}) },
		"served":    func(table *locks.Table, s *locks.Session) { table.Leave(s, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			table, sessions := newTable(locks.Limits{}), make([]*locks.Session, n)
			for i := range sessions {
				// A session that was ever used has its place in the table.
				sessions[i] = locks.NewSession("s", nil)
				mustGet(t, table, sessions[i], locks.Exclusive, "used")
				table.Release(sessions[i], locks.Exclusive, []byte("used"), 0)
			}
			before := heap()
			mustGet(t, table, sessions[0], locks.Exclusive, "hot")
			for _, s := range sessions[1:] {
				mustWait(t, table, s, locks.Exclusive, "hot")
			}
			full := heap() - before
			for _, s := range sessions {
				end(table, s)
			}
			if left := heap() - before; left > full/10 {
				t.Errorf("of %d bytes, %d are in use when nobody waits", full, left)
			}
			if name == "served" && table.Stats().Bytes != 0 {
				t.Errorf("%d bytes are counted when all have left", table.Stats().Bytes)
			}
			runtime.KeepAlive(sessions)
			runtime.KeepAlive(table)
		})
	}
}
