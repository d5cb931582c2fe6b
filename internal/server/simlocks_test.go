package server

import (
	"slices"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// A simLock is a lock as it was at the end of the last step.
type simLock struct {
	holders []simHolder
	queue   []*simCommand

	told      []simHolder // who holds it by the events that were told
	lastToken uint64      // of those
}

// A simHolder is one who holds a lock.
type simHolder struct {
	addr  string
	token uint64
	since time.Duration // not by events
}

// check looks at the server and the table, where nothing goes on until the clock
// moves or a client does something.
func (w *simWorld) check() {
	for _, c := range w.clients {
		w.wantAlive(c)
	}
	holds, waits := 0, 0
	w.wantExact()
	for _, key := range w.keys {
		lock := w.locks[key]
		holders, queue := w.look(key)
		w.wantServed(key, holders, queue)
		w.wantInTurn(key, lock.queue, queue)
		lock.holders, lock.queue = holders, queue
		holds += len(holders)
		waits += len(queue)
	}
	w.wantAllThere(holds, waits)
}

// wantAlive wants a client's connection to have done all it can.
func (w *simWorld) wantAlive(c *simClient) {
	if c.fate != simLives {
		w.fail("%s has ended, but its connection has not", c.addr)
	}
	if len(c.pending) == 0 {
		return
	}
	command := c.pending[0]
	late := command.ms >= 0 && w.srv.now() >= command.at+time.Duration(command.ms)*time.Millisecond
	next := len(c.pending) > 1 && c.pending[1].verb == protocol.Cancel
	if !command.waits() || command.ms == 0 || late || next || w.closing || c.holds[command.key] != nil {
		w.fail("%s is not answered to %q of %v", c.addr, command.line, command.at)
	}
}

// look asks the table who holds a lock and who waits for it, each of whom must
// know that.
func (w *simWorld) look(key simKey) (holders []simHolder, queue []*simCommand) {
	for _, e := range slices.Collect(w.table.List(locks.Query{
		Exclusive: key.mode == locks.Exclusive, Shared: key.mode == locks.Shared,
		Name: []byte(key.name), Exact: true, Waiters: true,
	})) {
		c := w.client(e.Session.Addr())
		switch {
		case c == nil:
			w.fail("%s is gone and stands in %v: %+v", e.Session.Addr(), key, e)
		case e.Waiting:
			queue = append(queue, w.waitOf(c, key, e))
		default:
			holders = append(holders, w.holdOf(c, key, e))
		}
	}
	return holders, queue
}

func (w *simWorld) client(addr string) *simClient {
	for _, c := range w.clients {
		if c.addr == addr {
			return c
		}
	}
	return nil
}

func (w *simWorld) waitOf(c *simClient, key simKey, e locks.Entry) *simCommand {
	if len(c.pending) == 0 || !c.pending[0].waits() || c.pending[0].key != key {
		w.fail("%s stands in the queue of %v and has not asked for it", c.addr, key)
	}
	command := c.pending[0]
	if e.Since != command.at || e.Max != command.max {
		w.fail("%s stands in the queue of %v since %v with %d, but asked %q at %v", c.addr, key, e.Since, e.Max, command.line, command.at)
	}
	return command
}

func (w *simWorld) holdOf(c *simClient, key simKey, e locks.Entry) simHolder {
	hold := c.holds[key]
	if hold == nil || hold.since != e.Since || hold.token != 0 && hold.token != e.Token || e.Token == 0 {
		w.fail("%s holds %v since %v with the token %d, but knows %+v", c.addr, key, e.Since, e.Token, hold)
	}
	hold.token = e.Token
	return simHolder{c.addr, e.Token, e.Since}
}

// wantAllThere wants no client to believe what the table does not know.
func (w *simWorld) wantAllThere(holds, waits int) {
	for _, c := range w.clients {
		holds -= len(c.holds)
		if len(c.pending) > 0 {
			waits--
		}
	}
	if holds != 0 || waits != 0 {
		w.fail("the table has %+d holds and %+d waits that no client knows", holds, waits)
	}
}

// wantServed wants nobody to wait for what is there.
func (w *simWorld) wantServed(key simKey, holders []simHolder, queue []*simCommand) {
	if key.mode == locks.Exclusive && len(holders) > 1 {
		w.fail("%v is held by %v", key, holders)
	}
	if len(queue) > 0 && fits(queue[0], holders) {
		w.fail("%q of %s waits, held by %v", queue[0].line, queue[0].client.addr, holders)
	}
}

func fits(command *simCommand, holders []simHolder) bool {
	if command.key.mode == locks.Exclusive {
		return len(holders) == 0
	}
	return command.max == 0 || len(holders) < command.max
}

// wantInTurn wants those who waited at the end of the last step, and those who
// came after, to have been served in this order.
func (w *simWorld) wantInTurn(key simKey, old, now []*simCommand) {
	still := slices.DeleteFunc(slices.Clone(old), func(c *simCommand) bool { return !slices.Contains(now, c) })
	if len(now) < len(still) || !slices.Equal(now[:len(still)], still) {
		w.fail("the queue of %v has changed its order", key)
	}
	turn := len(old)
	if len(still) > 0 {
		turn = slices.Index(old, still[0])
	}
	last := w.lastOf(old[:turn])
	for _, a := range w.answers {
		if !a.fresh || a.command.key != key || a.command.verb == protocol.SharedGet {
			continue
		}
		place := slices.Index(old, a.command)
		if place > turn || place < 0 && len(still) > 0 {
			w.fail("%s got %v by %q before %s by %q", a.command.client.addr, key, a.command.line, still[0].client.addr, still[0].line)
		}
		if place < 0 && a.outcome.token != 0 && a.outcome.token < last {
			w.fail("%s got %v by %q with the token %d, before one who waited got %d", a.command.client.addr, key, a.command.line, a.outcome.token, last)
		}
	}
}

// lastOf returns the last token that one of those who waited got in this step.
// Theirs must rise in their order.
func (w *simWorld) lastOf(waited []*simCommand) (last uint64) {
	for _, command := range waited {
		for _, a := range w.answers {
			if a.command != command || !a.fresh {
				continue
			}
			if a.outcome.token < last {
				w.fail("%s got the token %d by %q, who waited behind it got %d", command.client.addr, a.outcome.token, command.line, last)
			}
			last = a.outcome.token
		}
	}
	return last
}
