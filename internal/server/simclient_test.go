package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// simDice are random numbers that are the same for the same seed (splitmix64).
type simDice uint64

func (d *simDice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (d *simDice) below(n int) int { return int(d.next() % uint64(n)) }

// A simFate is how a client ends.
type simFate uint8

const (
	simLives simFate = iota
	simHalfCloses
	simCloses
	simResets
	simCut    // the server was told to disconnect it
	simBroken // by fr or kick
)

// A simKey names a lock.
type simKey struct {
	mode locks.Mode
	name string
}

// word names the mode.
func (k simKey) word() string {
	if k.mode == locks.Shared {
		return "shared"
	}
	return "exclusive"
}

// String is for messages.
func (k simKey) String() string { return fmt.Sprintf("%s %q", k.word(), k.name) }

// A simCommand is a line that a client has sent.
type simCommand struct {
	client *simClient
	verb   protocol.Verb
	line   string // without its LF
	key    simKey // of commands that name a lock
	ms     int    // gw, sgw
	max    int    // sgw
	token  uint64 // fr
	addr   string // kick
	bad    bool   // its arguments are

	sent time.Duration // when its LF was
	step int           // when it began: it is sent, and all before it are answered
	at   time.Duration // the same by the clock, since the start of the server
}

func (c *simCommand) waits() bool {
	return !c.bad && (c.verb == protocol.GetWait || c.verb == protocol.SharedGetWait)
}

// attacks tells whether the command may disconnect somebody.
func (c *simCommand) attacks() bool {
	return !c.bad && (c.verb == protocol.Break || c.verb == protocol.Kick)
}

// touches tells whether the command is about a lock.
func (c *simCommand) touches() bool {
	switch c.verb {
	case protocol.Get, protocol.Release, protocol.Inspect, protocol.SharedGet, protocol.SharedRelease,
		protocol.SharedInspect, protocol.Break:
		return !c.bad
	}
	return c.waits()
}

// A simHold is what a client knows of a lock it holds.
type simHold struct {
	token uint64        // 0 until the listing told it
	since time.Duration // when it got it
}

// A simClient is a client as it sees itself.
type simClient struct {
	addr    string
	link    *simLink
	conn    *conn
	level   int
	name    string
	fate    simFate
	rest    string        // of the last line: what is not sent yet, its LF included
	unsent  *simCommand   // that line's
	cutLine bool          // its last line is one that must not run
	pending []*simCommand // sent, not answered
	last    *simAnswer    // that it got last
	holds   map[simKey]*simHold
	text    string     // received, no whole line yet
	listing []string   // received of a reply of several lines
	stalled bool       // it does not read
	turned  int        // the last step in which that changed
	period  *simPeriod // nil where it does not watch
}

// A simOutcome is the answer to a gw or sgw, taken apart.
type simOutcome struct {
	number uint64 // that it begins with
	shared bool
	won    bool
	token  uint64
	waited int
	reason string
	holder string
	held   int
	count  int
	max    int
	queue  int
	name   string
}

// parseSimOutcome takes apart what must be exactly as docs/protocol.md has it.
func parseSimOutcome(line string) (o simOutcome, ok bool) {
	head, name, ok := strings.Cut(line, " name=")
	if !ok {
		return o, false
	}
	o.name = name
	for i, word := range strings.Fields(head) {
		if i == 0 {
			o.number, _ = strconv.ParseUint(word, 10, 64)
			continue
		}
		o.set(word)
	}
	return o, o.String() == line
}

func (o *simOutcome) set(word string) {
	key, value, _ := strings.Cut(word, "=")
	n, _ := strconv.Atoi(value)
	switch key {
	case "Shared":
		o.shared = true
	case "Success:":
		o.won = true
	case "token":
		o.token, _ = strconv.ParseUint(value, 10, 64)
	case "waited":
		o.waited = n
	case "reason":
		o.reason = value
	case "holder":
		o.holder = value
	case "held":
		o.held = n
	case "count":
		o.count = n
	case "max":
		o.max = n
	case "queue":
		o.queue = n
	}
}

// String words the outcome.
func (o simOutcome) String() string {
	switch {
	case o.won && o.shared:
		return fmt.Sprintf("%d Shared Lock Get Success: token=%d max=%d waited=%d name=%s", o.number, o.token, o.max, o.waited, o.name)
	case o.won:
		return fmt.Sprintf("1 Lock Get Success: token=%d waited=%d name=%s", o.token, o.waited, o.name)
	case o.shared:
		return fmt.Sprintf("0 Shared Lock Get Failure: reason=%s count=%d max=%d queue=%d name=%s", o.reason, o.count, o.max, o.queue, o.name)
	}
	return fmt.Sprintf("0 Lock Get Failure: reason=%s holder=%s held=%d queue=%d name=%s", o.reason, o.holder, o.held, o.queue, o.name)
}

// simMS is a time as replies have it. In a simulation all times are whole
// milliseconds.
func simMS(d time.Duration) int { return int(d / time.Millisecond) }
