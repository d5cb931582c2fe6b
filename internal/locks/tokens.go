package locks

import "sync/atomic"

// Tokens is the counter that fencing tokens come from (docs/protocol.md,
// "Fencing tokens"): each grant takes the next. It only rises; whoever keeps it
// rising over restarts reserves numbers ahead of it, and is told here when there
// are few left. Taking a token never waits for that.
//
// All methods may be called from any goroutine.
type Tokens struct {
	last atomic.Uint64
	mark atomic.Uint64 // the token whose taking is told
	low  chan struct{}
}

// NewTokens returns a counter whose first token is last+1. Tokens are positive
// and have 63 bits.
func NewTokens(last uint64) *Tokens {
	c := &Tokens{low: make(chan struct{}, 1)}
	c.last.Store(last)
	return c
}

// Last returns the last token that was taken.
func (c *Tokens) Last() uint64 { return c.last.Load() }

// TellAt has Low tell when the given token is taken. Where it was taken already,
// Low tells at once.
func (c *Tokens) TellAt(token uint64) {
	c.mark.Store(token)
	if c.last.Load() >= token {
		c.tell()
	}
}

// Low returns a channel that gets a value when the token of the latest TellAt
// has been taken. One value that waits stands for all.
func (c *Tokens) Low() <-chan struct{} { return c.low }

func (c *Tokens) next() uint64 {
	n := c.last.Add(1)
	if n == c.mark.Load() {
		c.tell()
	}
	return n
}

func (c *Tokens) tell() {
	select {
	case c.low <- struct{}{}:
	default:
	}
}
