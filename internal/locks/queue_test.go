package locks_test

import (
	"errors"
	"testing"
	"time"

	"lockd/internal/locks"
)

// What a queue's length may cost: walking along ten thousand would take hundreds
// of times as long as walking along ten. Ten are in the cache, ten thousand are
// not, and the machine may be busy.
const tolerated = 30

// fastest returns how long the fastest of some runs took.
func fastest(run func()) time.Duration {
	best := time.Duration(1<<63 - 1)
	for range 7 {
		begin := time.Now()
		run()
		best = min(best, time.Since(begin))
	}
	return best
}

// wantSameCost wants an operation not to take longer where more wait.
func wantSameCost(t *testing.T, what string, operation func(table *locks.Table, sessions []*locks.Session, i int) bool) {
	t.Helper()
	const operations = 2_000
	cost := func(waiters int) time.Duration {
		table, i := newTable(locks.Limits{}), 0
		sessions := ring(t, table, locks.Exclusive, waiters)
		return fastest(func() {
			for range operations {
				if !operation(table, sessions, i) {
					t.Fatalf("%s: operation %d goes wrong", what, i)
				}
				i++
			}
		})
	}
	few, many := cost(10), cost(10_000)
	if many > tolerated*few {
		t.Errorf("%s takes %v where 10 wait and %v where 10,000 do", what, few/operations, many/operations)
	}
}

func TestHandingOverTakesNoLongerWhereManyWait(t *testing.T) {
	r := waiting(locks.Exclusive, "x")
	wantSameCost(t, "handing over", func(table *locks.Table, sessions []*locks.Session, i int) bool {
		return handOver(table, sessions, i, r)
	})
}

func TestEndingAWaitTakesNoLongerWhereManyWait(t *testing.T) {
	r := waiting(locks.Exclusive, "x")
	for what, end := range map[string]func(table *locks.Table, s *locks.Session) bool{
		"withdrawing": func(table *locks.Table, s *locks.Session) bool {
			_, err := table.Get(s, r)
			return errors.Is(err, locks.ErrQueue)
		},
		"leaving": func(table *locks.Table, s *locks.Session) bool {
			table.Leave(s, 0)
			return true
		},
	} {
		var dice dice
		wantSameCost(t, what, func(table *locks.Table, sessions []*locks.Session, _ int) bool {
			s := sessions[1+dice.below(len(sessions)-1)] // from anywhere in the queue
			ended := end(table, s)
			_, err := table.Get(s, r)
			return ended && errors.Is(err, locks.ErrWaiting)
		})
	}
}
