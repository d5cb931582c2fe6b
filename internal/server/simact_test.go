package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// live has clients do things until the profile's steps are over.
func (w *simWorld) live(steps int) {
	for n := range steps {
		if w.dice.below(10) >= w.profile.hurry {
			// Not settled after it: what the clock makes happen and what is done now
			// happens at once.
			time.Sleep(time.Duration(1+w.dice.below(3)) * time.Millisecond)
		}
		for more := true; more; more = w.dice.below(3) == 0 {
			w.act()
		}
		w.settle()
		if n%60 == 59 {
			w.audit()
		}
	}
}

// act has one client do something, or some fight for a lock.
func (w *simWorld) act() {
	switch n := w.dice.below(100); {
	case len(w.living()) == 0 && w.closing:
	case len(w.living()) < 3 || n < 15 && len(w.living()) < w.profile.clients:
		w.arrive()
	case n < 17:
		c := w.anybody()
		w.end(c, w.drawFate(c))
	case n < 19:
		c := w.anybody()
		c.stalled, c.turned = !c.stalled, w.step
		c.link.stall(c.stalled)
	case n < 40:
		w.fight()
	default:
		w.talk(w.anybody())
	}
}

// living returns the clients that can do something.
func (w *simWorld) living() []*simClient {
	return slices.DeleteFunc(slices.Clone(w.clients), func(c *simClient) bool { return c.fate != simLives || c == w.observer })
}

func (w *simWorld) anybody() *simClient {
	living := w.living()
	if len(living) == 0 {
		return nil
	}
	return living[w.dice.below(len(living))]
}

func (w *simWorld) arrive() {
	c := w.open(Transport(w.dice.below(int(numTransports))))
	if c != nil && w.closing && w.step > w.closeStep {
		w.fail("%s connects to a server that closes", c.addr)
	}
	if c != nil && w.dice.below(2) == 0 {
		w.say(c, &simCommand{verb: protocol.Me, line: "me lockd/2"})
	}
}

func (w *simWorld) drawFate(c *simClient) simFate {
	fates := []simFate{simHalfCloses, simCloses, simResets, simCut}
	if c.link.transport == WebSocket {
		fates = fates[1:]
	}
	return fates[w.dice.below(len(fates))]
}

// fight has a holder of a lock leave it, the first who waits for it give up, and
// another come, all or some of these at once.
func (w *simWorld) fight() {
	key := w.keys[w.dice.below(len(w.keys))]
	lock := w.locks[key]
	if len(lock.queue) == 0 {
		w.talk(w.anybody())
		return
	}
	moves := []func(){
		func() { w.leaveLock(w.client(lock.holders[w.dice.below(len(lock.holders))].addr), key) },
		func() { w.giveUp(lock.queue[0].client) },
		func() { w.talk(w.anybody()) },
	}
	for len(moves) > 0 {
		i := w.dice.below(len(moves))
		if w.dice.below(4) > 0 {
			moves[i]()
		}
		moves = slices.Delete(moves, i, i+1)
	}
}

func (w *simWorld) leaveLock(c *simClient, key simKey) {
	switch {
	case c.fate != simLives:
	case w.dice.below(8) == 0:
		w.end(c, w.drawFate(c))
	case len(c.pending) == 0:
		w.utter(c, w.named(protocol.Release, protocol.SharedRelease, key))
	default:
		w.giveUp(c)
	}
}

func (w *simWorld) giveUp(c *simClient) {
	switch {
	case c.fate != simLives:
	case w.dice.below(6) > 0:
		w.utter(c, &simCommand{verb: protocol.Cancel, line: "cancel"})
	default:
		w.end(c, w.drawFate(c))
	}
}

// talk has a client send a few lines.
func (w *simWorld) talk(c *simClient) {
	switch {
	case c == nil || len(c.pending) > 5:
		return
	case len(c.pending) > 0 && w.dice.below(8) > 0:
		return // it waits
	}
	for more := true; more; more = w.dice.below(4) == 0 {
		w.utter(c, w.draw(c))
	}
}

// utter has a client send a command in one of the forms that lines may have.
func (w *simWorld) utter(c *simClient, command *simCommand) {
	text := command.line
	switch w.dice.below(16) {
	case 0:
		text = " \r\n\n" + text
	case 1:
		text = "\t" + strings.ReplaceAll(text, " ", "  ") + " \r"
	case 2:
		text += "\r"
	}
	less := 0
	if w.dice.below(10) == 0 && c.link.transport != WebSocket { // a message ends its line
		less = 1 + w.dice.below(len(text))
	}
	w.send(c, command, text+"\n", less)
}

// named returns a command that names a lock, one verb for each mode.
func (w *simWorld) named(exclusive, shared protocol.Verb, key simKey) *simCommand {
	verb := exclusive
	if key.mode == locks.Shared {
		verb = shared
	}
	return &simCommand{verb: verb, key: key, line: simLine(verb.String(), key.name)}
}

// simLine joins words, and a name that may be empty.
func simLine(words, name string) string { return strings.TrimSuffix(words+" "+name, " ") }

// draw returns what a client may want to say.
func (w *simWorld) draw(c *simClient) *simCommand {
	key := w.keys[w.dice.below(len(w.keys))]
	switch n := w.dice.below(100); {
	case n < 12:
		if key.mode == locks.Shared && w.profile.uniform > 0 {
			return w.drawWait(key)
		}
		return w.named(protocol.Get, protocol.SharedGet, key)
	case n < 17:
		return w.named(protocol.Inspect, protocol.SharedInspect, key)
	case n < 34:
		return w.drawRelease(c, key)
	case n < 86:
		return w.drawWait(key)
	case n < 88:
		return &simCommand{verb: protocol.Cancel, line: "cancel"}
	case n < 90:
		return w.drawBreak(key)
	}
	return w.drawOther(c)
}

// drawRelease prefers what the client holds.
func (w *simWorld) drawRelease(c *simClient, key simKey) *simCommand {
	for _, mine := range w.keys {
		if c.holds[mine] != nil && w.dice.below(3) > 0 {
			key = mine
		}
	}
	return w.named(protocol.Release, protocol.SharedRelease, key)
}

func (w *simWorld) drawWait(key simKey) *simCommand {
	ms := [...]int{0, 0, 1, 1, 2, 3, 5, 8, 20, -1, -1, -1}
	command := w.named(protocol.GetWait, protocol.SharedGetWait, key)
	command.ms = ms[w.dice.below(len(ms))]
	words := fmt.Sprintf("%v %d", command.verb, command.ms)
	if key.mode == locks.Shared {
		command.max = w.profile.uniform
		if command.max == 0 {
			command.max = w.dice.below(4)
		}
		words += fmt.Sprint(" ", command.max)
	}
	command.line = simLine(words, key.name)
	return command
}

// drawBreak wants to break a lock, of whoever or of one of its holders, or to
// disconnect somebody.
func (w *simWorld) drawBreak(key simKey) *simCommand {
	if w.dice.below(3) == 0 {
		addr := w.anybody().addr
		if w.dice.below(4) == 0 {
			addr = "nobody"
		}
		return &simCommand{verb: protocol.Kick, addr: addr, line: "kick " + addr}
	}
	command := w.named(protocol.Break, protocol.Break, key)
	if holders := w.locks[key].holders; len(holders) > 0 && w.dice.below(2) == 0 {
		command.token = holders[w.dice.below(len(holders))].token
	} else if w.dice.below(4) == 0 {
		command.token = 1 << 62
	}
	command.line = simLine(fmt.Sprintf("fr %.1s %d", map[string]string{"exclusive": "x", "shared": "s"}[key.word()], command.token), key.name)
	return command
}

// drawOther returns a command that changes no lock.
func (w *simWorld) drawOther(c *simClient) *simCommand {
	others := []*simCommand{
		{verb: protocol.Ping, line: "ping"},
		{verb: protocol.Me, line: "me"},
		{verb: protocol.Stats, line: "q"},
		{verb: protocol.Ls, line: "ls"},
		{verb: protocol.Watch, line: "watch"},
		{verb: protocol.Watch, line: "watch a"},
		{verb: protocol.Unwatch, line: "unwatch"},
		{verb: protocol.Iam, line: "iam somebody"},
		{verb: protocol.Iam, line: "iam"},
		{verb: protocol.GetWait, line: "gw a", bad: true},
		{verb: protocol.SharedGetWait, line: "sgw 5 a", bad: true},
		{verb: protocol.Break, line: "fr y 1 a", bad: true},
		{verb: protocol.Kick, line: "kick", bad: true},
	}
	if c.level > 1 {
		others = append(others, &simCommand{verb: protocol.Unknown, line: "nonsense"})
	}
	return others[w.dice.below(len(others))]
}
