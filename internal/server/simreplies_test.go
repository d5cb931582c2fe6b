package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// collect takes what the server has written to each client.
func (w *simWorld) collect() {
	w.mu.Lock()
	violated := w.violated
	w.mu.Unlock()
	if violated != "" {
		w.fail("%s", violated)
	}
	for _, c := range w.clients {
		writes, closed := c.link.take()
		for _, write := range writes {
			w.receive(c, write)
		}
		if closed {
			w.gone = append(w.gone, c)
			// Of all these the replies may be lost.
			w.attacks = append(w.attacks, slices.DeleteFunc(slices.Clone(c.pending), func(c *simCommand) bool { return !c.attacks() })...)
		}
	}
	for _, c := range w.gone {
		w.bury(c)
	}
	w.wantGoneFirst()
}

func (w *simWorld) receive(c *simClient, write simWrite) {
	c.text += write.text
	told := 0
	for {
		line, rest, found := strings.Cut(c.text, "\n")
		if !found {
			break
		}
		c.text = rest
		w.note(c.addr, "gets", line)
		if w.receiveLine(c, line, write) {
			told++
		}
	}
	if c.link.transport == WebSocket && (c.text != "" || told != 1) {
		w.fail("%s gets %d replies and %q behind them in the message %q", c.addr, told, c.text, write.text)
	}
}

// receiveLine tells whether the line is an event, or ends a reply.
func (w *simWorld) receiveLine(c *simClient, line string, write simWrite) bool {
	switch {
	case strings.HasPrefix(line, "* ") && len(c.listing) == 0:
		w.receiveEvent(c, line)
		return true
	case len(c.pending) == 0:
		w.fail("%s gets %q, having asked nothing", c.addr, line)
	}
	command := c.pending[0]
	if !c.lastLine(command.verb, line) {
		c.listing = append(c.listing, line)
		return false
	}
	c.pending = c.pending[1:]
	w.tally.answered[command.verb]++
	a := simAnswer{command: command, line: line, at: write.at, place: write.place}
	if command.waits() {
		w.judgeWait(c, &a)
	} else {
		w.judge(c, &a)
	}
	w.answers = append(w.answers, a)
	c.last, c.listing = &a, nil
	if len(c.pending) > 0 {
		w.begin(c.pending[0], write.at)
	}
	return true
}

// lastLine tells whether a line is the last of the reply to a command.
func (c *simClient) lastLine(v protocol.Verb, line string) bool {
	switch {
	case v == protocol.Ls || v == protocol.Stats && c.level > 1:
		return line == ""
	case v == protocol.Stats:
		return strings.HasPrefix(line, "shared_orphans: ")
	}
	return true
}

// simJudges say what may be answered to commands that don't wait.
var simJudges = [protocol.NumVerbs]func(w *simWorld, c *simClient, a *simAnswer) (want string){
	protocol.Get:           (*simWorld).judgeGet,
	protocol.Release:       (*simWorld).judgeRelease,
	protocol.Inspect:       (*simWorld).judgeInspect,
	protocol.SharedGet:     (*simWorld).judgeSharedGet,
	protocol.SharedRelease: (*simWorld).judgeRelease,
	protocol.SharedInspect: (*simWorld).judgeSharedInspect,
	protocol.Cancel:        (*simWorld).judgeCancel,
	protocol.Break:         (*simWorld).judgeBreak,
	protocol.Kick:          (*simWorld).judgeKick,
	protocol.Me:            (*simWorld).judgeMe,
	protocol.Iam:           (*simWorld).judgeIam,
	protocol.Watch:         (*simWorld).judgeWatch,
	protocol.Unwatch:       (*simWorld).judgeWatch,
	protocol.Ls:            (*simWorld).judgeListing,
	protocol.Stats:         (*simWorld).judgeListing,
	protocol.Ping:          func(*simWorld, *simClient, *simAnswer) string { return "1 pong" },
	protocol.Unknown: func(_ *simWorld, _ *simClient, a *simAnswer) string {
		return "0 unknown command: " + a.command.line
	},
}

func (w *simWorld) judge(c *simClient, a *simAnswer) {
	want := "0 bad arguments: " + a.command.verb.String()
	if !a.command.bad {
		want = simJudges[a.command.verb](w, c, a)
	}
	if a.line != want {
		w.fail("%s is answered %q to %q, want %q", c.addr, a.line, a.command.line, want)
	}
	if a.at != a.command.at {
		w.fail("%s is answered at %v what began at %v: %q", c.addr, a.at, a.command.at, a.command.line)
	}
}

func (w *simWorld) judgeGet(c *simClient, a *simAnswer) string {
	name, held := a.command.key.name, c.holds[a.command.key] != nil
	if !held && strings.HasPrefix(a.line, "0 ") {
		return "0 Lock Get Failure: " + name
	}
	a.fresh = w.gain(c, a, simFact{kind: simGranted, count: 1})
	return "1 Lock Get Success: " + name
}

func (w *simWorld) judgeRelease(c *simClient, a *simAnswer) string {
	shared := ""
	if a.command.key.mode == locks.Shared {
		shared = "Shared "
	}
	if c.holds[a.command.key] == nil {
		return "0 " + shared + "Lock Release Failure: " + a.command.key.name
	}
	delete(c.holds, a.command.key)
	w.know(c, a.command.key, simFact{kind: simReleased})
	return "1 " + shared + "Lock Release Success: " + a.command.key.name
}

func (w *simWorld) judgeInspect(c *simClient, a *simAnswer) string {
	if c.holds[a.command.key] == nil && strings.HasPrefix(a.line, "0 ") {
		return "0 Lock Not Locked: " + a.command.key.name
	}
	return "1 Lock Is Locked: " + a.command.key.name
}

// count returns the number that an answer begins with.
func (a *simAnswer) count() int {
	word, _, _ := strings.Cut(a.line, " ")
	n, _ := strconv.Atoi(word)
	return n
}

func (w *simWorld) judgeSharedGet(c *simClient, a *simAnswer) string {
	n := max(a.count(), 1)
	a.fresh = w.gain(c, a, simFact{kind: simGranted, count: n})
	return fmt.Sprintf("%d Shared Lock Get Success: %s", n, a.command.key.name)
}

func (w *simWorld) judgeSharedInspect(c *simClient, a *simAnswer) string {
	n := a.count()
	if n == 0 && c.holds[a.command.key] == nil {
		return "0 Shared Lock Not Locked: " + a.command.key.name
	}
	return fmt.Sprintf("%d Shared Lock Is Locked: %s", max(n, 1), a.command.key.name)
}

func (w *simWorld) judgeCancel(c *simClient, _ *simAnswer) string {
	if c.last != nil && c.last.command.waits() && c.last.outcome.reason == "cancelled" {
		return "1 ok"
	}
	return "0 nothing to cancel"
}

func (w *simWorld) judgeBreak(_ *simClient, a *simAnswer) string {
	if strings.HasPrefix(a.line, "0 ") {
		return "0 not held: " + a.command.key.name
	}
	most := 1
	if a.command.key.mode == locks.Shared && a.command.token == 0 {
		most = len(w.clients) + len(w.gone)
	}
	var n int
	if _, err := fmt.Sscanf(a.line, "1 ok count=%d", &n); err != nil || n < 1 || n > most {
		return fmt.Sprintf("1 ok count=1 to %d", most)
	}
	return a.line
}

func (w *simWorld) judgeKick(_ *simClient, a *simAnswer) string {
	if strings.HasPrefix(a.line, "0 ") {
		return "0 no such connection: " + a.command.addr
	}
	return "1 ok count=1"
}

// wantGoneFirst wants those whom fr or kick has disconnected to have seen their
// end before it was answered. Where there was more than one of these, or the server
// was destroyed meanwhile, it can not be told whose victims they are.
func (w *simWorld) wantGoneFirst() {
	if len(w.attacks) != 1 || w.destroyed {
		return
	}
	for _, a := range w.answers {
		for _, c := range w.gone {
			if a.command == w.attacks[0] && c.fate == simBroken && c.link.last > a.place {
				w.fail("%s is answered %q to %q before %s is gone", a.command.client.addr, a.line, a.command.line, c.addr)
			}
		}
	}
}

func (w *simWorld) judgeMe(c *simClient, a *simAnswer) string {
	level := "1 "
	if strings.HasSuffix(a.command.line, "lockd/2") {
		level, c.level = "2 ", 2
	}
	if c.name == "" {
		return level + c.addr + " " + c.addr
	}
	return level + c.addr + " " + c.name
}

func (w *simWorld) judgeIam(c *simClient, a *simAnswer) string {
	_, c.name, _ = strings.Cut(a.command.line, " ")
	return "1 ok"
}

func (w *simWorld) judgeWatch(c *simClient, a *simAnswer) string {
	w.endPeriod(c)
	if a.command.verb == protocol.Watch {
		_, prefix, _ := strings.Cut(a.command.line, " ")
		c.period = &simPeriod{prefix: prefix, place: -1}
	}
	return "1 ok"
}

// judgeListing takes any: what listings show is looked at where nothing else
// happens.
func (w *simWorld) judgeListing(c *simClient, a *simAnswer) string {
	a.lines = c.listing
	return a.line
}

// gain tells whether a client that has got a lock did not hold it before.
func (w *simWorld) gain(c *simClient, a *simAnswer, fact simFact) bool {
	if c.holds[a.command.key] != nil {
		return false
	}
	c.holds[a.command.key] = &simHold{token: fact.token, since: a.at}
	w.know(c, a.command.key, fact)
	return true
}

// judgeWait looks at the outcome of a gw or sgw.
func (w *simWorld) judgeWait(c *simClient, a *simAnswer) {
	o, ok := parseSimOutcome(a.line)
	command := a.command
	if !ok || o.shared != (command.key.mode == locks.Shared) || o.name != command.key.name || o.shared && o.max != command.max {
		w.fail("%s is answered %q to %q", c.addr, a.line, command.line)
	}
	a.outcome = o
	why := ""
	if o.won {
		why = w.judgeWon(c, a, o)
	} else {
		why = w.judgeLost(c, a, o)
	}
	if why != "" {
		w.fail("%s is answered %q at %v to %q of %v: %s", c.addr, a.line, a.at, command.line, command.at, why)
	}
}

// judgeWon returns what is wrong.
func (w *simWorld) judgeWon(c *simClient, a *simAnswer, o simOutcome) string {
	command := a.command
	hold := c.holds[command.key]
	if hold != nil {
		switch {
		case o.waited != 0 || a.at != command.at:
			return "it waits for what it holds"
		case hold.token != 0 && hold.token != o.token:
			return fmt.Sprintf("it holds it with the token %d", hold.token)
		}
		return ""
	}
	a.fresh = w.gain(c, a, simFact{kind: simGranted, token: o.token, count: max(int(o.number), 1)})
	w.tally.waits[command.key.mode].least++
	if o.waited > 0 || command.step < w.step {
		w.tally.reasons["granted"]++
	} else {
		w.tally.reasons["granted at once"]++
	}
	switch {
	case command.at+time.Duration(o.waited)*time.Millisecond != a.at:
		return "this is not how long it waited"
	case command.ms >= 0 && o.waited > command.ms:
		return "it waited longer than it asked for"
	case o.shared && command.max > 0 && int(o.number) > command.max:
		return "there are more holders than it asked for"
	case o.token == 0:
		return "no token"
	}
	return ""
}

// judgeLost returns what is wrong.
func (w *simWorld) judgeLost(c *simClient, a *simAnswer, o simOutcome) string {
	command, waits := a.command, &w.tally.waits[a.command.key.mode]
	if c.holds[command.key] != nil {
		return "it holds it"
	}
	w.tally.reasons[o.reason]++
	end := command.at
	waited := true
	switch o.reason {
	case "held", "queue", "limit":
		waited = false
		if command.ms != 0 {
			return "it was no try"
		}
	case "timeout":
		if command.ms <= 0 {
			return "it has no end"
		}
		end += time.Duration(command.ms) * time.Millisecond
	case "cancelled":
		end = a.at
		if command.ms == 0 || c.fate != simHalfCloses && !c.cancels() {
			return "nobody cancelled"
		}
	case "draining":
		waited = command.step < w.closeStep
		end = max(end, w.closedAt)
		if !w.closing || command.ms == 0 {
			return "the server does not close"
		}
		if command.step == w.closeStep {
			waits.doubt++
		}
	default:
		return "there is no such reason"
	}
	if waited {
		waits.least++
	}
	if a.at != end {
		return fmt.Sprintf("it should have ended at %v", end)
	}
	return ""
}

// cancels tells whether the next line is cancel.
func (c *simClient) cancels() bool {
	return len(c.pending) > 0 && c.pending[0].verb == protocol.Cancel
}
