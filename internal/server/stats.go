package server

import (
	"errors"
	"sync/atomic"
	"time"

	"lockd/internal/locks"
	"lockd/internal/protocol"
)

// Stats is a snapshot of a server's counters. The counters of the command q are
// these, read from the same place.
type Stats struct {
	Commands        []Count          // commands read since the start, all of the protocol, sorted by name
	InvalidCommands uint64           // lines that were no command, since the start
	Transports      []TransportStats // always all transports
	MaxConnections  uint64           // the limit in force on open connections, all transports together
	Refused         []Count          // connections refused since the start, always all reasons
	Limited         []Count          // commands that a limit made fail since the start, always all reasons
	Watchers        uint64           // connections that watch now
	LostEvents      uint64           // events that watchers were too slow for, since the start
	OldestWaiter    time.Duration    // how long the one waits who waits longest; 0 where nobody does
	Locks           locks.Stats
}

// A Count is one of a family of counters.
type Count struct {
	Name  string
	Value uint64
}

// TransportStats are the counters of one transport.
type TransportStats struct {
	Name     string
	Open     uint64 // connections now
	Accepted uint64 // connections since the start
}

// Connections returns the number of open connections.
func (s Stats) Connections() uint64 {
	var n uint64
	for _, t := range s.Transports {
		n += t.Open
	}
	return n
}

// Stats returns the counters. Safe for use from any goroutine at any time.
func (s *Server) Stats() Stats {
	st := Stats{
		Transports:     s.gate.transports(),
		MaxConnections: uint64(s.settings.Load().MaxConnections),
		Refused:        s.gate.refusals(),
		Limited:        s.counters.limits(),
		Watchers:       uint64(s.hub.watching.Load()),
		LostEvents:     s.hub.lost.Load(),
		Locks:          s.table.Stats(),
	}
	if st.Locks.Waiting {
		st.OldestWaiter = max(s.now()-st.Locks.WaitingSince, 0)
	}
	sums := s.counters.commands()
	st.InvalidCommands = sums[protocol.Unknown]
	for v := protocol.Unknown + 1; v < protocol.NumVerbs; v++ {
		st.Commands = append(st.Commands, Count{v.String(), sums[v]})
	}
	return st
}

// counters count commands. They are striped, so that connections on different
// processors don't pass one cache line back and forth with every command, and
// added up when read.
type counters struct {
	stripes [16]stripe
	limited [numLimits]atomic.Uint64
}

// A stripe counts the commands of some connections; under Unknown, the lines
// that were none.
type stripe struct {
	read [protocol.NumVerbs]atomic.Uint64
	_    [64]byte
}

func (c *counters) stripe(connection uint64) *stripe {
	return &c.stripes[connection%uint64(len(c.stripes))]
}

func (c *counters) commands() (sums [protocol.NumVerbs]uint64) {
	for i := range c.stripes {
		for v := range sums {
			sums[v] += c.stripes[i].read[v].Load()
		}
	}
	return sums
}

// A limit is one that a command can run into.
type limit uint8

const (
	limitSession limit = iota
	limitTable
	numLimits
)

// countLimit counts a command that a limit made fail, and no other.
func (c *counters) countLimit(err error) {
	switch {
	case errors.Is(err, locks.ErrSessionLimit):
		c.limited[limitSession].Add(1)
	case errors.Is(err, locks.ErrTableFull):
		c.limited[limitTable].Add(1)
	}
}

var limitNames = [numLimits]string{"locks_per_connection", "table_bytes"}

func (c *counters) limits() []Count {
	counts := make([]Count, numLimits)
	for l := range counts {
		counts[l] = Count{limitNames[l], c.limited[l].Load()}
	}
	return counts
}
