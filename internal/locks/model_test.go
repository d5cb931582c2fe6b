package locks_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lockd/internal/locks"
	"lockd/internal/locks/lockstest"
)

// A failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// A pair is a table and the model of it, which are done the same things to.
type pair struct {
	failer
	table    *locks.Table
	model    *lockstest.Model
	sessions []*locks.Session
	names    [][]byte
}

func newPair(t failer, sessions int) *pair {
	p := &pair{
		failer: t, table: locks.New(locks.Limits{}), model: lockstest.NewModel(),
		names: [][]byte{nil, []byte("a"), []byte("b"), []byte("\x00\xff"), bytes.Repeat([]byte("long"), 50)},
	}
	for i := range sessions {
		p.sessions = append(p.sessions, locks.NewSession(fmt.Sprint("unix:", i)))
	}
	return p
}

func (p *pair) get(s *locks.Session, m locks.Mode, name []byte) {
	got, err := p.table.Get(s, m, name)
	want, wantErr := p.model.Get(s, m, name)
	if got != want || !errors.Is(err, wantErr) {
		p.Fatalf("get: %d, %v; want %d, %v", got, err, want, wantErr)
	}
}

func (p *pair) release(s *locks.Session, m locks.Mode, name []byte) {
	if got, want := p.table.Release(s, m, name), p.model.Release(s, m, name); got != want {
		p.Fatalf("release: %t, want %t", got, want)
	}
}

func (p *pair) leave(s *locks.Session) {
	p.table.Leave(s)
	p.model.Leave(s)
}

func (p *pair) limit(sessionHolds int) {
	p.table.SetLimits(locks.Limits{SessionHolds: sessionHolds})
	p.model.SessionHolds = sessionHolds
}

// compare looks at the table and the model from every side.
func (p *pair) compare() {
	got, want := p.table.Stats(), p.model.Stats()
	if got.Exclusive != want.Exclusive || got.Shared != want.Shared {
		p.Fatalf("stats: %+v, want %+v", got, want)
	}
	if held := want.Exclusive.Locks+want.Shared.Locks > 0; held != (got.Bytes > 0) || got.Bytes < 0 {
		p.Fatalf("%d bytes are counted for %+v", got.Bytes, want)
	}
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		p.compareList(m)
		for _, name := range p.names {
			p.compareLock(m, name)
		}
	}
	for _, s := range p.sessions {
		if got, want := s.Holds(), p.model.Holds(s); got != want {
			p.Fatalf("%s holds %d, want %d", s.Addr(), got, want)
		}
	}
}

func (p *pair) compareList(m locks.Mode) {
	if got, want := p.table.List(m), p.model.List(m); !slices.EqualFunc(got, want, func(a, b locks.Held) bool {
		return bytes.Equal(a.Name, b.Name) && slices.Equal(a.Holders, b.Holders)
	}) {
		p.Fatalf("list of mode %d: %v, want %v", m, got, want)
	}
}

func (p *pair) compareLock(m locks.Mode, name []byte) {
	if got, want := p.table.Inspect(m, name), p.model.Inspect(m, name); got != want {
		p.Fatalf("inspect %q of mode %d: %d, want %d", name, m, got, want)
	}
	if got, want := p.table.Holders(m, name), p.model.Holders(m, name); !slices.Equal(got, want) {
		p.Fatalf("holders of %q of mode %d: %v, want %v", name, m, got, want)
	}
}

// end lets all leave: then nothing is held, and no byte counted.
func (p *pair) end() {
	for _, s := range p.sessions {
		p.leave(s)
	}
	p.compare()
}

func TestTheTableDoesWhatTheModelDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t, 12)
		session := rapid.SampledFrom(p.sessions)
		mode := rapid.SampledFrom([]locks.Mode{locks.Exclusive, locks.Shared, locks.Shared})
		name := rapid.SampledFrom(p.names)
		get := func(t *rapid.T) {
			p.get(session.Draw(t, "session"), mode.Draw(t, "mode"), name.Draw(t, "name"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"get":      get,
			"get too":  get, // more often than the rest, so that much is held
			"get also": get,
			"release": func(t *rapid.T) {
				p.release(session.Draw(t, "session"), mode.Draw(t, "mode"), name.Draw(t, "name"))
			},
			"leave": func(t *rapid.T) { p.leave(session.Draw(t, "session")) },
			"limit": func(t *rapid.T) { p.limit(rapid.IntRange(0, 4).Draw(t, "holds")) },
			"":      func(*rapid.T) { p.compare() },
		})
		p.end()
	})
}

// FuzzTable reads operations out of bytes, two for each: what to do and in
// which mode, and who does it to which lock.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0x00, 0x00, 0x00, 0x10, 0x04, 0x00, 0x06, 0x10})
	f.Add([]byte("\x01\x01\x01\x11\x01\x21\x01\x31\x01\x41\x01\x51\x01\x61\x01\x71\x01\x81\x01\x91\x05\x01\x05\x91\x06\x51"))
	f.Add([]byte{0x0f, 0x02, 0x00, 0x01, 0x01, 0x02, 0x00, 0x03})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPair(t, 16)
		for op := range slices.Chunk(data[:min(len(data), 400)], 2) {
			if len(op) == 2 {
				p.do(op[0], op[1])
				p.compare()
			}
		}
		p.end()
	})
}

func (p *pair) do(what, which byte) {
	m := locks.Mode(what & 1)
	s := p.sessions[int(which>>4)%len(p.sessions)]
	name := p.names[int(which&15)%len(p.names)]
	switch what >> 1 & 7 {
	case 2, 3, 4:
		p.release(s, m, name)
	case 5:
		p.leave(s)
	case 7:
		p.limit(int(which & 7))
	default:
		p.get(s, m, name)
	}
}
