package server

import (
	"errors"
	"runtime"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// The listings are copied from the table first and then written piece by piece,
// so that neither their length nor a client that does not read them holds up
// anybody else.

func (c *conn) list(name []byte)       { c.listHolders(locks.Query{Exclusive: true}, name) }
func (c *conn) sharedList(name []byte) { c.listHolders(locks.Query{Shared: true}, name) }

// listHolders answers d and sd: a line for each holder of the lock, or of every
// lock where no name is given.
func (c *conn) listHolders(q locks.Query, name []byte) {
	if !c.settings.Dump {
		c.out = protocol.AppendDisabled(c.out)
		c.endListing()
		return
	}
	q.Name, q.Exact = name, len(name) > 0
	c.eachEntry(q, func(_ int, e locks.Entry) {
		c.out = protocol.AppendHolder(c.out, e.Name, c.shownName(e.Session))
	}, c.endListing)
}

// dump answers dump and dump shared, in the form in which Go prints a map.
func (c *conn) dump(arg []byte) {
	switch {
	case !c.settings.Dump:
		c.out = protocol.AppendDisabled(c.out)
	case string(arg) == "shared":
		c.dumpShared()
	default:
		c.dumpExclusive()
	}
}

func (c *conn) dumpExclusive() {
	c.out = append(c.out, "map["...)
	c.eachEntry(locks.Query{Exclusive: true}, func(i int, e locks.Entry) {
		if i > 0 {
			c.out = append(c.out, ' ')
		}
		c.out = append(c.out, e.Name...)
		c.out = append(c.out, ':')
		c.out = append(c.out, e.Session.Addr()...)
	}, func() { c.out = append(c.out, "]\n"...) })
}

func (c *conn) dumpShared() {
	c.out = append(c.out, "map["...)
	var last []byte
	end := "]\n"
	c.eachEntry(locks.Query{Shared: true}, func(i int, e locks.Entry) {
		switch {
		case i == 0:
			end = "]]\n"
			c.openShared(e.Name)
		case string(last) == string(e.Name):
			c.out = append(c.out, ' ')
		default:
			c.out = append(c.out, "] "...)
			c.openShared(e.Name)
		}
		c.out = append(c.out, e.Session.Addr()...)
		last = e.Name
	}, func() { c.out = append(c.out, end...) })
}

func (c *conn) openShared(name []byte) {
	c.out = append(c.out, name...)
	c.out = append(c.out, ":["...)
}

// ls answers ls: a line for each who holds a lock or waits for one.
func (c *conn) ls(arg []byte) {
	exclusive, shared, prefix, ok := protocol.ParseLs(arg)
	switch {
	case !ok:
		c.out = protocol.AppendBadArguments(c.out, protocol.Ls)
		return
	case !c.settings.Dump:
		c.out = protocol.AppendEnd(protocol.AppendDisabled(c.out))
		return
	}
	q := locks.Query{Exclusive: exclusive, Shared: shared, Name: prefix, Waiters: true}
	clock, wall := c.now(), time.Now()
	lines := new(protocol.EntryEncoder)
	c.eachEntry(q, func(_ int, e locks.Entry) {
		age := max(clock-e.Since, 0)
		c.out = lines.Append(c.out, protocol.Entry{
			Name: e.Name, Shared: e.Mode == locks.Shared, Waiting: e.Waiting,
			Addr: e.Session.Addr(), Who: c.registeredName(e.Session),
			Token: e.Token, Max: e.Max, Since: wall.Add(-age), Age: age,
		})
	}, func() { c.out = protocol.AppendEnd(c.out) })
}

// registeredName is the name that a session has given itself, where names are on.
func (c *conn) registeredName(s *locks.Session) string {
	if c.settings.Registry {
		return s.Name()
	}
	return ""
}

// eachEntry calls f for each entry that the query finds, as long as the client
// takes what f appends, and ends the reply with end.
func (c *conn) eachEntry(q locks.Query, f func(i int, e locks.Entry), end func()) {
	size := int64(0)
	if !q.Exact {
		size = locks.ListBytes(c.srv.table.Stats(), q)
	}
	c.inBudget(size, func(s *share) {
		i := 0
		for e := range c.srv.table.List(q) {
			f(i, e)
			if !c.flushListing(s) {
				return
			}
			i++
		}
		end()
	})
}

// who answers with a line for each named connection, or for those of that name.
func (c *conn) who(name []byte) {
	if !c.settings.Registry || !c.settings.Dump {
		c.out = protocol.AppendDisabled(c.out)
		c.endListing()
		return
	}
	clients := c.srv.registry.list()
	size := int64(0)
	for _, s := range clients {
		size += int64(len(s.Addr()) + len(s.Name()))
	}
	c.inBudget(size, func(share *share) {
		for _, s := range clients {
			// Asked once: meanwhile another connection may take its name back.
			if n := s.Name(); n != "" && (len(name) == 0 || n == string(name)) {
				c.out = protocol.AppendClient(c.out, s.Addr(), n)
			}
			if !c.flushListing(share) {
				return
			}
		}
		c.endListing()
	})
}

// errListingTooLarge ends a client whose listing alone does not fit the memory for all.
var errListingTooLarge = errors.New("the listing takes more memory than limits.snapshot_bytes allows, and a WebSocket needs it in one piece")

// flushListing sends a part of a listing, or where it must be whole sees to it that
// there is memory for it. It reports whether the listing can go on.
func (c *conn) flushListing(s *share) bool {
	if c.flushPart() {
		runtime.Gosched() // a long listing is to delay nobody
	}
	if c.perReply() && len(c.out) > outputSize { // more than the replies to what one read brought take
		// Built whole, it is put into a frame, and may also wait whole.
		if more := 4*int64(len(c.out)) - s.reply; more > 0 {
			more = max(more, int64(outputSize))
			s.reply += more
			c.fail(c.srv.snapshots.grow(s, more, c.settings.Keepalive.UserTimeout, &c.cut))
		}
	}
	return c.err == nil
}

// inBudget answers with a listing that needs about that much memory, when there
// is so much for it.
func (c *conn) inBudget(bytes int64, answer func(s *share)) {
	share, err := c.srv.snapshots.acquire(bytes, c.settings.Keepalive.UserTimeout, &c.cut, c.interrupt)
	if err != nil {
		c.err = err
		return
	}
	defer c.srv.snapshots.release(share)
	answer(share)
	if c.perReply() {
		c.flush()
		if err := c.link.drain(); err != nil {
			c.err = err
		}
	}
}
