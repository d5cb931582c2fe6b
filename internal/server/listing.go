package server

import (
	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// The listings are copied from the table first and then written piece by piece,
// so that neither their length nor a client that does not read them holds up
// anybody else.

func (c *conn) list(name []byte)       { c.listHolders(locks.Exclusive, name) }
func (c *conn) sharedList(name []byte) { c.listHolders(locks.Shared, name) }

// listHolders answers d and sd: a line for each holder of the lock, or of every
// lock where no name is given.
func (c *conn) listHolders(m locks.Mode, name []byte) {
	switch {
	case !c.settings.Dump:
		c.out = protocol.AppendDisabled(c.out)
	case len(name) > 0:
		c.appendHolders(name, c.srv.table.Holders(m, name))
	default:
		c.eachHeld(m, func(_ int, l locks.Held) { c.appendHolders(l.Name, l.Holders) }, "")
	}
}

func (c *conn) appendHolders(name []byte, holders []*locks.Session) {
	for _, s := range holders {
		c.out = protocol.AppendHolder(c.out, name, c.shownName(s))
		c.flushPart()
	}
}

// dump answers dump and dump shared, in the form in which Go prints a map.
func (c *conn) dump(arg []byte) {
	if !c.settings.Dump {
		c.out = protocol.AppendDisabled(c.out)
		return
	}
	mode, appendLock := locks.Exclusive, c.dumpExclusive
	if string(arg) == "shared" {
		mode, appendLock = locks.Shared, c.dumpShared
	}
	c.out = append(c.out, "map["...)
	c.eachHeld(mode, func(i int, l locks.Held) {
		if i > 0 {
			c.out = append(c.out, ' ')
		}
		c.out = append(c.out, l.Name...)
		c.out = append(c.out, ':')
		appendLock(l.Holders)
	}, "]\n")
}

func (c *conn) dumpExclusive(holders []*locks.Session) {
	c.out = append(c.out, holders[0].Addr()...)
}

func (c *conn) dumpShared(holders []*locks.Session) {
	c.out = append(c.out, '[')
	for i, s := range holders {
		if i > 0 {
			c.out = append(c.out, ' ')
		}
		c.out = append(c.out, s.Addr()...)
		c.flushPart()
	}
	c.out = append(c.out, ']')
}

// eachHeld calls f for each held lock of a mode, in the order of their names, as
// long as the client takes what f appends, and ends the reply with tail.
func (c *conn) eachHeld(m locks.Mode, f func(i int, l locks.Held), tail string) {
	stats := c.srv.table.Stats()
	size := stats.Exclusive
	if m == locks.Shared {
		size = stats.Shared
	}
	c.inBudget(locks.ListBytes(size), func() {
		for i, l := range c.srv.table.List(m) {
			f(i, l)
			c.flushPart()
			if c.err != nil {
				return
			}
		}
		c.out = append(c.out, tail...)
	})
}

// who answers with a line for each named connection, or for those of that name.
func (c *conn) who(name []byte) {
	if !c.settings.Registry || !c.settings.Dump {
		c.out = protocol.AppendDisabled(c.out)
		return
	}
	clients := c.srv.registry.list()
	size := int64(0)
	for _, s := range clients {
		size += int64(len(s.Addr()) + len(s.Name()))
	}
	c.inBudget(size, func() {
		for _, s := range clients {
			// Asked once: meanwhile another connection may take its name back.
			if n := s.Name(); n != "" && (len(name) == 0 || n == string(name)) {
				c.out = protocol.AppendClient(c.out, s.Addr(), n)
				c.flushPart()
			}
			if c.err != nil {
				return
			}
		}
	})
}

// inBudget answers with a listing that needs about that much memory, when there
// is so much for it.
func (c *conn) inBudget(bytes int64, answer func()) {
	if c.perReply {
		bytes *= 3 // the reply is built whole, and may wait whole
	}
	share, err := c.srv.snapshots.acquire(bytes, c.settings.Keepalive.UserTimeout, c.link.interrupt)
	if err != nil {
		c.err = err
		return
	}
	defer c.srv.snapshots.release(share)
	answer()
	if c.perReply {
		c.flush()
		if err := c.link.drain(); err != nil {
			c.err = err
		}
	}
}
