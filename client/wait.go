package client

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"lockd/internal/protocol"
)

// cancelTime is how long a server may take to end a wait that is given up, before
// the connection is closed, which ends it as well.
const cancelTime = time.Second

// A Grant is a lock that was waited for and acquired.
type Grant struct {
	// Token is the fencing token: a positive number, higher than that of every
	// grant before, also of those before the server was started anew.
	Token uint64
	// Holders is how many hold the lock now, this connection included.
	Holders int
	// Waited is how long the grant took, in whole milliseconds.
	Waited time.Duration
}

// Wait acquires the exclusive lock name. It waits for it up to so long, first
// come, first served; 0 is a try, and a negative time has no end. If this
// connection has the lock already, it is granted at once. If it is not granted,
// the error is ErrNotAcquired. If the server speaks only level 1 of the protocol,
// it is ErrUnsupported.
//
// When ctx ends during the wait, the wait is cancelled on the server, and the
// error is both that of ctx and ErrNotAcquired. It is a grant without an error
// where the lock is granted in that very moment. If the server does not answer
// within a second, the connection is closed, and the error is that of ctx and
// ErrDisconnected.
//
// Other calls stand behind the wait: a [Conn] does one thing after the other. A
// [Client] has a connection for each lock.
func (c *Conn) Wait(ctx context.Context, name string, wait time.Duration) (Grant, error) {
	grant, err := c.wait(ctx, lockRequest{mode: Exclusive, name: name, wait: wait})
	return grant, describe("wait for", name, err)
}

// WaitShared acquires the shared lock name, when it has less than limit holders;
// 0 is no limit. Else it is like Wait.
func (c *Conn) WaitShared(ctx context.Context, name string, limit int, wait time.Duration) (Grant, error) {
	grant, err := c.wait(ctx, lockRequest{mode: Shared, name: name, limit: limit, wait: wait})
	return grant, describe("wait for shared", name, err)
}

// A lockRequest is a lock that is wanted.
type lockRequest struct {
	mode  Mode
	name  string
	limit int           // shared: most holders, 0 is any number
	wait  time.Duration // 0 is a try, a negative time has no end
}

// line returns the gw or sgw that asks for it.
func (w lockRequest) line() ([]byte, error) {
	ms := "-1"
	if w.wait >= 0 {
		n := w.wait.Milliseconds()
		if w.wait%time.Millisecond > 0 && n < protocol.MaxWaitMS {
			n++ // or the shortest wait would be a try
		}
		ms = strconv.FormatInt(n, 10)
	}
	if w.mode == Exclusive {
		return commandLine(protocol.GetWait, w.name, ms)
	}
	if w.limit < 0 || w.limit > math.MaxInt32 {
		return nil, fmt.Errorf("a limit of %d; want 1 to %d, or 0 for none", w.limit, math.MaxInt32)
	}
	return commandLine(protocol.SharedGetWait, w.name, ms, strconv.Itoa(w.limit))
}

func (c *Conn) wait(ctx context.Context, w lockRequest) (Grant, error) {
	line, err := w.line()
	if err != nil {
		return Grant{}, err
	}
	if err := c.takeTurn(ctx); err != nil {
		return Grant{}, err
	}
	defer c.passTurn()
	if err := c.needLevel2(ctx); err != nil {
		return Grant{}, err
	}
	a := c.newCall(request{line: line})
	if err := c.begin(ctx, a); err != nil {
		return Grant{}, err
	}
	c.write(context.WithoutCancel(ctx), line)
	if err := c.awaitGrant(ctx, a, w.wait); err != nil {
		return Grant{}, err
	}
	return c.granted(ctx, w, a.lines)
}

// awaitGrant waits until the wait is over. On an error the connection has ended.
func (c *Conn) awaitGrant(ctx context.Context, a *call, wait time.Duration) error {
	var overdue <-chan time.Time
	if limit := wait + a.limit; wait >= 0 && limit > 0 { // else 292 years
		timer := time.NewTimer(limit)
		defer timer.Stop()
		overdue = timer.C
	}
	select {
	case <-a.done:
	case <-c.ended:
	case <-overdue:
		c.end(c.lost(fmt.Errorf("%w: silent for %v after the wait", ErrTimeout, a.limit)))
	case <-ctx.Done():
		c.giveUp(a)
	}
	select {
	case <-a.done:
		return nil
	default:
	}
	if ctx.Err() != nil && c.Err() != nil { // nor was the cancel answered
		return fmt.Errorf("%w: %w", ctx.Err(), c.Err())
	}
	return c.why(ctx)
}

// giveUp cancels a wait, and returns when that is answered or the connection has
// ended.
func (c *Conn) giveUp(a *call) {
	c.mu.Lock()
	waits := c.current == a
	if waits {
		a.want = 2 // its own reply, and that to the cancel
	}
	c.mu.Unlock()
	if !waits {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cancelTime)
	defer cancel()
	c.write(ctx, protocol.AppendCommand(nil, protocol.Command{Verb: protocol.Cancel}))
	select {
	case <-a.done:
	case <-c.ended:
	case <-ctx.Done():
		c.end(c.lost(errGivenUp))
	}
}

// granted reads the reply to a wait, and to the cancel behind it.
func (c *Conn) granted(ctx context.Context, w lockRequest, lines []string) (Grant, error) {
	if kind := refusal(lines[0], true); kind != nil {
		return Grant{}, &ReplyError{Reply: lines[0], Err: kind}
	}
	r, ok := protocol.ParseWaitReply(lines[0], w.mode == Shared)
	switch {
	case !ok || r.Name != w.name:
		return Grant{}, c.distrust(lines[0])
	case len(lines) > 1 && lines[1] != "1 ok" && lines[1] != "0 nothing to cancel":
		return Grant{}, c.distrust(lines[1])
	case r.Count > 0:
		return Grant{Token: r.Token, Holders: r.Count, Waited: r.Waited}, nil
	}
	var err error = &ReplyError{Reply: lines[0], Err: ErrNotAcquired, Refusal: &Refusal{
		Reason: string(r.Failure.Reason), Holder: r.Failure.Holder, Held: r.Failure.Held,
		Count: r.Failure.Count, Queue: r.Failure.Queue,
	}}
	if r.Failure.Reason == protocol.ReasonCancelled && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return Grant{}, err
}
