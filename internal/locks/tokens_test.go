package locks_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"lockd/internal/locks"
)

// grant has the table take so many tokens.
func grant(t *testing.T, table *locks.Table, times int) {
	t.Helper()
	s := locks.NewSession("a", nil)
	for range times {
		mustGet(t, table, s, locks.Exclusive, "x")
		table.Leave(s, 0)
	}
}

func TestTheFirstTokenIsTheOneAfterTheLast(t *testing.T) {
	for _, last := range []uint64{0, 41, 1<<63 - 2} {
		tokens := locks.NewTokens(last)
		table, s := locks.New(locks.Limits{}, tokens), locks.NewSession("a", nil)
		if tokens.Last() != last {
			t.Errorf("the last token is %d before any is taken, want %d", tokens.Last(), last)
		}
		r, err := table.Get(s, request(locks.Exclusive, []byte("x")))
		if err != nil || r.Token != last+1 || tokens.Last() != last+1 {
			t.Errorf("after %d comes %d, the last is %d, %v", last, r.Token, tokens.Last(), err)
		}
		if got := table.Break(locks.Exclusive, []byte("x"), last+1); len(got) != 1 {
			t.Errorf("the token %d breaks %d holds", last+1, len(got))
		}
		if got := slices.Collect(table.List(locks.Query{Exclusive: true})); len(got) != 1 || got[0].Token != last+1 {
			t.Errorf("broken, the token %d is listed as %v", last+1, got)
		}
	}
}

func TestOnlyGrantsTakeTokens(t *testing.T) {
	tokens := locks.NewTokens(0)
	table, a, b := locks.New(locks.Limits{SessionHolds: 1}, tokens), locks.NewSession("a", nil), locks.NewSession("b", nil)
	want := func(last uint64) {
		t.Helper()
		if got := tokens.Last(); got != last {
			t.Errorf("the last token is %d, want %d", got, last)
		}
	}
	mustGet(t, table, a, locks.Exclusive, "x")
	want(1)
	mustGet(t, table, a, locks.Exclusive, "x")
	wantError(t, table, a, request(locks.Exclusive, []byte("y")), locks.ErrSessionLimit)
	wantError(t, table, b, request(locks.Exclusive, []byte("x")), locks.ErrHeld)
	mustWait(t, table, b, locks.Exclusive, "x")
	wantError(t, table, b, locks.Request{}, locks.ErrQueue)
	mustWait(t, table, b, locks.Exclusive, "x")
	table.Break(locks.Exclusive, []byte("x"), 0)
	want(1)
	table.Leave(a, 0)
	want(2)
	mustGet(t, table, b, locks.Exclusive, "ends the wait")
	want(2)
}

// told tells whether Low has a value.
func told(tokens *locks.Tokens) bool {
	select {
	case <-tokens.Low():
		return true
	default:
		return false
	}
}

func TestLowTokensAreToldWhenTheMarkIsTaken(t *testing.T) {
	tokens := locks.NewTokens(10)
	table := locks.New(locks.Limits{}, tokens)
	tokens.TellAt(13)
	for token := uint64(11); token <= 20; token++ {
		grant(t, table, 1)
		if got := told(tokens); got != (token == 13) {
			t.Errorf("when %d is taken it is told: %t", token, got)
		}
	}
}

func TestLowTokensAreToldAtOnceWhereTheMarkIsTakenAlready(t *testing.T) {
	tokens := locks.NewTokens(10)
	table := locks.New(locks.Limits{}, tokens)
	for _, mark := range []uint64{0, 9, 10} {
		if tokens.TellAt(mark); !told(tokens) {
			t.Errorf("of %d, taken already, nothing is told", mark)
		}
	}
	grant(t, table, 5)
	if tokens.TellAt(12); !told(tokens) || told(tokens) {
		t.Error("of 12 it is not told once")
	}
	tokens.TellAt(16)
	if told(tokens) {
		t.Error("of 16 it is told before it is taken")
	}
	grant(t, table, 1)
	if !told(tokens) {
		t.Error("of 16 nothing is told")
	}
}

func TestALaterMarkReplacesTheFirst(t *testing.T) {
	tokens := locks.NewTokens(0)
	table := locks.New(locks.Limits{}, tokens)
	tokens.TellAt(2)
	tokens.TellAt(4)
	grant(t, table, 3)
	if told(tokens) {
		t.Error("the first mark is told")
	}
	grant(t, table, 1)
	if !told(tokens) {
		t.Error("the second mark is not told")
	}
}

func TestNobodyWaitsUntilLowTokensAreHeardOf(t *testing.T) {
	tokens := locks.NewTokens(0)
	table := locks.New(locks.Limits{}, tokens)
	for mark := uint64(1); mark <= 5; mark++ {
		tokens.TellAt(mark)
		grant(t, table, 1)
	}
	if !told(tokens) || told(tokens) {
		t.Error("one value does not stand for all")
	}
}

func TestTokensTakenAtOnceAreAllDifferent(t *testing.T) {
	const sessions, each = 8, 10_000
	tokens := locks.NewTokens(0)
	table := locks.New(locks.Limits{}, tokens)
	tokens.TellAt(sessions * each / 2)
	var running sync.WaitGroup
	var taken [sessions*each + 1]atomic.Bool
	for i := range sessions {
		name := fmt.Appendf(nil, "of session %d", i) // else the lock itself would have them take turns
		running.Go(func() {
			s, last := locks.NewSession("s", nil), uint64(0)
			for range each {
				r, err := table.Get(s, request(locks.Shared, name))
				if err != nil || r.Token <= last || r.Token >= uint64(len(taken)) || taken[r.Token].Swap(true) {
					t.Errorf("after %d comes %d, %v", last, r.Token, err)
					return
				}
				last = r.Token
				table.Leave(s, 0)
			}
		})
	}
	running.Wait()
	if tokens.Last() != sessions*each || !told(tokens) {
		t.Errorf("the last of %d grants has the token %d", sessions*each, tokens.Last())
	}
}
