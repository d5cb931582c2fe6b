package server

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A simProfile is what kind of life a world has.
type simProfile struct {
	clients int // at most at a time
	names   []string
	uniform int // not 0: shared locks are got by sgw alone, with this MAX
	hurry   int // of 10 steps, how many don't wait for the clock
	steps   int
}

// A simWorld is a server, its clients, and what they must have seen. It lives in
// a bubble of synctest: all that can happen has happened when the world looks.
type simWorld struct {
	t       *testing.T
	seed    uint64
	dice    simDice
	profile simProfile
	srv     *Server
	table   *locks.Table

	step      int
	serial    int
	clients   []*simClient
	observer  *simClient // watches everything, and holds nothing
	keys      []simKey
	locks     map[simKey]*simLock
	logs      map[simLogKey]*simLog
	order     atomic.Uint64 // of what the server writes and closes
	attacks   []*simCommand // that began, or may have begun, in this step
	answers   []simAnswer   // of this step
	begun     int           // commands about locks that began in this step
	gone      []*simClient  // whose end was in this step
	closing   bool
	closeStep int
	closedAt  time.Duration
	destroyed bool
	left      [2]simRange // orphans, by mode, that a Destroy makes

	tally    simTally
	forced   map[simLogKey]bool   // holds that may have been ended by fr, or must
	ends     map[simLogKey]string // how holds have ended, by the events
	stream   []string             // all events that the observer was told
	periods  []*simPeriod         // that are over
	trace    [80]simTrace
	traced   int
	mu       sync.Mutex
	violated string // guarded by mu; found by a goroutine of the server
}

// A simAnswer is the outcome of a command in this step.
type simAnswer struct {
	command *simCommand
	line    string
	at      time.Duration
	place   uint64     // in the order of the world
	fresh   bool       // its client holds the lock since, and did not before
	outcome simOutcome // of gw and sgw
	lines   []string   // of a reply of several lines, all but the last
}

// A simTrace is one of the last things that happened.
type simTrace struct {
	step int
	at   time.Duration
	who  string
	what string
	text string
}

// jostledTable is a table around whose operations others get a chance.
type jostledTable struct{ *locks.Table }

func (t jostledTable) Get(s *locks.Session, r locks.Request) (locks.Result, error) {
	jostle()
	defer jostle()
	return t.Table.Get(s, r)
}

func (t jostledTable) Release(s *locks.Session, m locks.Mode, name []byte, now time.Duration) bool {
	jostle()
	defer jostle()
	return t.Table.Release(s, m, name, now)
}

func (t jostledTable) Leave(s *locks.Session, now time.Duration) int {
	jostle()
	defer jostle()
	return t.Table.Leave(s, now)
}

func (t jostledTable) Break(m locks.Mode, name []byte, token uint64) []*locks.Session {
	jostle()
	defer jostle()
	return t.Table.Break(m, name, token)
}

// newSimWorld must be called in a bubble.
func newSimWorld(t *testing.T, seed uint64) *simWorld {
	w := &simWorld{
		t: t, seed: seed, dice: simDice(seed), table: locks.New(locks.Limits{}, locks.NewTokens(0)),
		locks: make(map[simKey]*simLock), logs: make(map[simLogKey]*simLog),
		forced: make(map[simLogKey]bool), ends: make(map[simLogKey]string),
	}
	w.tally.reasons = make(map[string]int)
	w.profile = w.drawProfile()
	settings := DefaultSettings()
	settings.Admin = func(netip.Addr) bool { return true }
	w.srv = New(Options{Table: jostledTable{w.table}, Settings: settings, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(w.srv.Destroy)
	for _, name := range w.profile.names {
		for _, mode := range []locks.Mode{locks.Exclusive, locks.Shared} {
			w.keys = append(w.keys, simKey{mode, name})
			w.locks[simKey{mode, name}] = new(simLock)
		}
	}
	w.observer = w.open(TCP)
	w.say(w.observer, &simCommand{verb: protocol.Watch, line: "watch"})
	w.settle()
	return w
}

func (w *simWorld) drawProfile() simProfile {
	p := simProfile{
		clients: 3 + w.dice.below(9),
		names:   []string{"a", "a b", ""}[:1+w.dice.below(7)/3],
		hurry:   w.dice.below(10),
		steps:   100 + w.dice.below(700),
	}
	if w.dice.below(2) == 0 {
		p.uniform = 1 + w.dice.below(3)
	}
	return p
}

// open connects a client. It returns nil where the server takes none.
func (w *simWorld) open(transport Transport) *simClient {
	w.serial++
	c := &simClient{
		addr: fmt.Sprintf("192.0.2.1:%d", w.serial), level: 1,
		holds: make(map[simKey]*simHold),
	}
	if transport == Unix {
		c.addr = fmt.Sprintf("unix:%d", w.serial)
	}
	c.link = &simLink{
		world: w, transport: transport, dice: simDice(w.dice.next()),
	}
	w.begun++ // also where none is taken, which is counted for a moment
	w.srv.gate.enter(transport, netip.Addr{}, w.srv.settings.Load())
	c.conn = newConn(w.srv, c.link, c.addr, transport)
	c.link.conn = c.conn
	if !w.srv.track(c.conn) {
		w.srv.gate.leave(transport, netip.Addr{})
		return nil
	}
	w.clients = append(w.clients, c)
	w.note(c.addr, "connects", transport.String())
	go c.conn.begin()
	return c
}

// say has a client send a command and its LF.
func (w *simWorld) say(c *simClient, command *simCommand) { w.send(c, command, command.line+"\n", 0) }

// send has a client send a command as that text, less its last bytes, which go
// with what the client sends next.
func (w *simWorld) send(c *simClient, command *simCommand, text string, less int) {
	command.client = c
	cut := len(text) - less
	text, c.rest = c.rest+text[:cut], text[cut:]
	if c.unsent != nil {
		w.sent(c, c.unsent)
		c.unsent = nil
	}
	if less > 0 {
		c.unsent = command
	} else {
		w.sent(c, command)
	}
	w.note(c.addr, "sends", text)
	c.link.send(text)
}

// sent has a client wait for the answer to a command, whose LF is sent now.
func (w *simWorld) sent(c *simClient, command *simCommand) {
	w.tally.sent[command.verb]++
	command.sent = w.srv.now()
	c.pending = append(c.pending, command)
	if len(c.pending) == 1 {
		w.begin(command, command.sent)
	}
}

// begin notes that all before a command were answered at a time.
func (w *simWorld) begin(command *simCommand, at time.Duration) {
	command.step, command.at = w.step, max(at, command.sent)
	if command.touches() {
		w.begun++
	}
	if command.attacks() {
		w.attacks = append(w.attacks, command)
	}
}

// end has a client end in some way.
func (w *simWorld) end(c *simClient, fate simFate) {
	w.note(c.addr, "ends", [...]string{"", "by half-closing", "by closing", "by a reset", "interrupted"}[fate])
	c.fate = fate
	if fate == simHalfCloses || fate == simCloses {
		w.finishLine(c)
	}
	if fate == simCut {
		c.conn.interrupt()
		return
	}
	c.link.finish(fate)
}

// finishLine sends what is left of a line, but for its LF: it runs when the client
// half-closes, if it is a command of level 1.
func (w *simWorld) finishLine(c *simClient) {
	if c.unsent == nil || c.link.transport == WebSocket {
		return
	}
	c.link.send(strings.TrimSuffix(c.rest, "\n"))
	if level := c.unsent.verb.Level(); level == 1 || level == 0 && c.level > 1 {
		w.sent(c, c.unsent)
	} else {
		c.cutLine = true
	}
	c.unsent, c.rest = nil, ""
}

// settle has all happen that can without the clock, and looks at what it was. The
// dice are new for each step: so what the scheduler did in one does not change
// what is drawn in all that follow.
func (w *simWorld) settle() {
	synctest.Wait()
	w.collect()
	w.check()
	w.attacks, w.answers, w.gone, w.begun = w.attacks[:0], w.answers[:0], nil, 0
	w.step++
	w.dice = simDice(w.seed + uint64(w.step)<<32)
}

func (w *simWorld) note(who, what, text string) {
	w.trace[w.traced%len(w.trace)] = simTrace{w.step, w.srv.now(), who, what, text}
	w.traced++
}

func (w *simWorld) fail(format string, args ...any) {
	w.t.Helper()
	var last strings.Builder
	for i := max(0, w.traced-len(w.trace)); i < w.traced; i++ {
		e := w.trace[i%len(w.trace)]
		fmt.Fprintf(&last, "  step %d %v: %s %s %q\n", e.step, e.at, e.who, e.what, e.text)
	}
	w.t.Fatalf("%s\nin step %d of the world with the seed %d (%s=%d), %+v; last happened:\n%s",
		fmt.Sprintf(format, args...), w.step, w.seed, simSeedVariable, w.seed, w.profile, last.String())
}

// violation keeps what a goroutine of the server has found.
func (w *simWorld) violation(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.violated == "" {
		w.violated = text
	}
}

// wantNothingLeft is called when a connection's client is about to see its end.
func (w *simWorld) wantNothingLeft(c *conn) {
	if n := c.session.Holds(); n > 0 {
		w.violation(fmt.Sprintf("%s sees its end and holds %d locks", c.session.Addr(), n))
	}
	for _, name := range w.profile.names {
		for _, e := range slices.Collect(w.table.List(locks.Query{Exclusive: true, Shared: true, Name: []byte(name), Exact: true, Waiters: true})) {
			if e.Session == c.session {
				w.violation(fmt.Sprintf("%s sees its end and stands in %q", c.session.Addr(), name))
			}
		}
	}
	for _, s := range w.srv.registry.list() {
		if s == c.session {
			w.violation(c.session.Addr() + " sees its end and has a name")
		}
	}
}
