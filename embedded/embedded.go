// Package embedded runs a lockd server inside a Go program: for tests that need
// a lock server, for programs that bring their own. Clients of every kind can
// connect to it.
//
//	srv, err := embedded.Listen(ctx, embedded.Options{Addresses: []string{"tcp://127.0.0.1:0"}})
//	if err != nil {
//		return err
//	}
//	defer srv.Destroy()
//	fmt.Println(srv.Addrs())
package embedded

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
	"lockd/internal/state"
)

// Options say what a server is like. The zero value serves on a free port of
// the loopback interface, with all features and without a log.
type Options struct {
	// Addresses are where to listen: tcp://[HOST]:PORT, ws://[HOST]:PORT or
	// unix:///PATH?mode=0660&group=GROUP. Port 0 is a free port, which Addrs
	// tells. None means tcp://127.0.0.1:0.
	Addresses []string

	DisableDump     bool // d, sd, dump, who, ls and watch answer "0 disabled"
	DisableRegistry bool // iam and who answer "0 disabled", and names are not shown

	// Allow tells which IP addresses may connect. Nil allows all; who may
	// connect may take and see every lock.
	Allow func(netip.Addr) bool
	// Admin tells which IP addresses may break locks and disconnect clients (fr,
	// kick); it is asked about the zero address for the clients of Unix sockets. Nil
	// allows nobody.
	Admin func(netip.Addr) bool
	// Origins are the hosts of the web pages that may connect by WebSocket.
	// Clients that are no browsers always may.
	Origins []string

	MaxConnections        int   // at a time; 0: what the limit on open files leaves
	MaxLocksPerConnection int   // 0: no limit
	MaxTableBytes         int64 // names and bookkeeping of all locks; 0: no limit

	// Log gets connections that come and go at debug, and what clients do wrong
	// at warn, at a bounded rate. Nil is silence.
	Log *slog.Logger
}

// A Server is a lock server in this program. Its methods may be called from any
// goroutine.
type Server struct {
	server  *server.Server
	addrs   []string
	serving sync.WaitGroup
}

// Listen starts a server. Ctx bounds the opening of the addresses, not the
// server's life: that ends with Close or Destroy, one of which must be called.
// An error names the address that could not be opened, and nothing is left
// listening.
func Listen(ctx context.Context, o Options) (*Server, error) {
	listeners, err := open(ctx, o.Addresses)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	limits := locks.Limits{SessionHolds: o.MaxLocksPerConnection, Bytes: o.MaxTableBytes}
	s := &Server{server: server.New(server.Options{
		Table:    locks.New(limits, state.Clock(time.Now())),
		Settings: o.settings(),
		Log:      o.Log,
		Version:  "embedded",
	})}
	for _, l := range listeners {
		s.addrs = append(s.addrs, l.String())
		s.serving.Go(func() {
			if err := s.server.Serve(l); err != nil {
				o.Log.Error("clients are not served", "listen", l.String(), "error", err)
			}
		})
	}
	return s, nil
}

func open(ctx context.Context, addresses []string) (listeners []*server.Listener, err error) {
	if len(addresses) == 0 {
		addresses = []string{"tcp://127.0.0.1:0"}
	}
	for _, text := range addresses {
		var l *server.Listener
		a, err := server.ParseAddress(text)
		if err == nil {
			l, err = server.Listen(ctx, a)
		}
		if err != nil {
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func (o Options) settings() server.Settings {
	set := server.DefaultSettings()
	set.Dump = !o.DisableDump
	set.Registry = !o.DisableRegistry
	set.Allow = o.Allow
	set.Admin = o.Admin
	set.Origins = o.Origins
	set.MaxConnections = o.MaxConnections
	return set
}

// Addrs returns the addresses that the server listens on, in the order of
// Options.Addresses, with the ports that were opened.
func (s *Server) Addrs() []string { return s.addrs }

// Close stops listening and waits for all clients to leave. If ctx ends before
// they have, they are disconnected, and the error is ctx's.
func (s *Server) Close(ctx context.Context) error {
	err := s.server.Close(ctx)
	s.serving.Wait()
	return err
}

// Destroy stops listening and disconnects all clients. When it returns, nothing
// of the server is left. It may be called again, and after Close.
func (s *Server) Destroy() {
	s.server.Destroy()
	s.serving.Wait()
}

// Stats are a server's counters, the same that clients read with q.
type Stats struct {
	Commands        map[string]uint64 // commands read since the start, by their word
	InvalidCommands uint64            // lines that were no command, since the start
	Connections     uint64            // open now
	Locks           uint64            // exclusive locks held now
	SharedLocks     uint64            // shared locks held now, each once whatever its holders
	Orphans         uint64            // exclusive locks whose holder left, since the start
	SharedOrphans   uint64            // the same for shared locks, a holder each
	Waiters         uint64            // clients that wait for an exclusive lock now
	SharedWaiters   uint64            // clients that wait for a shared lock now
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	from := s.server.Stats()
	commands := make(map[string]uint64, len(from.Commands))
	for _, c := range from.Commands {
		commands[c.Name] = c.Value
	}
	return Stats{
		Commands:        commands,
		InvalidCommands: from.InvalidCommands,
		Connections:     from.Connections(),
		Locks:           from.Locks.Exclusive.Locks,
		SharedLocks:     from.Locks.Shared.Locks,
		Orphans:         from.Locks.Exclusive.Orphans,
		SharedOrphans:   from.Locks.Shared.Orphans,
		Waiters:         from.Locks.Exclusive.Waiters,
		SharedWaiters:   from.Locks.Shared.Waiters,
	}
}
