package server

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A simFact is that a client's hold on a lock has begun or ended.
type simFact struct {
	kind  simKind
	token uint64 // 0: not known
	count int    // holders with it when it began; 0: not known
}

type simKind uint8

const (
	simGranted simKind = iota
	simReleased
	simEnded // with the client
)

// A simLogKey is a client and a lock.
type simLogKey struct {
	addr string
	lock simKey
}

// A simLog has what is known of one client and one lock from two sides: from the
// client's own replies, and from the events that another one watches. What stands
// on both sides is taken out.
type simLog struct {
	known, seen []simFact
	torn        bool // the client has missed replies: there may be more to see
}

// A simRange is a number that is known but for a doubt.
type simRange struct{ least, doubt uint64 }

func (r simRange) has(n uint64) bool { return r.least <= n && n <= r.least+r.doubt }

// A simTally counts what the server counts.
type simTally struct {
	sent     [protocol.NumVerbs]uint64
	answered [protocol.NumVerbs]uint64
	unknown  [protocol.NumVerbs]uint64 // sent by clients that ended before the answer
	orphans  [2]uint64                 // by mode, as all below
	ended    [2]uint64
	waits    [2]simRange

	missed        simRange // events, by those who don't read
	events, exact int
	reasons       map[string]int // outcomes of gw and sgw
	fates         [simBroken + 1]int
}

func (w *simWorld) log(addr string, key simKey) *simLog {
	k := simLogKey{addr, key}
	if w.logs[k] == nil {
		w.logs[k] = new(simLog)
	}
	return w.logs[k]
}

// know notes what a client has learnt from a reply.
func (w *simWorld) know(c *simClient, key simKey, fact simFact) {
	l := w.log(c.addr, key)
	l.known = append(l.known, fact)
	w.match(c.addr, key, l)
}

// match compares both sides.
func (w *simWorld) match(addr string, key simKey, l *simLog) {
	for len(l.known) > 0 && len(l.seen) > 0 {
		known, seen := l.known[0], l.seen[0]
		if known.kind != seen.kind || known.token != 0 && known.token != seen.token || known.count != 0 && known.count != seen.count {
			w.fail("%s knows of %v: %+v, the events tell %+v", addr, key, l.known, l.seen)
		}
		l.known, l.seen = l.known[1:], l.seen[1:]
	}
	if l.torn {
		l.seen = nil
	}
}

// receiveEvent takes what a client that watches is told.
func (w *simWorld) receiveEvent(c *simClient, line string) {
	if w.receiveLost(c, line) {
		return
	}
	kind, key, holder, ok := parseSimEvent(line)
	switch {
	case !ok:
		w.fail("%s is told %q", c.addr, line)
	case c.period == nil && c != w.observer:
		w.fail("%s does not watch and is told %q", c.addr, line)
	case w.destroyed:
		return
	case c != w.observer:
		c.period.lines = append(c.period.lines, line)
		return
	}
	w.stream = append(w.stream, line)
	w.tally.events++
	fact := w.happened(kind, key, holder)
	l := w.log(holder.addr, key)
	l.seen = append(l.seen, fact)
	w.match(holder.addr, key, l)
}

// parseSimEvent takes apart what must be exactly as docs/protocol.md has it.
func parseSimEvent(line string) (kind string, key simKey, h simHolder, ok bool) {
	head, name, ok := strings.Cut(line, " name=")
	words := strings.Split(head, " ")
	if !ok || len(words) != 5 || words[0] != "*" {
		return "", key, h, false
	}
	kind, key.name = words[1], name
	mode, okMode := strings.CutPrefix(words[2], "mode=")
	token, okToken := strings.CutPrefix(words[3], "token=")
	addr, okAddr := strings.CutPrefix(words[4], "addr=")
	if mode == "shared" {
		key.mode = locks.Shared
	}
	h.addr = addr
	h.token, _ = strconv.ParseUint(token, 10, 64)
	return kind, key, h, okMode && okToken && okAddr && mode == key.word() && h.token > 0
}

var simEnds = []string{"released", "orphaned", "forced"}

// happened follows the events of a lock: they tell who holds it at each moment.
func (w *simWorld) happened(kind string, key simKey, h simHolder) simFact {
	lock := w.locks[key]
	if kind == "granted" {
		if h.token <= lock.lastToken {
			w.fail("%v is granted with the token %d after %d", key, h.token, lock.lastToken)
		}
		lock.lastToken = h.token
		lock.told = append(lock.told, h)
		most := 1
		if key.mode == locks.Shared {
			most = w.profile.uniform
		}
		if most > 0 && len(lock.told) > most {
			w.fail("%v has the holders %+v, of whom there may be %d", key, lock.told, most)
		}
		return simFact{simGranted, h.token, len(lock.told)}
	}
	i := slices.Index(lock.told, h)
	if i < 0 || !slices.Contains(simEnds, kind) {
		w.fail("%v is %s by %+v, while it is held by %+v", key, kind, h, lock.told)
	}
	lock.told = slices.Delete(lock.told, i, i+1)
	w.tally.ended[key.mode]++
	if kind == "released" {
		return simFact{kind: simReleased, token: h.token}
	}
	w.tally.orphans[key.mode]++
	w.ends[simLogKey{h.addr, key}] = kind
	return simFact{kind: simEnded, token: h.token}
}

// bury takes a client that has seen its end out of the world.
func (w *simWorld) bury(c *simClient) {
	if c.fate == simLives {
		w.wantBroken(c)
		c.fate = simBroken
	}
	torn := c.fate != simHalfCloses || len(c.pending) > 0
	if c.fate == simHalfCloses && torn && !w.broken(c) {
		w.fail("%s has half-closed and got no answer to %q", c.addr, c.pending[0].line)
	}
	w.note(c.addr, "is gone", "")
	w.tally.fates[c.fate]++
	w.noteForced(c)
	if c.period != nil && torn {
		w.tally.missed.doubt += uint64(w.tally.events)
	}
	for _, command := range c.pending {
		w.tally.unknown[command.verb]++
		if command.waits() {
			w.tally.waits[command.key.mode].doubt++
		}
	}
	if c.cutLine && c.fate == simHalfCloses && !w.broken(c) {
		w.tally.answered[protocol.Unknown]++
	} else if c.cutLine {
		w.tally.unknown[protocol.Unknown]++
	}
	w.endPeriod(c)
	for _, key := range w.keys {
		l := w.log(c.addr, key)
		if c.holds[key] != nil && !torn {
			l.known = append(l.known, simFact{kind: simEnded})
		}
		l.torn = torn
		w.match(c.addr, key, l)
	}
	w.clients = slices.DeleteFunc(w.clients, func(other *simClient) bool { return other == c })
}

// wantBroken wants there to be a reason for the server to disconnect a client.
func (w *simWorld) wantBroken(c *simClient) {
	if !w.destroyed && !w.broken(c) {
		w.fail("%s was disconnected for no reason", c.addr)
	}
}

// broken tells whether a client may have been the target of fr or kick.
func (w *simWorld) broken(c *simClient) bool {
	return slices.ContainsFunc(w.attacks, func(attack *simCommand) bool {
		return attack.addr == c.addr || attack.verb == protocol.Break && w.wanted(c, attack.key)
	})
}

// wanted tells whether a client may have held a lock at some time in this step.
func (w *simWorld) wanted(c *simClient, key simKey) bool {
	return c.holds[key] != nil || w.held(c, key) ||
		slices.ContainsFunc(c.pending, func(command *simCommand) bool { return command.key == key })
}

// held tells whether a client held a lock at the end of the last step.
func (w *simWorld) held(c *simClient, key simKey) bool {
	return slices.ContainsFunc(w.locks[key].holders, func(h simHolder) bool { return h.addr == c.addr })
}

// noteForced notes what a client's holds must end as in the events, that is gone.
func (w *simWorld) noteForced(c *simClient) {
	for _, attack := range w.attacks {
		if attack.verb == protocol.Break && w.wanted(c, attack.key) {
			k := simLogKey{c.addr, attack.key}
			// What it had asked for may have been done before it went.
			must := len(w.attacks) == 1 && c.fate == simBroken && w.held(c, attack.key) && len(c.pending) == 0
			w.forced[k] = w.forced[k] || must
		}
	}
}

// wantForced wants the holds that fr has ended to be told as forced, and no
// others. Of some it can not be known.
func (w *simWorld) wantForced() {
	for k, must := range w.forced {
		if must && w.ends[k] != "forced" {
			w.fail("%v of %s was broken, and is told as %s", k.lock, k.addr, w.ends[k])
		}
	}
	for k, end := range w.ends {
		if _, may := w.forced[k]; end == "forced" && !may {
			w.fail("%v of %s was not broken, and is told as forced", k.lock, k.addr)
		}
	}
	clear(w.forced)
	clear(w.ends)
}

// audit has the observer told all that has happened, and compares everything.
func (w *simWorld) audit() {
	w.say(w.observer, &simCommand{verb: protocol.Watch, line: "watch"})
	w.settle()
	for k, l := range w.logs {
		if len(l.known) > 0 || len(l.seen) > 0 {
			w.fail("%s knows of %v: %+v, the events tell %+v", k.addr, k.lock, l.known, l.seen)
		}
		if w.client(k.addr) == nil {
			delete(w.logs, k)
		}
	}
	for _, key := range w.keys {
		lock := w.locks[key]
		if !slices.EqualFunc(lock.holders, lock.told, func(a, b simHolder) bool { return a.addr == b.addr && a.token == b.token }) {
			w.fail("%v is held by %+v, the events tell %+v", key, lock.holders, lock.told)
		}
	}
	w.wantForced()
	w.auditPeriods()
	w.wantStats(w.srv.Stats())
}

// wantStats wants the counters to be exact.
func (w *simWorld) wantStats(st Stats) {
	watchers := 0
	pending := [protocol.NumVerbs]uint64{}
	for _, c := range w.clients {
		if c.period != nil {
			watchers++
		}
		if len(c.pending) > 0 {
			pending[c.pending[0].verb]++ // it is read already, as it waits
		}
	}
	if int(st.Connections()) != len(w.clients) || int(st.Watchers) != watchers || !w.tally.missed.has(st.LostEvents) {
		w.fail("there are %d clients, %d watch; the counters are %+v", len(w.clients), watchers, st)
	}
	counts := []Count{{"", st.InvalidCommands}}
	counts = append(counts, st.Commands...)
	for v, c := range counts {
		want := simRange{w.tally.answered[v] + pending[v], w.tally.unknown[v]}
		if c.Name != protocol.Verb(v).String() || !want.has(c.Value) {
			w.fail("the command %q is counted %d times, want %+v", c.Name, c.Value, want)
		}
	}
	w.wantModeStats(locks.Exclusive, st.Locks.Exclusive)
	w.wantModeStats(locks.Shared, st.Locks.Shared)
	w.wantOldest(st)
	w.wantDurations()
}

func (w *simWorld) wantModeStats(m locks.Mode, got locks.ModeStats) {
	want := locks.ModeStats{Orphans: w.tally.orphans[m]}
	for key, lock := range w.locks {
		if key.mode != m || len(lock.holders) == 0 {
			continue
		}
		want.Locks++
		want.NameBytes += uint64(len(key.name))
		want.Holders += uint64(len(lock.holders))
		want.Waiters += uint64(len(lock.queue))
	}
	if got != want {
		w.fail("the counters of mode %d are %+v, want %+v", m, got, want)
	}
}

// wantOldest wants the longest wait to be known, and an empty table to be empty.
func (w *simWorld) wantOldest(st Stats) {
	oldest, held := time.Duration(0), 0
	for _, lock := range w.locks {
		held += len(lock.holders)
		for _, command := range lock.queue {
			oldest = max(oldest, w.srv.now()-command.at)
		}
	}
	if st.OldestWaiter != oldest {
		w.fail("the longest wait is told to be of %v, and is of %v", st.OldestWaiter, oldest)
	}
	if (held == 0) != (st.Locks.Bytes == 0) {
		w.fail("%d holds take %d bytes", held, st.Locks.Bytes)
	}
}

// wantDurations wants each hold that has ended, and each wait, in the histograms.
func (w *simWorld) wantDurations() {
	exclusive, shared := w.table.Durations()
	for m, d := range map[locks.Mode]locks.Durations{locks.Exclusive: exclusive, locks.Shared: shared} {
		if n := observed(d.Hold); n != w.tally.ended[m] {
			w.fail("of mode %d, %d holds have ended and %d are observed", m, w.tally.ended[m], n)
		}
		if n := observed(d.Wait); !w.tally.waits[m].has(n) {
			w.fail("of mode %d, %d waits are observed, want %+v", m, n, w.tally.waits[m])
		}
	}
}

func observed(h locks.Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}
