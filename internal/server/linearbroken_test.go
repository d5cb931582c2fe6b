package server_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// A brokenTable breaks a promise now and then, so that the test of histories can
// show that it would notice.
type brokenTable struct {
	*locks.Table
	get     func(r *locks.Request, result locks.Result, err error) (locks.Result, error)
	before  func(r *locks.Request)
	forgets bool // releases
	blind   bool // to holders
}

// nowAndThen is one time in thirty.
func nowAndThen() bool { return rand.IntN(30) == 0 }

func (t *brokenTable) Get(s *locks.Session, r locks.Request) (locks.Result, error) {
	if t.before != nil {
		t.before(&r)
	}
	result, err := t.Table.Get(s, r)
	if t.get != nil {
		return t.get(&r, result, err)
	}
	return result, err
}

func (t *brokenTable) Release(s *locks.Session, m locks.Mode, name []byte, now time.Duration) bool {
	if t.forgets && nowAndThen() {
		return true
	}
	return t.Table.Release(s, m, name, now)
}

func (t *brokenTable) Inspect(m locks.Mode, name []byte) int {
	if t.blind && nowAndThen() {
		return 0
	}
	return t.Table.Inspect(m, name)
}

var brokenTables = map[string]brokenTable{
	"an exclusive lock is granted to two": {get: func(r *locks.Request, result locks.Result, err error) (locks.Result, error) {
		if err == locks.ErrHeld && nowAndThen() {
			return locks.Result{Holders: 1, Token: 1 << 40}, nil
		}
		return result, err
	}},
	"a token is given twice": {get: func(_ *locks.Request, result locks.Result, err error) (locks.Result, error) {
		if err == nil && nowAndThen() {
			result.Token--
		}
		return result, err
	}},
	"who tries overtakes those who wait": {before: func(r *locks.Request) {
		if r.Mode == locks.Shared && !r.Wait {
			r.Queue = false
		}
	}},
	"a maximum is forgotten": {before: func(r *locks.Request) {
		if nowAndThen() {
			r.Max = 0
		}
	}},
	"a release is forgotten": {forgets: true},
	"holders are not seen":   {blind: true},
}

// isFoundOut tells whether some rounds show a table to be broken.
func (broken brokenTable) isFoundOut(t *testing.T, rounds int) error {
	s := start(t, with(anybodyMayBreak), func(set *setup) {
		set.around = func(real *locks.Table) server.Table {
			broken.Table = real
			return &broken
		}
	})
	for n := range rounds {
		if err := s.round(1, n).check(); err != nil {
			return err
		}
	}
	return nil
}

func TestHistoriesOfBrokenTablesAreNoticed(t *testing.T) {
	for name, broken := range brokenTables {
		t.Run(name, func(t *testing.T) {
			if broken.isFoundOut(t, 2000) == nil {
				t.Error("2000 rounds have not shown it")
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if err := (brokenTable{}).isFoundOut(t, 50); err != nil {
			t.Error(err)
		}
	})
}
