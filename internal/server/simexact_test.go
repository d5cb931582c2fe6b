package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// wantExact looks at a step in which nothing happened but that one command was
// answered: its answer follows from how things were before.
func (w *simWorld) wantExact() {
	if len(w.gone) > 0 {
		return
	}
	touching := slices.DeleteFunc(slices.Clone(w.answers), func(a simAnswer) bool { return !a.command.touches() })
	switch {
	case len(touching) == 0 && w.begun == 0:
		w.wantExactListings()
	case len(touching) == 1 && (w.begun == 0 || w.begun == 1 && touching[0].command.step == w.step):
		w.wantExactAnswer(touching[0])
	}
}

func (w *simWorld) wantExactAnswer(a simAnswer) {
	lock := w.locks[a.command.key]
	w.tally.exact++
	if a.command.verb == protocol.Break {
		for _, h := range lock.holders {
			if a.command.token == 0 || a.command.token == h.token {
				w.fail("%s is answered %q to %q, held by %v", a.command.client.addr, a.line, a.command.line, lock.holders)
			}
		}
		return
	}
	if want := exactAnswer(a, lock); a.line != want {
		w.fail("%s is answered %q to %q, want %q, held by %v, with %d waiting",
			a.command.client.addr, a.line, a.command.line, want, lock.holders, len(lock.queue))
	}
}

// exactAnswer returns what a command is answered to which a lock is as it was.
func exactAnswer(a simAnswer, lock *simLock) string {
	n := len(lock.holders)
	mine := slices.ContainsFunc(lock.holders, func(h simHolder) bool { return h.addr == a.command.client.addr })
	name := a.command.key.name
	switch a.command.verb {
	case protocol.Get:
		if mine || n == 0 {
			return "1 Lock Get Success: " + name
		}
		return "0 Lock Get Failure: " + name
	case protocol.Inspect:
		if n > 0 {
			return "1 Lock Is Locked: " + name
		}
		return "0 Lock Not Locked: " + name
	case protocol.SharedGet:
		if !mine {
			n++
		}
		return fmt.Sprintf("%d Shared Lock Get Success: %s", n, name)
	case protocol.SharedInspect:
		if n == 0 {
			return "0 Shared Lock Not Locked: " + name
		}
		return fmt.Sprintf("%d Shared Lock Is Locked: %s", n, name)
	case protocol.GetWait, protocol.SharedGetWait:
		return exactOutcome(a, lock, mine).String()
	}
	return a.line // r and sr are judged already: they are about their client alone
}

func exactOutcome(a simAnswer, lock *simLock, mine bool) simOutcome {
	o, n := a.outcome, len(lock.holders)
	o.queue = len(lock.queue)
	if slices.Contains(lock.queue, a.command) {
		o.queue--
	}
	o.won = mine || len(lock.queue) == 0 && fits(a.command, lock.holders)
	if o.won {
		o.waited, o.number = 0, uint64(n)
		if !mine {
			o.number++
		}
		return o
	}
	o.count = n
	if !o.shared {
		o.holder, o.held = lock.holders[0].addr, simMS(a.at-lock.holders[0].since)
	}
	if a.command.ms == 0 {
		o.reason = exactReason(o)
	}
	return o
}

func exactReason(o simOutcome) string {
	switch {
	case o.queue > 0:
		return "queue"
	case o.shared:
		return "limit"
	}
	return "held"
}

// wantExactListings looks at the listings that were answered while nothing
// happened to locks.
func (w *simWorld) wantExactListings() {
	for _, a := range w.answers {
		switch a.command.verb {
		case protocol.Ls:
			w.wantExactEntries(a)
		case protocol.Stats:
			w.wantExactCounters(a)
		}
	}
}

// wantExactEntries wants ls to show who holds and waits, in their order.
func (w *simWorld) wantExactEntries(a simAnswer) {
	keys := slices.SortedFunc(maps.Keys(w.locks), func(a, b simKey) int {
		return strings.Compare(a.name+"\x00"+a.word(), b.name+"\x00"+b.word())
	})
	var want []string
	for _, key := range keys {
		for _, h := range w.locks[key].holders {
			want = append(want, fmt.Sprintf(`"name":%q,"mode":%q,"state":"held","addr":%q`, key.name, key.word(), h.addr))
		}
		for _, command := range w.locks[key].queue {
			want = append(want, fmt.Sprintf(`"name":%q,"mode":%q,"state":"waiting","addr":%q`, key.name, key.word(), command.client.addr))
		}
	}
	if !slices.EqualFunc(a.lines, want, strings.Contains) {
		w.fail("%s is answered %q to ls, want %q", a.command.client.addr, a.lines, want)
	}
}

// wantExactCounters wants q to tell how much there is now.
func (w *simWorld) wantExactCounters(a simAnswer) {
	counts := map[locks.Mode]int{}
	for key, lock := range w.locks {
		if len(lock.holders) > 0 {
			counts[key.mode]++
		}
	}
	for _, line := range []string{
		fmt.Sprint("connections: ", len(w.clients)),
		fmt.Sprint("locks: ", counts[locks.Exclusive]), fmt.Sprint("shared_locks: ", counts[locks.Shared]),
	} {
		if !slices.Contains(a.lines, line) {
			w.fail("%s is answered %q to q, want %q", a.command.client.addr, a.lines, line)
		}
	}
}
