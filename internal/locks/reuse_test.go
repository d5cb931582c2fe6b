package locks_test

import (
	"fmt"
	"runtime"
	"testing"

	"lockd/internal/locks"
)

// A lock may be an object that was another lock before. Whatever that one needed,
// a name too long for the object, a place for its holders or a queue, must not
// stay with one that does without: the limit on the table's bytes would not see it.
func TestALockKeepsNothingOfTheOneItWasBefore(t *testing.T) {
	const n = 100_000
	plain := memoryOfLocks(t, n, func(*locks.Table, *locks.Session, int) {})
	for name, before := range map[string]func(table *locks.Table, s *locks.Session, i int){
		"one with a long name": func(table *locks.Table, s *locks.Session, i int) {
			comeAndGo(t, table, s, locks.Exclusive, fmt.Sprintf("a/name/too/long/to/be/in/the/lock/%07d", i))
		},
		"a shared one": func(table *locks.Table, s *locks.Session, i int) {
			comeAndGo(t, table, s, locks.Shared, fmt.Sprintf("%07d", i))
		},
		"one that was waited for": func(table *locks.Table, s *locks.Session, i int) {
			name := fmt.Sprintf("w%07d", i)
			holder := locks.NewSession("holder", nil)
			mustGet(t, table, holder, locks.Exclusive, name)
			mustWait(t, table, s, locks.Exclusive, name)
			if _, err := table.Get(s, locks.Request{}); err == nil {
				t.Fatal("the wait is granted")
			}
			table.Leave(holder, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if used := memoryOfLocks(t, n, before); used > plain*9/8+leftOver/2 {
				t.Errorf("%d locks take %d bytes, and %d where each was another before", n, plain, used)
			}
		})
	}
}

func comeAndGo(t *testing.T, table *locks.Table, s *locks.Session, m locks.Mode, name string) {
	t.Helper()
	mustGet(t, table, s, m, name)
	table.Release(s, m, []byte(name), 0)
}

// memoryOfLocks returns what n locks with short names take, where something else
// comes before each.
func memoryOfLocks(t *testing.T, n int, before func(table *locks.Table, s *locks.Session, i int)) int64 {
	t.Helper()
	table, s, other := newTable(locks.Limits{}), locks.NewSession("s", nil), locks.NewSession("other", nil)
	empty := heap()
	for i := range n {
		before(table, other, i)
		mustGet(t, table, s, locks.Exclusive, fmt.Sprintf("%07d", i))
	}
	used := heap() - empty
	runtime.KeepAlive(table)
	return used
}
