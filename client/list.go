package client

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"lockd/internal/protocol"
)

// A Query says which locks to list. The zero value is all of them.
type Query struct {
	Mode   Mode
	Prefix string // how the names begin
}

// An Entry is a lock and one that holds it or waits for it.
type Entry struct {
	Lock    string // the lock's name
	Mode    Mode   // Exclusive or Shared
	Waiting bool   // else it holds the lock
	Client  Identity
	Token   uint64 // the fencing token of a holder
	Max     int    // of who waits for a shared lock: most holders, 0 is any number
	// Since is when it got the lock or began to wait, by the server's clock, and
	// Age how long that is ago, by a clock that nobody sets; both in whole
	// milliseconds.
	Since time.Time
	Age   time.Duration
}

// List returns who holds and who waits for the locks of a query, sorted by the
// names of the locks, holders before waiters and these in the order of the queue.
// The error is ErrDisabled where the server has the feature dump off.
//
// Servers of level 1 tell only the holders, and of each only its name or else
// its address, which is then the address of the entry: Token, Since and Age are
// zero.
func (c *Conn) List(ctx context.Context, q Query) ([]Entry, error) {
	entries, err := c.entries(ctx, q)
	return entries, describeAll("list", err)
}

func (c *Conn) entries(ctx context.Context, q Query) ([]Entry, error) {
	level, err := c.askLevel(ctx)
	switch {
	case err != nil:
		return nil, err
	case level < 2:
		return c.oldEntries(ctx, q)
	}
	mode := map[Mode]string{AnyMode: "-", Exclusive: "x", Shared: "s"}[q.Mode]
	line, err := commandLine(protocol.Ls, sendable(q.Prefix), mode)
	if err != nil {
		return nil, err
	}
	lines, err := c.exchangeFramed(ctx, request{line: line, listing: true})
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, line := range lines {
		e, ok := protocol.ParseEntry([]byte(line))
		if !ok {
			return nil, c.distrust(line)
		}
		if strings.HasPrefix(string(e.Name), q.Prefix) {
			entries = append(entries, entryOf(e))
		}
	}
	return entries, nil
}

// sendable returns the part of a prefix that the protocol carries: blanks at its
// end it does not.
func sendable(prefix string) string { return strings.TrimRight(prefix, " ") }

func entryOf(e protocol.Entry) Entry {
	return Entry{
		Lock: string(e.Name), Mode: modeOf(e.Shared), Waiting: e.Waiting,
		Client: Identity{Address: e.Addr, Name: e.Who},
		Token:  e.Token, Max: e.Max, Since: e.Since, Age: e.Age,
	}
}

// oldEntries lists what a server of level 1 tells.
func (c *Conn) oldEntries(ctx context.Context, q Query) ([]Entry, error) {
	var entries []Entry
	for mode, verb := range map[Mode]protocol.Verb{Exclusive: protocol.List, Shared: protocol.SharedList} {
		if q.Mode != AnyMode && q.Mode != mode {
			continue
		}
		holdings, err := c.holdings(ctx, verb)
		if err != nil {
			return nil, err
		}
		for _, h := range holdings {
			if strings.HasPrefix(h.Lock, q.Prefix) {
				entries = append(entries, Entry{Lock: h.Lock, Mode: mode, Client: Identity{Address: h.Holder, Name: h.Holder}})
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Lock, b.Lock), cmp.Compare(a.Mode, b.Mode))
	})
	return entries, nil
}
