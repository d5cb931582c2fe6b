package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"lockd/internal/protocol"
)

const (
	defaultConnectTimeout = 5 * time.Second
	defaultReadTimeout    = 10 * time.Second
	defaultQuietTime      = 500 * time.Millisecond

	// closeWait is how long Close waits for the server to free what was held.
	closeWait = time.Second
	// maxLine is the longest reply line, in bytes: far above what a server lets
	// a name be, so that only one gone mad fills the memory.
	maxLine = 16 << 20
)

// Options say how a connection behaves. The zero value is good for most.
type Options struct {
	// Dial opens the connection. Network is tcp, unix or ws; address is
	// HOST:PORT or a path. Nil means [NetDial]. For ws:// set it to the Dial of
	// lockd/client/websocket, which opens the others as well; the DialContext of
	// a tls.Dialer or of a proxy fits, too. The connection should have a
	// method CloseWrite, as those of package net do: then Close can wait until
	// the server has freed the locks.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// ConnectTimeout is how long connecting may take; 0 means 5 s, a negative
	// value any time.
	ConnectTimeout time.Duration
	// ReadTimeout is how long the server may be silent while a reply is due; 0
	// means 10 s, a negative value any time. Then the connection is closed and
	// the error is ErrTimeout. While no reply is due, a connection may be
	// silent for days.
	ReadTimeout time.Duration

	// QuietTime is how long the server may be silent before it is asked a second
	// question, to find out whether it has taken the first; 0 means 500 ms, a
	// negative value that it is not.
	//
	// Listings have no end of their own, so the client sends a question behind
	// them, whose answer marks it: whether a lock with a random name is held.
	// A server that drops what is sent before it has answered, drops that
	// question, and is asked again after this time; so its listings take that
	// long, but are complete. One that does not know a command is found out by
	// the same means. With a lockd server it never comes to this.
	QuietTime time.Duration

	// The hooks below may be nil. They are called one after the other, each at
	// most once, from a goroutine of the connection's own. They may call its
	// methods, but not Close, which waits for them.

	// OnConnect is called when the connection stands.
	OnConnect func()
	// OnError is called when the connection could not be made or was lost, with
	// what [Conn.Err] returns. It is not called because of Close.
	OnError func(error)
	// OnDisconnect is called when a connection that stood has ended, after
	// OnError: with nil after Close, else with what [Conn.Err] returns.
	OnDisconnect func(error)
}

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		o.Dial = NetDial
	}
	o.ConnectTimeout = orDefault(o.ConnectTimeout, defaultConnectTimeout)
	o.ReadTimeout = orDefault(o.ReadTimeout, defaultReadTimeout)
	o.QuietTime = orDefault(o.QuietTime, defaultQuietTime)
	return o
}

func orDefault(d, standard time.Duration) time.Duration {
	switch {
	case d < 0:
		return math.MaxInt64 // 292 years
	case d == 0:
		return standard
	}
	return d
}

// A Conn is a connection to a lock server, and the holder of the locks it gets.
// Its methods may be called from any goroutine. It must be closed.
type Conn struct {
	// Static after Open.
	address address
	options Options
	cancel  context.CancelFunc // gives up connecting

	// turn has a token in it while a call is under way. Who waits to put one in
	// gets its turn in the order of waiting, as channels have it.
	turn chan struct{}
	// level is what the server speaks, 0 where that is not known yet. It belongs
	// to who has the turn.
	level int

	ready    chan struct{} // closed by run when the connection stands
	ended    chan struct{} // closed with the setting of err
	finished chan struct{} // closed by run when nothing of the connection is left

	mu      sync.Mutex
	link    net.Conn            // set before ready is closed
	err     error               // why the connection serves no more
	current *call               // the one that waits for its reply
	events  chan protocol.Event // where what was not asked for goes, if it is wanted
	onEnd   func()              // is called once after err is set
}

// Dial connects to the server at address (see the package's introduction) and
// returns when the connection stands. Ctx bounds the connecting, as
// Options.ConnectTimeout does, not the connection's life. The error is
// ErrUnreachable, or tells what is wrong with the address.
func Dial(ctx context.Context, address string, o Options) (*Conn, error) {
	c, err := Open(address, o)
	if err != nil {
		return nil, err
	}
	if err := c.stand(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// stand returns when the connection stands.
func (c *Conn) stand(ctx context.Context) error {
	select {
	case <-c.ready:
	case <-c.ended:
		if err := c.Err(); !errors.Is(err, ErrDisconnected) {
			return err
		} // else it did stand, and is lost already
	case <-ctx.Done():
		return c.unreachable(ctx.Err())
	}
	return nil
}

// Open begins to connect to the server at address and returns at once. What is
// called before the connection stands, waits for that; should it never stand,
// every call returns ErrUnreachable. The error tells what is wrong with the
// address.
func Open(address string, o Options) (*Conn, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conn{
		address:  a,
		options:  o.withDefaults(),
		cancel:   cancel,
		turn:     make(chan struct{}, 1),
		ready:    make(chan struct{}),
		ended:    make(chan struct{}),
		finished: make(chan struct{}),
	}
	go c.run(ctx)
	return c, nil
}

// Done returns a channel that is closed when the connection has ended, by Close
// or otherwise, or could not be made: from then on no lock can be counted on.
func (c *Conn) Done() <-chan struct{} { return c.ended }

// Err returns why the connection has ended, and nil while it has not:
// ErrClosed, ErrUnreachable or ErrDisconnected.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection, and with it every lock it holds. Calls under way
// return ErrClosed. It waits up to a second for the server to say that the
// locks are free; then nothing of the connection is left, neither goroutine nor
// descriptor. It may be called more than once. The error is always nil.
func (c *Conn) Close() error {
	link := c.seal(fmt.Errorf("%s: %w", c.address.text, ErrClosed))
	c.cancel()
	if link != nil {
		c.leave(link)
	}
	<-c.finished
	return nil
}

// seal makes err the reason of the connection's end, unless it has one. It
// returns what is to be closed then, nil for nothing.
func (c *Conn) seal(err error) net.Conn {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil
	}
	c.err = err
	close(c.ended)
	link, tell := c.link, c.onEnd
	c.onEnd = nil
	c.mu.Unlock()
	if tell != nil {
		tell()
	}
	return link
}

// whenEnded has f called once when the connection ends, at once if it has ended,
// or nothing where f is nil. It replaces what was to be called before.
func (c *Conn) whenEnded(f func()) {
	c.mu.Lock()
	ended := c.err != nil
	if !ended {
		c.onEnd = f
	}
	c.mu.Unlock()
	if ended && f != nil {
		f()
	}
}

// leave tells the server that this client goes, and gives it the time to see
// to that: it closes its end when all is freed.
func (c *Conn) leave(link net.Conn) {
	if half, ok := link.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		timer := time.NewTimer(closeWait)
		defer timer.Stop()
		select {
		case <-c.finished:
		case <-timer.C:
		}
	}
	link.Close()
}

// end makes err the reason of the connection's end, unless it has one, and cuts
// it off.
func (c *Conn) end(err error) {
	if link := c.seal(err); link != nil {
		link.Close()
	}
}

func (c *Conn) lost(err error) error {
	return fmt.Errorf("%s: %w: %w", c.address.text, ErrDisconnected, err)
}

func (c *Conn) unreachable(err error) error {
	return fmt.Errorf("connect to %s: %w: %w", c.address.text, ErrUnreachable, err)
}

// run is the connection's life. It reads at all times, so that its end is seen
// also while nobody calls.
func (c *Conn) run(ctx context.Context) {
	defer close(c.finished)
	defer c.cancel()
	link, err := c.connect(ctx)
	switch {
	case err != nil:
		c.end(c.unreachable(err))
		c.tellError()
		return
	case !c.attach(link):
		link.Close()
		return
	}
	var hook sync.WaitGroup
	if c.options.OnConnect != nil {
		hook.Go(c.options.OnConnect)
	}
	c.end(c.lost(c.read(link)))
	link.Close()
	hook.Wait()
	c.tellError()
	c.tellDisconnect()
}

func (c *Conn) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.ConnectTimeout)
	defer cancel()
	return c.options.Dial(ctx, c.address.network, c.address.target)
}

// attach makes link the connection's. It reports false after Close.
func (c *Conn) attach(link net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.link = link
	close(c.ready)
	return true
}

func (c *Conn) tellError() {
	if err := c.Err(); c.options.OnError != nil && !errors.Is(err, ErrClosed) {
		c.options.OnError(err)
	}
}

func (c *Conn) tellDisconnect() {
	if c.options.OnDisconnect == nil {
		return
	}
	err := c.Err()
	if errors.Is(err, ErrClosed) {
		err = nil
	}
	c.options.OnDisconnect(err)
}

// read hands every line to the call that waits for it, until the stream ends.
func (c *Conn) read(link net.Conn) error {
	cut := false
	lines := bufio.NewScanner(link)
	lines.Buffer(nil, maxLine)
	lines.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, bytes.TrimSuffix(data[:i], []byte("\r")), nil
		}
		cut = atEOF && len(data) > 0 // half a reply is none
		return 0, nil, nil
	})
	for first := true; lines.Scan(); first = false {
		line := lines.Text()
		if first && isHTTP(line) {
			return errHTTP
		}
		if err := c.deliver(line); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return err
	case cut:
		return errCutReply
	}
	return errServerClosed
}

// isHTTP tells a status line of HTTP from the first line of a listing, which has a
// colon.
func isHTTP(line string) bool {
	return strings.HasPrefix(line, "HTTP/1.") && !strings.Contains(line, ": ")
}

func (c *Conn) deliver(line string) error {
	if events := c.subscription(line); events != nil {
		return c.tell(events, line)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil: // closing; only the end of the stream is of interest
		return nil
	case c.current == nil || !c.current.take(line):
		return unexpected(line)
	case c.current.complete():
		close(c.current.done)
		c.current = nil
	}
	return nil
}
