package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"lockd/internal/protocol"
)

const (
	// defaultKeepAlive is below the 20 s after which a server takes a client that
	// cannot be reached for dead, by default.
	defaultKeepAlive = 10 * time.Second
	defaultMaxIdle   = 8
)

// ClientOptions say how a [Client] behaves. The zero value is good for most.
type ClientOptions struct {
	// Options are those of each connection. The hooks are called for every one, also
	// at the same time for several, and must not close the client either.
	Options

	// Name is what the server shows as the holder of the locks, in place of an
	// address. A server that has the feature registry off, or is too old to know
	// of names, does without.
	Name string
	// KeepAlive is within which time the loss of a lock is noticed when the
	// server, or the way to it, is there no more and nothing says so: half of it
	// after each answer the server is asked again, and has the other half to
	// reply. 0 means 10 s, a negative value that the server is not asked; then only
	// the connection's end is a loss. It should be shorter than the server's
	// dead_peer_seconds ([Conn.Info]), after which the lock is another's.
	KeepAlive time.Duration
	// MaxIdle is how many connections are kept for later locks; 0 means 8, a
	// negative value none.
	MaxIdle int
}

func (o ClientOptions) withDefaults() ClientOptions {
	o.KeepAlive = orDefault(o.KeepAlive, defaultKeepAlive)
	if o.MaxIdle == 0 {
		o.MaxIdle = defaultMaxIdle
	}
	return o
}

// A Client acquires locks of one server. Each [Lock] has a connection of its own
// for as long as it lives, so two goroutines exclude each other as two machines
// do, and nothing that one does makes another wait.
//
// Its methods may be called from any goroutine. It must be closed. It connects
// when there is need to, and never behind a holder's back: a lock whose connection
// is lost is lost, and the next call makes a new connection.
type Client struct {
	address string
	options ClientOptions

	goroutines sync.WaitGroup // of locks; none is added once closed is set

	mu     sync.Mutex
	closed bool
	conns  map[*Conn]struct{} // all that are not closed yet
	idle   []*Conn            // of these, those that hold nothing; the last used is the last
}

// New returns a client of the server at address (see the package's introduction).
// It does not connect yet. The error tells what is wrong with the address, or is
// ErrName.
func New(address string, o ClientOptions) (*Client, error) {
	if _, err := parseAddress(address); err != nil {
		return nil, err
	}
	if _, err := commandLine(protocol.Iam, o.Name); err != nil {
		return nil, describe("client name", o.Name, err)
	}
	return &Client{address: address, options: o.withDefaults(), conns: make(map[*Conn]struct{})}, nil
}

// Close ends every connection, and with it every lock that is held: each is done
// then, with ErrClosed. When it returns, nothing of the client is left, neither
// goroutine nor descriptor. It may be called more than once. The error is always
// nil.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	var closing sync.WaitGroup
	for conn := range c.conns { // which changes no more
		closing.Go(func() { conn.Close() })
	}
	closing.Wait()
	c.goroutines.Wait()
	return nil
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// List returns who holds and who waits for the locks of a query, as [Conn.List]
// does.
func (c *Client) List(ctx context.Context, q Query) ([]Entry, error) {
	var entries []Entry
	err := c.ask(ctx, func(conn *Conn) (err error) {
		entries, err = conn.entries(ctx, q)
		return err
	})
	return entries, describeAll("list", err)
}

// Info returns what the server tells of itself, as [Conn.Info] does.
func (c *Client) Info(ctx context.Context) (map[string]string, error) {
	var info map[string]string
	err := c.ask(ctx, func(conn *Conn) (err error) {
		info, err = conn.info(ctx)
		return err
	})
	return info, describeAll("info", err)
}

// ask lends f a connection, and keeps that for later.
func (c *Client) ask(ctx context.Context, f func(*Conn) error) error {
	return c.with(ctx, func(conn *Conn) error {
		err := f(conn)
		if err == nil {
			c.keep(conn)
		}
		return err
	})
}

// with has f use a connection that holds nothing. Where f returns no error, the
// connection is f's to keep or discard.
func (c *Client) with(ctx context.Context, f func(*Conn) error) error {
	conn, err := c.reuse(ctx)
	if conn == nil && err == nil {
		conn, err = c.connect(ctx)
	}
	if err != nil {
		return err
	}
	if err = f(conn); err != nil {
		c.keep(conn)
	}
	return err
}

// reuse returns a connection that was idle, or nil. It asks for a sign of life
// first: the server may have been started anew, unnoticed as yet, and what is lost
// later is an error. Where there is none, those that were idle as long are given
// up as well, or each would have to be waited for in vain.
func (c *Client) reuse(ctx context.Context) (*Conn, error) {
	conn := c.takeIdle()
	if conn == nil {
		return nil, nil
	}
	err := conn.ping(ctx, min(c.options.KeepAlive/2, conn.options.ReadTimeout))
	if err == nil {
		return conn, nil
	}
	c.keep(conn)
	if ctx.Err() != nil {
		return nil, err
	}
	for conn := c.takeIdle(); conn != nil; conn = c.takeIdle() {
		c.spawn(func() { c.discard(conn) })
	}
	return nil, nil
}

// takeIdle returns nil where no connection is idle.
func (c *Client) takeIdle() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 || c.closed {
		return nil
	}
	conn := c.idle[last]
	c.idle = c.idle[:last]
	return conn
}

// connect makes a new connection.
func (c *Client) connect(ctx context.Context) (*Conn, error) {
	conn, err := c.open()
	if err != nil {
		return nil, err
	}
	if err = conn.stand(ctx); err == nil && c.options.Name != "" {
		err = conn.iam(ctx, c.options.Name)
		if errors.Is(err, ErrDisabled) || errors.Is(err, ErrUnsupported) {
			err = nil
		}
	}
	if err != nil {
		c.discard(conn)
		return nil, err
	}
	return conn, nil
}

func (c *Client) open() (*Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	conn, err := Open(c.address, c.options.Options)
	if err == nil {
		c.conns[conn] = struct{}{}
	}
	return conn, err
}

// keep keeps a connection that holds nothing for later, if it can be used then.
func (c *Client) keep(conn *Conn) {
	c.mu.Lock()
	kept := conn.Err() == nil && !c.closed && len(c.idle) < c.options.MaxIdle
	if kept {
		c.idle = append(c.idle, conn)
	}
	c.mu.Unlock()
	if !kept {
		c.discard(conn)
	}
}

// discard ends a connection, and with it what it holds.
func (c *Client) discard(conn *Conn) {
	conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		delete(c.conns, conn)
	}
}

// spawn has f run in a goroutine that Close waits for; not after Close.
func (c *Client) spawn(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.goroutines.Go(f)
	}
}
