package server

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A hub brings events from the locks to those who watch. Nobody who changes a lock
// waits for a watcher: under the lock's mutex the event is only noted. A few
// milliseconds later all that were noted are worded, once for all who watch the
// same names, and laid before their connections, which send them between replies.
//
// Watching must not make locking slow, however many watch and however much
// happens: watchers are woken a few at a time, and what they are sent together is
// bounded. What is beyond that is lost, and told.
type hub struct {
	watching atomic.Int64  // watchers there are
	lost     atomic.Uint64 // events, each once for each watcher it was lost for

	mu      sync.Mutex
	noted   notes // guarded by mu, as below
	dropped uint64
	timer   *time.Timer // delivers
	armed   bool        // the timer runs

	delivering sync.Mutex // orders deliveries; guards what follows
	spare      notes
	allowance  int               // bytes that may be laid before watchers now, all together
	allowed    time.Time         // when that was reckoned
	groups     map[string]*group // by prefix
	lengths    []prefixLength    // of the prefixes, sorted
}

// notes are events in the order they happened. Their names are cut off one slice,
// since those of the events were only lent.
type notes struct {
	events []locks.Event
	names  []byte
}

// A group has the watchers of one prefix.
type group struct {
	prefix   string
	watchers map[*watcher]struct{}
	text     []byte // worded in a delivery
	count    uint64
}

// A prefixLength is one that prefixes have, and how many do.
type prefixLength struct{ bytes, groups int }

const (
	// deliverAfter is how long events are gathered, at least.
	deliverAfter = 10 * time.Millisecond
	// wakePause and wakesAtOnce pace the waking of watchers. A hundred at once would
	// be three milliseconds in which nobody else gets a processor.
	wakePause   = time.Millisecond
	wakesAtOnce = 4
	// watchRate bounds the bytes that all watchers together are sent in a second. In
	// one second after a pause they may be sent as much again.
	watchRate = 16 << 20
	// maxNotes is far above what happens between two deliveries.
	maxNotes = 1 << 18
	// watcherBytes is the text that is laid before one watcher. What comes while
	// there is so much is lost for it.
	watcherBytes = 256 << 10
)

func newHub() *hub {
	h := &hub{groups: make(map[string]*group), allowance: watchRate, allowed: time.Now()}
	h.timer = time.AfterFunc(time.Hour, h.deliver)
	h.timer.Stop()
	return h
}

// note keeps an event for the next delivery. It is called under the mutex of the
// lock.
func (h *hub) note(e locks.Event) {
	if h.watching.Load() == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.armed {
		h.armed = true
		h.timer.Reset(h.gather())
	}
	n := &h.noted
	if len(n.events) == maxNotes {
		h.dropped++
		return
	}
	begin := len(n.names)
	n.names = append(n.names, e.Name...)
	e.Name = n.names[begin:len(n.names):len(n.names)]
	n.events = append(n.events, e)
}

// gather is how long events are gathered: so long that the watchers of the
// delivery before have been woken.
func (h *hub) gather() time.Duration {
	return max(deliverAfter, time.Duration(h.watching.Load())*wakePause/wakesAtOnce)
}

// deliver lays what was noted before those it is for, and wakes them.
func (h *hub) deliver() {
	h.delivering.Lock()
	h.mu.Lock()
	h.armed = false
	h.mu.Unlock()
	h.deliverNow()
	var woken []*watcher
	for _, g := range h.groups {
		for w := range g.watchers {
			if w.hasSome() {
				woken = append(woken, w)
			}
		}
	}
	h.delivering.Unlock()
	for i, w := range woken {
		if i > 0 && i%wakesAtOnce == 0 {
			time.Sleep(wakePause)
		}
		w.link.wake()
	}
}

// deliverNow lays what was noted before those it is for, who will be woken by
// deliver. It must be called under delivering.
func (h *hub) deliverNow() {
	h.mu.Lock()
	n, dropped := h.noted, h.dropped
	h.noted, h.dropped = h.spare, 0
	h.mu.Unlock()
	h.spare = notes{}
	if len(n.events) == 0 {
		h.spare = n
		return
	}
	for i := range n.events {
		h.word(&n.events[i])
	}
	h.allow()
	for _, g := range h.groups {
		g.deliver(h, dropped)
	}
	if cap(n.events) <= maxNotes/16 && cap(n.names) <= 1<<20 { // a burst leaves no memory behind
		clear(n.events)
		h.spare = notes{n.events[:0], n.names[:0]}
	}
}

// allow reckons what may be laid before watchers now.
func (h *hub) allow() {
	now := time.Now()
	more := min(now.Sub(h.allowed), time.Second)
	h.allowance = min(h.allowance+int(more*watchRate/time.Second), watchRate)
	h.allowed = now
}

// word appends an event to the text of each group that it is for.
func (h *hub) word(e *locks.Event) {
	for _, length := range h.lengths {
		if length.bytes > len(e.Name) {
			return
		}
		if g := h.groups[string(e.Name[:length.bytes])]; g != nil {
			g.text = protocol.AppendEvent(g.text, eventWords[e.Kind], e.Mode == locks.Shared, e.Token, e.Session.Addr(), e.Name)
			g.count++
		}
	}
}

var eventWords = [...]string{
	locks.Granted: "granted", locks.Released: "released", locks.Orphaned: "orphaned", locks.Forced: "forced",
}

// deliver lays the group's text before its watchers. Events that were dropped
// before they had a place in it might have been for them.
func (g *group) deliver(h *hub, missing uint64) {
	if cut := h.allowance / len(g.watchers); cut < len(g.text) {
		whole := bytes.LastIndexByte(g.text[:cut], '\n') + 1
		over := uint64(bytes.Count(g.text[whole:], []byte{'\n'}))
		g.text, g.count, missing = g.text[:whole], g.count-over, missing+over
	}
	h.allowance -= len(g.text) * len(g.watchers)
	if g.count > 0 || missing > 0 {
		for w := range g.watchers {
			h.lost.Add(w.lay(g.text, g.count, missing))
		}
	}
	g.text, g.count = nil, 0 // the watchers share the text
}

// add begins to deliver to a watcher what happens from now on.
func (h *hub) add(w *watcher) {
	h.delivering.Lock()
	defer h.delivering.Unlock()
	h.deliverNow() // what happened before is not for it
	g := h.groups[w.prefix]
	if g == nil {
		g = &group{prefix: w.prefix, watchers: make(map[*watcher]struct{})}
		h.groups[w.prefix] = g
		h.countLength(len(w.prefix), 1)
	}
	g.watchers[w] = struct{}{}
	h.watching.Add(1)
}

// remove ends what add began; nil is nobody. What happened before has been
// delivered then.
func (h *hub) remove(w *watcher) {
	if w == nil {
		return
	}
	h.delivering.Lock()
	defer h.delivering.Unlock()
	h.deliverNow()
	g := h.groups[w.prefix]
	delete(g.watchers, w)
	if len(g.watchers) == 0 {
		delete(h.groups, w.prefix)
		h.countLength(len(w.prefix), -1)
	}
	h.watching.Add(-1)
}

// countLength notes that one prefix of a length, by = 1, has come, or gone.
func (h *hub) countLength(bytes, by int) {
	i, found := slices.BinarySearchFunc(h.lengths, bytes, func(l prefixLength, bytes int) int { return l.bytes - bytes })
	if !found {
		h.lengths = slices.Insert(h.lengths, i, prefixLength{bytes: bytes})
	}
	if h.lengths[i].groups += by; h.lengths[i].groups == 0 {
		h.lengths = slices.Delete(h.lengths, i, i+1)
	}
}

// A watcher is a connection that watches the locks whose names begin with a
// prefix.
type watcher struct {
	prefix string
	link   link

	mu    sync.Mutex
	texts [][]byte // guarded by mu; shared, not to be changed
	bytes int      // of texts
	lost  uint64   // events behind texts
}

// lay lays events before the watcher, some missing behind them, and returns how
// many it will miss.
func (w *watcher) lay(text []byte, count, missing uint64) (lost uint64) {
	w.mu.Lock()
	lost = missing
	switch {
	case w.lost > 0 || w.bytes > 0 && w.bytes+len(text) > watcherBytes:
		lost += count
	case count > 0:
		w.texts = append(w.texts, text)
		w.bytes += len(text)
	}
	w.lost += lost
	w.mu.Unlock()
	return lost
}

// hasSome tells whether there is something for take.
func (w *watcher) hasSome() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.texts) > 0 || w.lost > 0
}

// next takes the first that lies there: a text, or of it only the first line, or
// where events are missing.
func (w *watcher) next(line bool) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.texts) == 0 {
		if w.lost == 0 {
			return nil
		}
		defer func() { w.lost = 0 }()
		return protocol.AppendLost(nil, w.lost)
	}
	text := w.texts[0]
	if line {
		text = text[:bytes.IndexByte(text, '\n')+1]
	}
	w.bytes -= len(text)
	w.texts[0] = w.texts[0][len(text):]
	if len(w.texts[0]) == 0 {
		w.texts = slices.Delete(w.texts, 0, 1)
	}
	return text
}

// watch begins to tell the client what happens to locks whose names begin with
// prefix. It replaces what it was told before.
func (c *conn) watch(prefix []byte) {
	if !c.settings.Dump {
		c.out = protocol.AppendDisabled(c.out)
		return
	}
	c.stopWatching()
	c.begin()
	c.watcher = &watcher{prefix: string(prefix), link: c.link}
	c.srv.hub.add(c.watcher)
	c.out = protocol.AppendOK(c.out)
}

func (c *conn) unwatch([]byte) {
	c.stopWatching()
	c.begin()
	c.out = protocol.AppendOK(c.out)
}

// stopWatching ends what watch began. What happened until now is told, to a client
// that reads.
func (c *conn) stopWatching() {
	c.srv.hub.remove(c.watcher)
	if c.watcher != nil {
		c.flush()
		c.sendEvents()
	}
	c.watcher = nil
}

// sendEvents sends the events that lie there, between replies, each by itself
// where the transport has messages. A client that does not read them loses some,
// and is not waited for: it may have a place in a queue.
func (c *conn) sendEvents() {
	for c.watcher != nil && c.err == nil && c.link.roomy() {
		text := c.watcher.next(c.perReply)
		if text == nil {
			return
		}
		if err := c.link.write(text); err != nil {
			c.err = err
		}
	}
}

// Happened implements locks.Owner.
func (c *conn) Happened(e locks.Event) { c.srv.hub.note(e) }
