package server

import (
	"bytes"
	"slices"
	"sync"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A watcher is a connection that watches the locks whose names begin with a
// prefix.
type watcher struct {
	prefix string
	conn   *conn

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
		return w.nextLost()
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

// nextLost takes what tells of events that are missing. It must be called under mu.
func (w *watcher) nextLost() []byte {
	lost := w.lost
	if lost == 0 {
		return nil
	}
	w.lost = 0
	return protocol.AppendLost(nil, lost)
}

// giveUp takes what tells that all that lies there is lost, and returns how many
// events that was news of.
func (w *watcher) giveUp() (text []byte, news uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range w.texts {
		news += uint64(bytes.Count(text, []byte{'\n'}))
	}
	w.texts, w.bytes = nil, 0
	w.lost += news
	return w.nextLost(), news
}

// watch begins to tell the client what happens to locks whose names begin with
// prefix. It replaces what it was told before.
func (c *conn) watch(prefix []byte) {
	switch {
	case !c.settings.Dump:
		c.out = protocol.AppendDisabled(c.out)
		return
	case len(prefix) > maxPrefix:
		c.out = protocol.AppendBadArguments(c.out, protocol.Watch)
		return
	}
	c.changeWatcher(&watcher{prefix: string(prefix), conn: c})
	c.out = protocol.AppendOK(c.out)
}

func (c *conn) unwatch([]byte) {
	c.changeWatcher(nil)
	c.out = protocol.AppendOK(c.out)
}

// changeWatcher ends what the client is told, and begins anew. What happened until
// now is told or, to a client that does not read, that it is lost.
func (c *conn) changeWatcher(to *watcher) {
	from := c.watcher
	c.srv.hub.change(from, to)
	if from != nil {
		c.flush()
		c.sendEvents()
		text, lost := from.giveUp()
		c.srv.hub.lost.Add(lost)
		c.beginReply()
		c.out = append(c.out, text...)
		c.flushReply()
	}
	c.watcher = to
	c.beginReply()
}

// sendEvents sends the events that lie there, between replies, each by itself
// where the transport has messages. A client that does not read them loses some,
// and is not waited for: it may have a place in a queue.
func (c *conn) sendEvents() {
	for c.watcher != nil && c.err == nil && c.link.roomy() {
		text := c.watcher.next(c.perReply())
		if text == nil {
			return
		}
		c.fail(c.link.write(text))
	}
}

// Happened implements locks.Owner.
func (c *conn) Happened(e locks.Event) {
	if h := c.srv.hub; h.watching.Load() > 0 { // asked here, before the event is copied
		h.note(e)
	}
}
