// Package server serves the lockd protocol: it listens, owns the connections,
// and words the table's answers.
//
// A [poller] waits for all connections at once and acts for those to which something
// has happened (turn.go). What a [conn] receives, the package protocol cuts into
// commands; a small handler for each (commands.go) asks the [Table] and appends the
// reply. A [socket] hides that clients may not read; a [wsLink] makes a WebSocket
// look like one.
package server

import (
	"container/list"
	"context"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lockd/internal/locks"
)

// A Table is the lock table a server speaks for. Its methods are called from
// many goroutines, for one session from one at a time. They must not block on
// any client, and must cost no more than what they answer with, whatever else is
// held. Names are only lent: what is kept is copied.
type Table interface {
	// Get makes the session a holder, has it wait, or ends its wait, as
	// locks.Table.Get has it. Those who wait are served first come, first served;
	// a session that leaves is granted nothing more, or passes it on.
	Get(s *locks.Session, r locks.Request) (locks.Result, error)
	// Release ends the session's hold and reports whether there was one.
	Release(s *locks.Session, m locks.Mode, name []byte, now time.Duration) bool
	// Leave ends the session's wait and all its holds, counts each hold as an
	// orphan, and returns their number. When it does, others can get them.
	Leave(s *locks.Session, now time.Duration) (orphans int)
	// Inspect returns the number of holders.
	Inspect(m locks.Mode, name []byte) int
	// Break tells the owners of those who hold the lock, or of the one who does with
	// a token, to leave, and returns their sessions.
	Break(m locks.Mode, name []byte, token uint64) []*locks.Session
	// List returns who holds and waits, in the order of locks.Table.List, in about
	// the memory that locks.ListBytes tells.
	List(q locks.Query) iter.Seq[locks.Entry]
	// Stats returns the counters, exact for all that ended before the call.
	Stats() locks.Stats
}

// Options are what a server is made of. All but Version must be set.
type Options struct {
	Table    Table
	Settings Settings // begin with [DefaultSettings]: under the zero value every line is too long
	Log      *slog.Logger
	Version  string // of the program, as info tells it
}

// A Server serves clients on any number of listeners.
type Server struct {
	// static after New
	table         Table
	log           *slog.Logger
	throttle      *throttle
	inputs        buffers
	outputs       buffers
	snapshots     *budget
	hub           *hub
	started       time.Time // what times of the table are counted from
	version       string
	listenersDone chan struct{} // closed by the first Close or Destroy

	settings atomic.Pointer[Settings]
	counters counters
	gate     gate
	registry registry
	poller   poller
	serial   atomic.Uint64        // of connections
	unixPeer atomic.Uint64        // number of the last Unix socket's client
	draining atomic.Bool          // closing, as those who wait see it
	granted  atomic.Pointer[conn] // see handover.go
	leavers  atomic.Int64         // connections with many locks that are leaving
	// lingering are sockets that are not counted any more and not closed yet (linger.go).
	lingering atomic.Int32

	mu        sync.Mutex
	listeners map[*Listener]struct{}      // guarded by mu, as below
	upgrading map[*upgradeSocket]struct{} // clients that have no WebSocket yet
	conns     map[*conn]struct{}
	ending    bool          // no new listeners
	closing   bool          // no new connections
	destroyed bool          // no connections
	empty     chan struct{} // closed when closing and the last connection has gone
	left      sync.Cond     // on mu: a connection has gone, or was told to go
	freed     chan struct{} // gets a token when a connection has gone
}

// New returns a server that serves nothing yet.
func New(o Options) *Server {
	s := &Server{
		table:         o.Table,
		log:           o.Log,
		throttle:      newThrottle(o.Log),
		inputs:        buffers{size: inputSize},
		outputs:       buffers{size: outputSize},
		snapshots:     newBudget(),
		hub:           newHub(),
		started:       time.Now(),
		version:       o.Version,
		listenersDone: make(chan struct{}),
		gate:          gate{perIP: make(map[netip.Addr]int)},
		registry:      registry{place: make(map[*locks.Session]*list.Element)},
		listeners:     make(map[*Listener]struct{}),
		upgrading:     make(map[*upgradeSocket]struct{}),
		conns:         make(map[*conn]struct{}),
		empty:         make(chan struct{}),
		freed:         make(chan struct{}, 1),
	}
	s.left.L = &s.mu
	s.Apply(o.Settings)
	return s
}

// Apply replaces the settings. Connections there are go on under the new ones,
// with their next batch of commands.
func (s *Server) Apply(set Settings) {
	set.MaxConnections = set.maxConnections()
	s.settings.Store(&set)
	s.snapshots.setLimit(set.SnapshotBytes)
}

// Open opens what serving needs and can fail for want of descriptors. Serve does that
// as well, where it has not been done.
func (s *Server) Open() error { return s.poller.start() }

// Serve accepts clients from l until the server closes, and then returns nil.
// It takes l over. Any number of Serve may run. The error is that the server could
// not wait for what happens to sockets; l is closed then.
func (s *Server) Serve(l *Listener) error {
	if err := s.Open(); err != nil {
		l.Close()
		return err
	}
	if l.transport == WebSocket {
		return s.serveWebSocket(l)
	}
	return s.acceptFrom(l, s.serveSocket)
}

// serveSocket has a client that was counted be served, as soon as the connection that
// it returns begins. (Nobody is accepted when it is too late to serve.)
func (s *Server) serveSocket(sock *socket) *conn {
	c := newConn(s, sock, sock.addr, sock.transport)
	sock.conn = c
	if !s.track(c) {
		sock.Close()
		return nil
	}
	return c
}

// Close stops listening and serves the clients there are until the last of them
// has left. If ctx ends before, it does as Destroy does and returns ctx's error.
func (s *Server) Close(ctx context.Context) error {
	s.StopListening()
	select {
	case <-s.empty:
	case <-ctx.Done():
	}
	select {
	case <-s.empty: // maybe both
		s.end()
		return nil
	default:
		s.Destroy()
		return ctx.Err()
	}
}

// Destroy stops listening, disconnects all clients and returns when all their
// locks are free and their connections closed. It may be called at any time, and
// again.
func (s *Server) Destroy() {
	s.StopListening()
	s.mu.Lock()
	s.destroyed = true
	for c := range s.conns {
		c.interrupt()
	}
	for u := range s.upgrading {
		u.interrupt()
	}
	s.left.Broadcast()
	s.mu.Unlock()
	s.snapshots.close()
	<-s.empty
	s.end()
}

// end ends what served the connections, which have ended all.
func (s *Server) end() {
	s.hub.close()
	s.poller.stop()
	s.throttle.flush(lastWords)
}

// lastWords is how long the end of a server waits for the log.
const lastWords = 100 * time.Millisecond

// now is the time as the table has it.
func (s *Server) now() time.Duration { return time.Since(s.started) }

// Closing tells that the server takes no new clients any more.
func (s *Server) Closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// StopListening lets no new clients in. Close and Destroy begin with it. Who is
// in the accept queue of a socket that was passed stays there for the next server.
func (s *Server) StopListening() {
	// Before closing is set: who has left the queue by then is served, not cut off.
	for _, l := range s.lastListeners() {
		l.end()
	}
	// Not under mu: a Close waits for an accept under way, which may want it.
	for _, l := range s.beginClosing() {
		l.Close()
	}
}

func (s *Server) openListeners() []*Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.listeners))
}

// lastListeners returns the listeners there are and lets none follow.
func (s *Server) lastListeners() []*Listener {
	s.mu.Lock()
	s.ending = true
	s.mu.Unlock()
	return s.openListeners()
}

// beginClosing lets no new clients in and returns the listeners to close.
func (s *Server) beginClosing() []*Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil
	}
	s.closing = true
	close(s.listenersDone)
	for u := range s.upgrading {
		if u.plain {
			u.interrupt()
		}
	}
	s.drain()
	s.checkEmpty()
	return slices.Collect(maps.Keys(s.listeners))
}

// drain ends all waiting for locks, now and later. It must be called under mu.
func (s *Server) drain() {
	s.draining.Store(true)
	for c := range s.conns {
		if c.waiting.Load() { // who begins to wait now looks at draining after that
			c.wake()
		}
	}
}

// checkEmpty must be called under mu.
func (s *Server) checkEmpty() {
	if s.closing && len(s.conns)+len(s.upgrading) == 0 {
		close(s.empty)
	}
}

func (s *Server) addListener(l *Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l *Listener) {
	l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// track takes a connection into the care of Close and Destroy. It must come
// before anybody acts for the connection.
func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.left.Broadcast()
	s.checkEmpty()
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}
