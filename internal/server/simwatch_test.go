package server

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A simPeriod is what one client is told between watch and unwatch.
type simPeriod struct {
	prefix string
	lines  []string // that are not compared yet
	place  int      // of the first of these in the observer's stream; -1: not known
	missed uint64   // events behind lines, that the client was told to have missed
}

func (p *simPeriod) covers(line string) bool {
	_, name, _ := strings.Cut(line, " name=")
	return strings.HasPrefix(name, p.prefix)
}

// endPeriod ends what a client is told, and keeps it for the next audit.
func (w *simWorld) endPeriod(c *simClient) {
	if c.period != nil && c != w.observer {
		w.periods = append(w.periods, c.period)
	}
	c.period = nil
}

// receiveLost takes what a client that does not read and ends its watching is told
// to have missed.
func (w *simWorld) receiveLost(c *simClient, line string) bool {
	count, ok := strings.CutPrefix(line, "* lost count=")
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(count, 10, 64)
	if err != nil || n == 0 || c.period == nil || c.period.missed > 0 || !c.stalled && c.turned < w.step {
		w.fail("%s is told %q", c.addr, line)
	}
	c.period.missed = n
	w.tally.missed.least += n
	return true
}

// simPrompt is within what time a client is told of an event that watches and
// reads: some ten milliseconds, and one more for each four who watch.
const simPrompt = 30 * time.Millisecond

// auditPeriods wants those who watch to be told, in time, what the observer was told
// until now, and nothing else.
func (w *simWorld) auditPeriods() {
	until := len(w.stream)
	time.Sleep(simPrompt)
	w.settle()
	w.say(w.observer, &simCommand{verb: w.observer.last.command.verb, line: "watch"})
	w.settle()
	for _, c := range w.clients {
		if c.period != nil && c != w.observer && (!c.stalled || len(c.period.lines) > 0) {
			n := w.compare(c.period, until)
			if n < until && !c.stalled {
				w.fail("%s watches %q, is told %q and not yet %q", c.addr, c.period.prefix, c.period.lines, w.stream[n:until])
			}
		}
	}
	for _, p := range w.periods {
		known := p.place >= 0 || len(p.lines) > 0
		place := w.compare(p, len(w.stream))
		missed := uint64(0)
		for _, line := range w.stream[place:] {
			if p.covers(line) {
				missed++
			}
		}
		if len(p.lines) > 0 || known && missed < p.missed {
			w.fail("one who watches %q is told %q, and the observer is not", p.prefix, p.lines)
		}
	}
	w.periods = nil
}

// compare compares what one who watches was told with the observer's stream up to
// a place, and returns up to where it was told all.
func (w *simWorld) compare(p *simPeriod, until int) int {
	switch {
	case p.place < 0 && len(p.lines) == 0:
		return until // who begins to watch may be ahead of what the observer was told
	case p.place < 0:
		if p.place = slices.Index(w.stream, p.lines[0]); p.place < 0 {
			w.fail("one who watches %q is told %q, and the observer is not", p.prefix, p.lines[0])
		}
	}
	for ; p.place < until; p.place++ {
		line := w.stream[p.place]
		switch {
		case !p.covers(line):
			continue
		case len(p.lines) == 0:
			return p.place
		case p.lines[0] != line:
			w.fail("one who watches %q is told %q, and the observer %q", p.prefix, p.lines[0], line)
		}
		p.lines = p.lines[1:]
	}
	return p.place
}
