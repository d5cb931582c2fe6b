package server_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// A linKind is what an operation on one lock does. A gw or sgw that may wait is two
// operations, both from the request to the reply: one enters, the other tells what
// came of it. An fr is two as well: one breaks, the other finds the broken gone.
type linKind uint8

const (
	linGet     linKind = iota // g, sg
	linRelease                // r, sr
	linInspect                // i, si
	linTry                    // gw 0, sgw 0
	linEnter                  // gw, sgw
	linOutcome                // of these
	linLeave                  // the end of a connection
	linBreak                  // fr
	linBroken                 // those whom it has broken are gone
	linList                   // ls
)

var linKindNames = [...]string{"get", "release", "inspect", "try", "enter", "outcome", "leave", "break", "broken", "list"}

// A linInput is an operation that one connection asks for, or undergoes.
type linInput struct {
	kind   linKind
	who    int // the connection
	shared bool
	max    int // sgw
	id     int // fr: the same for both its operations
}

// A linOutput is what its client was told.
type linOutput struct {
	ghost  bool // nothing: it may have been done, or not
	won    bool // or released
	count  int  // of holders, or of those who were broken
	token  uint64
	reason string
	holder int // -1: not told
	queue  int
	listed string // by ls
}

// linHolders and those who wait are lists in the order of their grants, and of
// their coming.
type linHolder struct {
	who   int
	token uint64 // 0: not known yet
	lo    uint64 // what is known of it: it is higher,
	hi    uint64 // and lower, where not 0
	asks  bool   // the outcome of its gw or sgw is not told yet
	count int    // of holders when that was granted
}

type linWaiter struct{ who, max int }

// A linState is one lock as docs/protocol.md explains it.
type linState struct {
	holders []linHolder
	queue   []linWaiter
	last    uint64      // the highest token known
	gone    uint64      // connections that have ended, a bit each
	broken  []linVictim // by fr under way
}

// A linVictim is one whom an fr has told to go. There is one more for each fr, who
// is nobody.
type linVictim struct{ id, who int }

func linearModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return linState{} },
		Step: func(state, input, output any) (bool, any) {
			s := state.(linState).clone()
			ok := s.step(input.(linInput), output.(linOutput))
			return ok, s
		},
		Equal: func(a, b any) bool { return a.(linState).equal(b.(linState)) },
		Hash:  func(state any) uint64 { return state.(linState).hash() },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%d %s %+v", input.(linInput).who, linKindNames[input.(linInput).kind], output)
		},
	}
}

func (s linState) clone() linState {
	s.holders, s.queue, s.broken = slices.Clone(s.holders), slices.Clone(s.queue), slices.Clone(s.broken)
	return s
}

func (s linState) equal(other linState) bool {
	return s.last == other.last && s.gone == other.gone && slices.Equal(s.broken, other.broken) &&
		slices.Equal(s.holders, other.holders) && slices.Equal(s.queue, other.queue)
}

// hash is for states that differ in the order of things, as most do.
func (s linState) hash() uint64 {
	h := s.last ^ s.gone<<32
	for _, holder := range s.holders {
		h = h*31 + uint64(holder.who) + holder.token<<8
	}
	for _, waiter := range s.queue {
		h = h*37 + uint64(waiter.who)
	}
	return h
}

// step does an operation, and tells whether its client may be told that.
func (s *linState) step(in linInput, out linOutput) bool {
	if s.gone&(1<<in.who) != 0 {
		return out.ghost // and was not done
	}
	switch in.kind {
	case linGet:
		return s.get(in, out)
	case linRelease:
		return s.release(in.who, in.shared) == out.won || out.ghost
	case linInspect:
		return out.ghost || len(s.holders) == out.count
	case linTry:
		return s.try(in, out)
	case linEnter:
		s.enter(in)
		return true
	case linOutcome:
		return out.ghost || s.outcome(in, out)
	case linLeave:
		s.leave(in)
		return true
	case linBreak:
		return s.breakAll(in, out)
	case linBroken:
		return s.victimsGone(in.id)
	}
	return out.ghost || s.list() == out.listed
}

func (s *linState) find(who int) int {
	return slices.IndexFunc(s.holders, func(h linHolder) bool { return h.who == who })
}

func (s *linState) fits(shared bool, max int) bool {
	if !shared {
		return len(s.holders) == 0
	}
	return max == 0 || len(s.holders) < max
}

// grant makes a connection the last holder.
func (s *linState) grant(who int, asks bool) {
	s.holders = append(s.holders, linHolder{who: who, lo: s.last, asks: asks, count: len(s.holders) + 1})
}

// serve grants the lock to those who wait, as long as the first of them fits.
func (s *linState) serve(shared bool) {
	for len(s.queue) > 0 && s.fits(shared, s.queue[0].max) {
		s.grant(s.queue[0].who, true)
		s.queue = s.queue[1:]
	}
}

func (s *linState) get(in linInput, out linOutput) bool {
	won := true
	if s.find(in.who) < 0 {
		if won = s.fits(in.shared, 0); won {
			s.grant(in.who, false)
		}
	}
	if out.ghost {
		return true
	}
	return won == out.won && (!in.shared || out.count == len(s.holders))
}

func (s *linState) release(who int, shared bool) bool {
	i := s.find(who)
	if i < 0 {
		return false
	}
	s.holders = slices.Delete(s.holders, i, i+1)
	s.serve(shared)
	return true
}

// enter makes a connection a holder or has it wait.
func (s *linState) enter(in linInput) {
	switch i := s.find(in.who); {
	case i >= 0:
		s.holders[i].asks, s.holders[i].count = true, len(s.holders)
	case len(s.queue) == 0 && s.fits(in.shared, in.max):
		s.grant(in.who, true)
	default:
		s.queue = append(s.queue, linWaiter{in.who, in.max})
	}
}

// try is enter for one that does not wait, and its outcome.
func (s *linState) try(in linInput, out linOutput) bool {
	queued := len(s.queue)
	s.enter(in)
	if len(s.queue) == queued {
		return out.ghost || s.outcome(in, out)
	}
	s.queue = s.queue[:queued]
	reason := "held"
	switch {
	case queued > 0:
		reason = "queue"
	case in.shared:
		reason = "limit"
	}
	return out.ghost || !out.won && out.reason == reason && s.told(in, out)
}

// told tells whether a failure tells of the lock as it is.
func (s *linState) told(in linInput, out linOutput) bool {
	if out.queue != len(s.queue) {
		return false
	}
	if in.shared {
		return out.count == len(s.holders)
	}
	return len(s.holders) == 1 && out.holder == s.holders[0].who
}

func (s *linState) outcome(in linInput, out linOutput) bool {
	if out.won {
		i := s.find(in.who)
		if i < 0 || !s.holders[i].asks || in.shared && s.holders[i].count != out.count {
			return false
		}
		s.holders[i].asks = false
		return s.learn(i, out.token)
	}
	if !s.withdraw(in.who, in.shared) {
		return false
	}
	return (out.reason == "timeout" || out.reason == "cancelled") && s.told(in, out)
}

// learn notes the token of a holder: they rise in the order of the grants.
func (s *linState) learn(i int, token uint64) bool {
	h := &s.holders[i]
	if h.token != 0 {
		return h.token == token
	}
	if token <= h.lo || h.hi != 0 && token >= h.hi {
		return false
	}
	h.token = token
	h.lo, h.hi = 0, 0 // nothing more to know
	for j := range s.holders {
		switch other := &s.holders[j]; {
		case other.token != 0:
		case j > i:
			other.lo = max(other.lo, token)
		case other.hi == 0 || other.hi > token:
			other.hi = token
		}
	}
	s.last = max(s.last, token)
	return true
}

func (s *linState) withdraw(who int, shared bool) bool {
	i := slices.IndexFunc(s.queue, func(w linWaiter) bool { return w.who == who })
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	s.serve(shared)
	return true
}

func (s *linState) leave(in linInput) {
	s.withdraw(in.who, in.shared)
	s.release(in.who, in.shared)
	s.gone |= 1 << in.who
}

func (s *linState) breakAll(in linInput, out linOutput) bool {
	s.broken = append(s.broken, linVictim{in.id, -1})
	for _, h := range s.holders {
		s.broken = append(s.broken, linVictim{in.id, h.who})
	}
	return out.count == len(s.holders)
}

// victimsGone tells whether those whom an fr has told to go are gone. Then it is
// over.
func (s *linState) victimsGone(id int) bool {
	begun := false
	for _, v := range s.broken {
		begun = begun || v.id == id
		if v.id == id && v.who >= 0 && s.gone&(1<<v.who) == 0 {
			return false
		}
	}
	s.broken = slices.DeleteFunc(s.broken, func(v linVictim) bool { return v.id == id })
	return begun
}

// list words who holds and who waits, as far as it is known.
func (s linState) list() string {
	var text strings.Builder
	for _, h := range s.holders {
		fmt.Fprint(&text, " ", h.who)
	}
	for _, w := range s.queue {
		fmt.Fprint(&text, " ?", w.who)
	}
	return text.String()
}
