package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"lockd/internal/protocol"
)

// A Lock is a lock that is held, from when it was acquired until Unlock, the
// client's Close or the loss of its connection. Its methods may be called from any
// goroutine.
type Lock struct {
	// Static.
	client  *Client
	conn    *Conn
	request lockRequest
	grant   Grant
	held    context.Context // ends with the setting of err
	lapse   context.CancelFunc

	mu  sync.Mutex
	err error // why it is not held any more
}

// Lock acquires the exclusive lock name, and waits for it as long as ctx lets it,
// first come, first served. If it is not granted, the error is ErrNotAcquired, and
// a [*ReplyError] tells why. If ctx ends, the error is that of ctx, and if another
// is known to be before, ErrNotAcquired as well; the wait ends on the server too,
// and a lock that is granted in that very moment is given back. Who holds the lock
// already and asks again waits for itself: see [Client].
//
// A server that speaks only level 1 of the protocol has no queue. There the lock
// is tried again and again, at growing random intervals of up to a second, and
// who tries at the right moment gets it.
func (c *Client) Lock(ctx context.Context, name string) (*Lock, error) {
	return c.acquire(ctx, lockRequest{mode: Exclusive, name: name, wait: -1})
}

// TryLock is Lock without waiting: if another has the lock, or waits for it, the
// error is ErrNotAcquired.
func (c *Client) TryLock(ctx context.Context, name string) (*Lock, error) {
	return c.acquire(ctx, lockRequest{mode: Exclusive, name: name})
}

// LockShared acquires the shared lock name, when it has less than limit holders; 0
// is no limit. Else it is like Lock. A limit needs level 2 of the protocol: if the
// server speaks only level 1, the error is ErrUnsupported.
func (c *Client) LockShared(ctx context.Context, name string, limit int) (*Lock, error) {
	return c.acquire(ctx, lockRequest{mode: Shared, name: name, limit: limit, wait: -1})
}

// TryLockShared is LockShared without waiting.
func (c *Client) TryLockShared(ctx context.Context, name string, limit int) (*Lock, error) {
	return c.acquire(ctx, lockRequest{mode: Shared, name: name, limit: limit})
}

func (c *Client) acquire(ctx context.Context, w lockRequest) (*Lock, error) {
	var l *Lock
	err := c.with(ctx, func(conn *Conn) error {
		grant, err := conn.acquire(ctx, w)
		if err != nil {
			return err
		}
		l = &Lock{client: c, conn: conn, request: w, grant: grant}
		l.held, l.lapse = context.WithCancel(context.Background())
		return nil
	})
	switch {
	case err != nil:
		return nil, describe("lock", w.name, err)
	case ctx.Err() != nil: // it was granted in the last moment
		giveBackCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
		defer cancel()
		l.giveBack(giveBackCtx)
		return nil, describe("lock", w.name, fmt.Errorf("%w: %w", ctx.Err(), ErrNotAcquired))
	case c.isClosed(): // Close had disconnected the holder before, and disconnects this one
		l.lapse()
		return nil, describe("lock", w.name, ErrClosed)
	}
	l.conn.whenEnded(l.lose)
	if c.options.KeepAlive > 0 {
		c.spawn(l.keepAlive)
	}
	return l, nil
}

// Name returns the lock's name.
func (l *Lock) Name() string { return l.request.name }

// Token returns the fencing token, a positive number, higher than that of every
// grant before, also of those before the server was started anew. Hand it on with
// what you do under the lock: who has seen a higher one can refuse a holder of
// yesterday. The error is ErrUnsupported where the server speaks only level 1 of
// the protocol, which has no tokens.
func (l *Lock) Token() (uint64, error) {
	if l.grant.Token == 0 {
		return 0, describe("token of", l.request.name, errLevel1)
	}
	return l.grant.Token, nil
}

// Holders returns how many held the lock when it was acquired, this one included:
// 1 for an exclusive lock; of a shared one it tells the fifth that it is the fifth.
func (l *Lock) Holders() int { return l.grant.Holders }

// Done returns a channel that is closed when the lock is held no more: it is lost,
// or Unlock or Close was called. Work under the lock must stop then.
func (l *Lock) Done() <-chan struct{} { return l.held.Done() }

// Context returns a context for the work under the lock: it ends with ctx, when
// the lock is held no more, or when cancel is called, which must be done in the
// end. Its [context.Cause] is then that of ctx, what Err returns, or
// context.Canceled.
func (l *Lock) Context(ctx context.Context) (work context.Context, cancel context.CancelFunc) {
	work, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.held, func() { end(l.Err()) })
	return work, func() {
		stop()
		end(nil)
	}
}

// Err returns nil while the lock is held. Then it returns why it is not:
// ErrDisconnected after a loss, ErrNotHeld after Unlock, ErrClosed after Close.
func (l *Lock) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Check makes a round trip to the server. Where it returns nil, the lock was held
// when it was called. It may be used before a step that must not be done without
// the lock, after a sleep of the machine say; a fencing token is safer. If ctx
// ends before the answer, or there is none in half of [ClientOptions.KeepAlive],
// the connection is closed and the lock is lost.
func (l *Lock) Check(ctx context.Context) error {
	err := l.Err()
	if err == nil {
		err = l.conn.ping(ctx, min(l.client.options.KeepAlive/2, l.conn.options.ReadTimeout))
	}
	return describe("check", l.request.name, err)
}

// Unlock releases the lock. Whatever it returns, the lock is not held afterwards:
// where the server does not answer, or ctx ends before it does, the connection is
// closed, which frees it as well. The error is then that of the connection or of
// ctx. A lock that was lost before is ErrDisconnected, one unlocked before
// ErrNotHeld.
func (l *Lock) Unlock(ctx context.Context) error {
	err := l.end(ErrNotHeld)
	if err == nil {
		l.conn.whenEnded(nil)
		err = l.giveBack(ctx)
	}
	return describe("unlock", l.request.name, err)
}

// giveBack releases the lock, or ends the connection that holds it.
func (l *Lock) giveBack(ctx context.Context) error {
	err := l.conn.release(ctx, l.request)
	if err != nil {
		l.client.discard(l.conn)
	} else {
		l.client.keep(l.conn)
	}
	return err
}

// end makes err the reason why the lock is held no more, if there is none yet;
// else it returns that.
func (l *Lock) end(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		l.lapse()
		return nil
	}
	return l.err
}

// lose is called when the connection has ended.
func (l *Lock) lose() {
	if l.end(l.conn.Err()) == nil {
		l.client.spawn(func() { l.client.discard(l.conn) })
	}
}

// keepAlive asks the server for an answer as long as the lock is held. Without one
// the connection ends, and the lock is lost.
func (l *Lock) keepAlive() {
	half := l.client.options.KeepAlive / 2
	timer := time.NewTimer(half)
	defer timer.Stop()
	for {
		select {
		case <-l.held.Done():
			return
		case <-timer.C:
		}
		if l.conn.ping(context.Background(), half) != nil {
			return
		}
		timer.Reset(half)
	}
}

// acquire gets the lock from a server of either level.
func (c *Conn) acquire(ctx context.Context, w lockRequest) (Grant, error) {
	level, err := c.askLevel(ctx)
	switch {
	case err != nil:
		return Grant{}, err
	case level > 1:
		return c.wait(ctx, w)
	case w.limit != 0:
		return Grant{}, fmt.Errorf("a limit of holders: %w", errLevel1)
	}
	return c.poll(ctx, w)
}

// How long to wait between two tries, where the server has no queue: the first
// time, by what it grows, and at most. Of each a random half is taken off, so that
// those who were refused together do not come together again.
const (
	firstPoll  = 20 * time.Millisecond
	pollGrowth = 1.5
	lastPoll   = time.Second
)

// poll tries until it succeeds, or the time for it or ctx are over.
func (c *Conn) poll(ctx context.Context, w lockRequest) (Grant, error) {
	for pause := firstPoll; ; pause = min(time.Duration(float64(pause)*pollGrowth), lastPoll) {
		holders, err := c.get(ctx, w)
		if err == nil || w.wait == 0 || !errors.Is(err, ErrNotAcquired) {
			return Grant{Holders: holders}, err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-c.ended:
			return Grant{}, c.Err()
		case <-ctx.Done():
			return Grant{}, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

func (c *Conn) get(ctx context.Context, w lockRequest) (holders int, err error) {
	if w.mode == Shared {
		return c.lock(ctx, protocol.SharedGet, w.name, ErrNotAcquired)
	}
	return c.lock(ctx, protocol.Get, w.name, ErrNotAcquired)
}

func (c *Conn) release(ctx context.Context, w lockRequest) (err error) {
	if w.mode == Shared {
		_, err = c.lock(ctx, protocol.SharedRelease, w.name, ErrNotHeld)
	} else {
		_, err = c.lock(ctx, protocol.Release, w.name, ErrNotHeld)
	}
	return err
}
