package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockd/internal/protocol"
)

// maxFences is how often one call asks the server for its place.
const maxFences = 2

// A request is a line for the server and what is known of the reply.
type request struct {
	line    []byte        // with its LF
	listing bool          // any number of lines reply
	unsure  bool          // an older server may pass it over
	limit   time.Duration // how long the server may be silent; 0: ReadTimeout
}

// A call is a request under way. It belongs to its caller until begin, then to
// Conn.mu until done is closed, then to its caller again.
//
// At level 1 nothing tells the end of a listing, nor that a command is unknown
// and stays without a reply. A fence does: a question that every server answers,
// about a lock whose name nobody can know before, so that nothing else the
// server says is taken for the answer. At level 2 an empty line ends a listing.
type call struct {
	request
	framed bool          // at level 2
	want   int           // how many lines reply, if it is no listing
	lines  []string      // of the reply, as far as it has come
	fences []string      // names that were asked for and not answered yet, in order
	asked  int           // the number of fences so far
	passed bool          // a fence is answered: of the reply nothing is missing
	heard  time.Time     // when either side last said something
	done   chan struct{} // closed by the reader when all is there
}

// fence returns the line of one more fence.
func (a *call) fence() []byte {
	name := "fence " + rand.Text()
	a.fences = append(a.fences, name)
	a.asked++
	return protocol.AppendCommand(nil, protocol.Command{Verb: protocol.Inspect, Arg: []byte(name)})
}

// mayAsk tells whether one more fence can help.
func (a *call) mayAsk() bool { return !a.framed && (a.listing || a.unsure) && a.asked < maxFences }

// take takes a line the server has sent, and reports whether it belongs to the
// reply.
func (a *call) take(line string) bool {
	a.heard = time.Now()
	for i, name := range a.fences {
		if strings.HasSuffix(line, name) {
			a.fences = a.fences[i+1:] // those before it were dropped
			a.passed = true
			return true
		}
	}
	if a.passed || !a.listing && len(a.lines) == a.want {
		return false
	}
	if a.framed && a.listing {
		a.passed = line == "" || line == tooLong
	}
	if !a.passed || line == tooLong {
		a.lines = append(a.lines, line)
	}
	return true
}

func (a *call) complete() bool {
	return len(a.fences) == 0 && (a.passed || !a.listing && len(a.lines) == a.want)
}

// exchange sends a request when its turn has come and returns the lines of the
// reply: one, if it is no listing.
func (c *Conn) exchange(ctx context.Context, r request) ([]string, error) {
	if err := c.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer c.passTurn()
	return c.converse(ctx, r)
}

// converse is exchange for who has the turn.
func (c *Conn) converse(ctx context.Context, r request) ([]string, error) {
	a := c.newCall(r)
	line := r.line
	if r.listing && !a.framed {
		line = append(line, a.fence()...)
	}
	if err := c.begin(ctx, a); err != nil {
		return nil, err
	}
	c.write(ctx, line)
	if err := c.await(ctx, a); err != nil {
		return nil, err
	}
	if len(a.lines) == 0 && !a.listing {
		return nil, ErrUnsupported
	}
	if len(a.lines) == 1 {
		if kind := a.refusal(); kind != nil {
			return nil, &ReplyError{Reply: a.lines[0], Err: kind}
		}
	}
	return a.lines, nil
}

// newCall makes a request a call of who has the turn.
func (c *Conn) newCall(r request) *call {
	if r.limit == 0 {
		r.limit = c.options.ReadTimeout
	}
	return &call{request: r, framed: c.level > 1, want: 1, heard: time.Now(), done: make(chan struct{})}
}

// What a server says to any command, in place of the reply.
const (
	disabled     = "0 disabled"
	tooLong      = "0 line too long"     // at level 2
	unknown      = "0 unknown command: " // at level 2, the word behind it
	badArguments = "0 bad arguments: "   // of a command of level 2, the word behind it
)

// refusal returns the error that the only line of the reply is, if it is one. In
// a listing, what looks like a word about a command may be a lock of that name.
func (a *call) refusal() error {
	line := a.lines[0]
	return refusal(line, a.framed && (!a.listing || line == tooLong))
}

// refusal returns the error that is in a line whatever was asked, if there is.
func refusal(line string, framed bool) error {
	switch {
	case line == disabled:
		return ErrDisabled
	case framed && (line == tooLong || strings.HasPrefix(line, unknown) || strings.HasPrefix(line, badArguments)):
		return ErrUnsupported
	}
	return nil
}

// takeTurn returns when it is the caller's turn and the connection stands. On an
// error nothing is to be undone.
func (c *Conn) takeTurn(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	select {
	case <-c.ready:
		err = ctx.Err() // it need not have been waited for
	case <-c.ended:
		err = c.why(ctx)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		c.passTurn()
	}
	return err
}

func (c *Conn) passTurn() { <-c.turn }

// why returns the reason for a call's end without a reply. Where the caller's
// context has ended, that is it: it may be what has ended the connection, also
// just after the call before was answered.
func (c *Conn) why(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.Err()
}

// begin makes a the call that what the server says is for.
func (c *Conn) begin(ctx context.Context, a *call) error {
	c.mu.Lock()
	begun := c.err == nil
	if begun {
		c.current = a
	}
	c.mu.Unlock()
	if begun {
		return nil
	}
	return c.why(ctx)
}

// write sends p. If it cannot, or ctx ends, or the server does not read for
// ReadTimeout, it ends the connection.
func (c *Conn) write(ctx context.Context, p []byte) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.ReadTimeout, ErrTimeout)
	defer cancel()
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		reason := context.Cause(ctx)
		if !errors.Is(reason, ErrTimeout) {
			reason = errGivenUp // what the caller's context says is for the caller
		}
		c.end(c.lost(reason))
	})
	_, err := c.link.Write(p)
	if !stop() {
		<-cut
	}
	if err != nil {
		c.end(c.lost(err))
	}
}

// await waits until the reply is complete. Without one, the connection has
// ended when it returns.
func (c *Conn) await(ctx context.Context, a *call) error {
	timer := time.NewTimer(c.patience(a))
	defer timer.Stop()
	for {
		select {
		case <-a.done:
			return nil
		case <-timer.C:
			timer.Reset(c.silence(ctx, a))
			continue
		case <-c.ended:
		case <-ctx.Done():
			c.end(c.lost(errGivenUp))
		}
		select {
		case <-a.done: // at the last moment
			return nil
		default:
		}
		return c.why(ctx)
	}
}

// patience is how long the server may be silent until something must be done.
func (c *Conn) patience(a *call) time.Duration {
	if a.mayAsk() {
		return min(c.options.QuietTime, a.limit)
	}
	return a.limit
}

// silence sees to a server that may have been silent for too long: it asks for
// the reply's end, or gives the server up. It returns when to look again.
func (c *Conn) silence(ctx context.Context, a *call) time.Duration {
	c.mu.Lock()
	limit := c.patience(a)
	rest := limit - time.Since(a.heard)
	if c.current != a || rest > 0 {
		c.mu.Unlock()
		return rest
	}
	var question []byte
	if limit < a.limit {
		question = a.fence()
		a.heard = time.Now()
	}
	c.mu.Unlock()
	if question == nil {
		c.end(c.lost(fmt.Errorf("%w: silent for %v", ErrTimeout, limit)))
		return limit
	}
	c.write(ctx, question)
	return c.patience(a)
}
