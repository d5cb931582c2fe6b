package client

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"lockd/internal/protocol"
)

// An EventKind is what has happened to a lock.
type EventKind string

// The kinds of events.
const (
	Granted  EventKind = "granted"
	Released EventKind = "released" // by its holder
	Orphaned EventKind = "orphaned" // its holder has gone
	Forced   EventKind = "forced"   // its holder was disconnected to free it
	Lost     EventKind = "lost"     // events are missing here
)

// An Event is what a watcher is told. Of Lost, all but Kind and Missed is zero.
type Event struct {
	Kind    EventKind
	Mode    Mode   // Exclusive or Shared
	Lock    string // the lock's name
	Token   uint64 // the fencing token of the grant
	Address string // of the holder
	Missed  uint64 // Lost: at most so many events are missing
}

// eventBuffer is how many events a watcher may be behind before they wait in the
// sockets.
const eventBuffer = 256

// watch hands the events about locks of a prefix to yield until that returns
// false, ctx ends, or the connection does, which is the error it returns. It keeps
// the turn: a watching connection does nothing else any more.
func (c *Conn) watch(ctx context.Context, prefix string, yield func(Event) bool) error {
	line, err := commandLine(protocol.Watch, sendable(prefix))
	if err != nil {
		return err
	}
	if err := c.takeTurn(ctx); err != nil {
		return err
	}
	if err := c.needLevel2(ctx); err != nil {
		return err
	}
	events := c.subscribe()
	lines, err := c.converse(ctx, request{line: line})
	switch {
	case err != nil:
		return err
	case lines[0] != "1 ok":
		return c.distrust(lines[0])
	}
	for {
		e, ok := c.nextEvent(ctx, events)
		switch {
		case !ok && ctx.Err() != nil:
			return ctx.Err()
		case !ok:
			return c.Err()
		case e.Kind != string(Lost) && !strings.HasPrefix(e.Name, prefix): // see sendable
		case !yield(eventOf(e)):
			return nil
		}
	}
}

// nextEvent returns false when there will be none.
func (c *Conn) nextEvent(ctx context.Context, events <-chan protocol.Event) (protocol.Event, bool) {
	select {
	case e := <-events:
		return e, true
	case <-ctx.Done():
		return protocol.Event{}, false
	case <-c.ended:
	}
	select {
	case e := <-events: // that came before the end
		return e, true
	default:
		return protocol.Event{}, false
	}
}

func (c *Conn) subscribe() <-chan protocol.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = make(chan protocol.Event, eventBuffer)
	return c.events
}

// subscription returns where a line goes that was not asked for, nil where it is
// none.
func (c *Conn) subscription(line string) chan<- protocol.Event {
	if !strings.HasPrefix(line, "* ") {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events
}

// tell hands an event to the watcher, and does not read on until that takes it:
// a slow watcher is the server's to deal with.
func (c *Conn) tell(events chan<- protocol.Event, line string) error {
	e, ok := protocol.ParseEvent(line)
	if !ok {
		return unexpected(line)
	}
	select {
	case events <- e:
	case <-c.ended:
	}
	return nil
}

func eventOf(e protocol.Event) Event {
	event := Event{Kind: EventKind(e.Kind), Lock: e.Name, Token: e.Token, Address: e.Addr, Missed: e.Lost}
	if event.Kind != Lost {
		event.Mode = modeOf(e.Shared)
	}
	return event
}

// Watch returns what happens to locks whose names begin with prefix, from when
// the loop over it begins until the loop is left or ctx ends. It takes a
// connection of its own. The loop gets an error, as its last turn, if the server
// cannot be reached or watched, or the connection is lost; an end of ctx is none.
//
// A watcher slows nobody: one that does not keep up is told by a [Lost] that events
// are missing. A server that hangs looks like one where nothing
// happens.
func (c *Client) Watch(ctx context.Context, prefix string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := c.watch(ctx, prefix, func(e Event) bool { return yield(e, nil) })
		if err != nil && ctx.Err() == nil {
			yield(Event{}, fmt.Errorf("watch %q: %w", prefix, err))
		}
	}
}

func (c *Client) watch(ctx context.Context, prefix string, yield func(Event) bool) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer c.discard(conn)
	return conn.watch(ctx, prefix, yield)
}
