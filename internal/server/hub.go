package server

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A hub brings events from the locks to those who watch. Nobody who changes a lock
// waits for a watcher: under the lock's mutex the event is only noted. Ten milliseconds
// later, or more where very many watch (see gather), all that were noted are worded,
// once for all who watch the same names, and laid before their connections, which send
// them between replies.
//
// Watching must not make locking slow, however many watch and however much
// happens: watchers are woken a few at a time, and what they are sent together is
// bounded. What is beyond that is lost, and told.
type hub struct {
	watching atomic.Int64  // watchers there are
	lost     atomic.Uint64 // events, each once for each watcher it was lost for

	mu      sync.Mutex
	noted   notes       // guarded by mu, as below
	dropped uint64      // events that noted had no room for, behind those it has
	timer   *time.Timer // delivers
	armed   bool        // the timer runs
	closed  bool
	running sync.WaitGroup // deliveries by the timer
	done    chan struct{}  // closed by close

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

// A group has the watchers of one prefix, and what a delivery brings them.
type group struct {
	watchers map[*watcher]struct{}
	text     []byte
	count    uint64 // events in text
	over     uint64 // events behind them that there was no room for
}

// A prefixLength is one that prefixes have, and how many do.
type prefixLength struct{ length, prefixes int }

const (
	// deliverAfter is how long events are gathered, at least.
	deliverAfter = 10 * time.Millisecond
	// wakePause and wakesAtOnce pace the waking of watchers. A hundred at once would
	// be milliseconds in which nobody else gets a processor. With twice as many at
	// once and twice the rate, a hundred watchers raised the 99th percentile of g by
	// a third (docs/performance.md, "What goes on beside").
	wakePause   = time.Millisecond
	wakesAtOnce = 2
	// watchRate bounds the bytes that all watchers together are sent in a second. In
	// one second after a pause they may be sent as much again.
	watchRate = 8 << 20
	// maxNotes and maxNoteBytes bound what is gathered for one delivery.
	maxNotes     = 1 << 16
	maxNoteBytes = 4 << 20 // of names
	// watcherBytes is the text that is laid before one watcher, but for a single
	// event that is longer. What comes while there is so much is lost for it.
	watcherBytes = 256 << 10
	// maxPrefix bounds the search for the watchers of an event, which takes a step
	// for each length that prefixes have.
	maxPrefix = 1 << 10 // bytes
)

func newHub() *hub {
	h := &hub{groups: make(map[string]*group), done: make(chan struct{}), allowance: watchRate, allowed: time.Now()}
	h.timer = time.AfterFunc(time.Hour, h.deliver)
	h.timer.Stop()
	return h
}

// note keeps an event for the next delivery. It is called under the mutex of the
// lock.
func (h *hub) note(e locks.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if !h.armed {
		h.armed = true
		h.timer.Reset(h.gather())
	}
	n := &h.noted
	if len(n.events) == maxNotes || len(n.names)+len(e.Name) > maxNoteBytes || h.dropped > 0 {
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
	if !h.begin() {
		return
	}
	defer h.running.Done()
	woken := h.layAll()
	pause := time.NewTicker(wakePause)
	defer pause.Stop()
	for i, w := range woken {
		if i > 0 && i%wakesAtOnce == 0 {
			select {
			case <-pause.C:
			case <-h.done:
				return
			}
		}
		w.conn.wake()
	}
}

// begin begins a delivery by the timer, unless the hub is closed.
func (h *hub) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.armed = false
	if !h.closed {
		h.running.Add(1)
	}
	return !h.closed
}

// layAll delivers, and returns those who have something to take.
func (h *hub) layAll() (woken []*watcher) {
	h.delivering.Lock()
	defer h.delivering.Unlock()
	h.deliverNow()
	for _, g := range h.groups {
		for w := range g.watchers {
			if w.hasSome() {
				woken = append(woken, w)
			}
		}
	}
	return woken
}

// close ends deliveries. It may be called again.
func (h *hub) close() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		h.timer.Stop()
		close(h.done)
	}
	h.mu.Unlock()
	h.running.Wait()
}

// deliverNow lays what was noted before those it is for, who will be woken by
// deliver. It must be called under delivering.
func (h *hub) deliverNow() {
	h.mu.Lock()
	n, dropped := h.noted, h.dropped
	h.noted, h.dropped = h.spare, 0
	h.mu.Unlock()
	h.spare = notes{}
	if len(n.events) == 0 && dropped == 0 {
		h.spare = n
		return
	}
	h.allow()
	for i := range n.events {
		h.word(&n.events[i])
	}
	for _, g := range h.groups {
		h.lay(g, dropped)
	}
	clear(n.events)
	h.spare = notes{n.events[:0], n.names[:0]}
	if h.watching.Load() == 0 {
		h.spare = notes{}
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
	for _, l := range h.lengths {
		if l.length > len(e.Name) {
			return
		}
		if g := h.groups[string(e.Name[:l.length])]; g != nil {
			h.wordFor(g, e)
		}
	}
}

// wordFor appends an event to a group's text, if there is room for it and for all
// before it.
func (h *hub) wordFor(g *group, e *locks.Event) {
	if g.over > 0 || h.allowance <= 0 {
		g.over++
		return
	}
	before := len(g.text)
	g.text = protocol.AppendEvent(g.text, eventWords[e.Kind], e.Mode == locks.Shared, e.Token, e.Session.Addr(), e.Name)
	cost := (len(g.text) - before) * len(g.watchers)
	if cost > h.allowance || before > 0 && len(g.text) > watcherBytes {
		g.text = g.text[:before]
		g.over++
		return
	}
	h.allowance -= cost
	g.count++
}

var eventWords = [...]string{
	locks.Granted: "granted", locks.Released: "released", locks.Orphaned: "orphaned", locks.Forced: "forced",
}

// lay lays a group's text before its watchers. Events that were dropped before
// they had a place in it might have been for them.
func (h *hub) lay(g *group, dropped uint64) {
	missing := g.over + dropped
	if g.count > 0 || missing > 0 {
		for w := range g.watchers {
			h.lost.Add(w.lay(g.text, g.count, missing))
		}
	}
	g.text, g.count, g.over = nil, 0, 0 // the watchers share the text
}

// change ends delivery to one watcher and begins it to another, with no event in
// between that neither gets; nil is nobody. What happened before has been delivered
// then, and is not for who begins.
func (h *hub) change(from, to *watcher) {
	if from == nil && to == nil {
		return
	}
	h.delivering.Lock()
	defer h.delivering.Unlock()
	h.deliverNow()
	if from != nil {
		h.remove(from)
	}
	if to != nil {
		h.add(to)
	}
}

// add must be called under delivering, like remove.
func (h *hub) add(w *watcher) {
	g := h.groups[w.prefix]
	if g == nil {
		g = &group{watchers: make(map[*watcher]struct{})}
		h.groups[w.prefix] = g
		h.countLength(len(w.prefix), 1)
	}
	g.watchers[w] = struct{}{}
	h.watching.Add(1)
}

func (h *hub) remove(w *watcher) {
	g := h.groups[w.prefix]
	delete(g.watchers, w)
	if len(g.watchers) == 0 {
		delete(h.groups, w.prefix)
		h.countLength(len(w.prefix), -1)
	}
	h.watching.Add(-1)
}

// countLength notes that a prefix of a length, by = 1, has come, or gone.
func (h *hub) countLength(length, by int) {
	i, found := slices.BinarySearchFunc(h.lengths, length, func(l prefixLength, length int) int { return l.length - length })
	if !found {
		h.lengths = slices.Insert(h.lengths, i, prefixLength{length: length})
	}
	if h.lengths[i].prefixes += by; h.lengths[i].prefixes == 0 {
		h.lengths = slices.Delete(h.lengths, i, i+1)
	}
}
