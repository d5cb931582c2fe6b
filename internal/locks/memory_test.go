package locks_test

import (
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
	table, s, other := locks.New(locks.Limits{}), locks.NewSession("a"), locks.NewSession("b")
	names := [][]byte{[]byte("some/lock"), []byte("some/other/lock"), {}}
	mustGet(t, table, other, locks.Exclusive, "taken")
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		wantNoAllocations(t, func() {
			for _, name := range names {
				_, _ = table.Get(s, m, name)
				_, _ = table.Get(s, m, name)
			}
			for _, name := range names {
				table.Release(s, m, name)
			}
		})
		wantNoAllocations(t, func() {
			for _, name := range names {
				_, _ = table.Get(s, m, name)
			}
			table.Leave(s)
		})
	}
	taken := []byte("taken")
	wantNoAllocations(t, func() {
		_, _ = table.Get(s, locks.Exclusive, taken)
		table.Release(s, locks.Exclusive, taken)
		table.Inspect(locks.Exclusive, taken)
		table.Stats()
	})
}

func TestHoldersThatComeAndGoAllocateNothing(t *testing.T) {
	table, name := locks.New(locks.Limits{}), []byte("hot")
	sessions := make([]*locks.Session, 50)
	for i := range sessions {
		sessions[i] = locks.NewSession(fmt.Sprint("unix:", i))
		mustGet(t, table, sessions[i], locks.Shared, "hot")
	}
	// Each in turn is away for a moment, then all but the first are.
	wantNoAllocations(t, func() {
		for _, s := range sessions {
			table.Release(s, locks.Shared, name)
			_, _ = table.Get(s, locks.Shared, name)
		}
	})
	wantNoAllocations(t, func() {
		for _, s := range sessions[1:] {
			table.Release(s, locks.Shared, name)
		}
		for _, s := range sessions[1:] {
			_, _ = table.Get(s, locks.Shared, name)
		}
	})
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

func TestMemoryGoesBackWhenAMillionLocksAreReleased(t *testing.T) {
	table, s := locks.New(locks.Limits{}), locks.NewSession("a")
	before := heap()
	buf := make([]byte, 0, 32)
	name := func(i int) []byte { return strconv.AppendInt(append(buf[:0], "some/lock/"...), int64(i), 10) }
	const n = 1_000_000
	for i := range n {
		if _, err := table.Get(s, locks.Exclusive, name(i)); err != nil {
			t.Fatal(err)
		}
	}
	full := heap() - before
	for i := range n / 2 {
		table.Release(s, locks.Exclusive, name(i))
	}
	if half := heap() - before; half > full*3/4 {
		t.Errorf("of %d bytes, %d are in use when half of the locks are released", full, half)
	}
	table.Leave(s)
	if left := heap() - before; left > leftOver {
		t.Errorf("of %d bytes, %d are in use when all locks are released", full, left)
	}
	runtime.KeepAlive(table)
}

func TestMemoryGoesBackWhenAHundredThousandHoldersLeave(t *testing.T) {
	const n = 100_000
	table, sessions := locks.New(locks.Limits{}), make([]*locks.Session, n)
	for i := range sessions {
		sessions[i] = locks.NewSession("s")
	}
	before := heap()
	for _, s := range sessions {
		mustGet(t, table, s, locks.Shared, "hot")
	}
	full := heap() - before
	for _, s := range sessions {
		table.Leave(s)
	}
	if left := heap() - before; left > full/10 {
		t.Errorf("of %d bytes, %d are in use when all holders left", full, left)
	}
	runtime.KeepAlive(sessions)
	runtime.KeepAlive(table)
}

func TestNoLongNameIsKept(t *testing.T) {
	table, s := locks.New(locks.Limits{}), locks.NewSession("a")
	before := heap()
	name := make([]byte, 8<<10)
	for i := range 2_000 {
		if _, err := table.Get(s, locks.Exclusive, strconv.AppendInt(name, int64(i), 10)); err != nil {
			t.Fatal(err)
		}
	}
	table.Leave(s)
	if left := heap() - before; left > leftOver {
		t.Errorf("%d bytes are in use when all locks of long names are released", left)
	}
	runtime.KeepAlive(table)
}

func TestNoSessionIsKeptThatLeft(t *testing.T) {
	table, stays := locks.New(locks.Limits{}), locks.NewSession("stays")
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		mustGet(t, table, stays, m, "stays")
	}
	var gone []weak.Pointer[locks.Session]
	for i := range 100 {
		s := locks.NewSession("leaves")
		mustGet(t, table, s, locks.Shared, "stays")
		mustGet(t, table, s, locks.Shared, "goes")
		mustGet(t, table, s, locks.Exclusive, fmt.Sprint(i))
		if i%2 == 0 {
			table.Release(s, locks.Shared, []byte("goes"))
		}
		gone = append(gone, weak.Make(s))
		table.Leave(s)
	}
	runtime.GC()
	for i, s := range gone {
		if s.Value() != nil {
			t.Errorf("session %d is still referred to", i)
		}
	}
	runtime.KeepAlive(table)
}

// The limit of the table's bytes stands for memory, so what is counted must be
// near what is used.
func TestBytesCountedAreNearBytesUsed(t *testing.T) {
	const n = 60_000
	for name, get := range map[string]func(table *locks.Table, i int, sessions []*locks.Session){
		"locks of one session": func(table *locks.Table, i int, sessions []*locks.Session) {
			mustGet(t, table, sessions[0], locks.Exclusive, fmt.Sprintf("some/lock/%07d", i))
		},
		"holders of one lock": func(table *locks.Table, i int, sessions []*locks.Session) {
			mustGet(t, table, sessions[i], locks.Shared, "hot")
		},
	} {
		t.Run(name, func(t *testing.T) {
			table, sessions := locks.New(locks.Limits{}), make([]*locks.Session, n)
			for i := range sessions {
				sessions[i] = locks.NewSession("s")
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
	const n = 100_000
	table, sessions := locks.New(locks.Limits{}), make([]*locks.Session, n)
	for i := range sessions {
		sessions[i] = locks.NewSession("s")
	}
	before := heap()
	for _, s := range sessions {
		mustGet(t, table, s, locks.Shared, "hot")
	}
	full := heap() - before
	for _, s := range sessions[1:] {
		table.Leave(s)
	}
	if left := heap() - before; left > full/10 {
		t.Errorf("of %d bytes, %d are in use when one holder is left", full, left)
	}
	runtime.KeepAlive(sessions)
	runtime.KeepAlive(table)
}

func TestBytesCountedAreNearBytesUsedByLocksOfNineHolders(t *testing.T) {
	const n = 60_000
	table, sessions := locks.New(locks.Limits{}), make([]*locks.Session, 9)
	for i := range sessions {
		sessions[i] = locks.NewSession("s")
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
