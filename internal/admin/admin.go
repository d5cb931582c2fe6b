// Package admin is the HTTP endpoint for those who run a server: metrics,
// health, readiness, a status page and, where switched on, profiles of the
// process. It changes nothing in the server and tells no lock's and no client's
// name.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/net/netutil"
)

// What a client may take. There is no need of much here: scrapers come a few
// times a minute, people now and then.
const (
	maxConnections = 128              // per listener; more wait to be accepted
	maxHeaderBytes = 16 << 10         // of a request
	headerTimeout  = 5 * time.Second  // until a request's header is there, TLS included
	requestTimeout = 10 * time.Second // until a request is there with its body; no answer is cut short
	writeTimeout   = 30 * time.Second // for an answer; a profile may take its seconds more
	idleTimeout    = 5 * time.Second  // between requests; idle clients must not keep others out, a scraper connects again
)

// Options say what an endpoint shows and to whom. The functions are called from
// any goroutine, several at a time, and must not block for long.
type Options struct {
	// Gatherer is what /metrics shows.
	Gatherer prometheus.Gatherer
	// Ready tells whether /readyz answers 200; false while starting or closing.
	Ready func() bool
	// Status is what / shows, asked for each time.
	Status func() Status
	// Pprof switches /debug/pprof/ on.
	Pprof bool

	// Allow tells at accept whether an IP address may connect; nil allows all.
	// IPv4-mapped addresses come as plain IPv4, link-local ones without a zone.
	// Connections that have no IP address, those of Unix sockets, always may.
	Allow func(netip.Addr) bool
	// Refused is called for each connection that Allow refused, after it was
	// closed; nil where nobody counts.
	Refused func()

	// WebConfig is the path of a configuration file of the Prometheus exporter
	// toolkit (TLS, basic authentication), read again at each request; "" for
	// plain HTTP without authentication.
	WebConfig string

	// Log gets what goes wrong, rate-limited where clients can cause it; nil
	// for no log.
	Log *slog.Logger
}

// Server is an HTTP endpoint. Its methods may be called concurrently.
type Server struct {
	opts    Options       // static after construction, as handler and log
	handler http.Handler  //
	log     *slog.Logger  //
	ended   chan struct{} // closed when the first Shutdown is through

	mu      sync.Mutex
	closing bool           // guarded by mu
	servers []*http.Server // guarded by mu, one per listener
}

// New returns a Server that serves nothing yet.
func New(opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		opts:  opts,
		log:   slog.New(newQuietHandler(opts.Log.Handler())),
		ended: make(chan struct{}),
	}
	s.handler = s.newHandler()
	return s
}

// CheckWebConfig reports what is wrong with a web configuration file, or with
// the certificates that it names, in an error that names the file. An empty
// path is no error.
func CheckWebConfig(path string) error {
	if err := web.Validate(path); err != nil {
		return fmt.Errorf("web configuration %s: %w", path, err)
	}
	return nil
}

// Serve answers requests on l until Shutdown is called and through, then
// returns nil. It returns an error at once where the web configuration is
// broken, and when l fails. It closes l in any case.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }() // mostly closed already
	if err := CheckWebConfig(s.opts.WebConfig); err != nil {
		return err
	}
	hs := s.newHTTPServer()
	if !s.track(hs) {
		return nil
	}
	gated := &gatedListener{Listener: l, allow: s.opts.Allow, refused: s.refused}
	err := s.serve(hs, netutil.LimitListener(gated, maxConnections))
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
	}
	<-s.ended
	return nil
}

// Shutdown stops accepting, lets requests under way finish until ctx ends, and
// then closes what is left, with an error that wraps that of ctx. It ends all
// listeners' Serve and can be called again. A connection on which nothing was
// asked yet counts as under way for five seconds.
func (s *Server) Shutdown(ctx context.Context) error {
	servers, first := s.close()
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, hs := range servers {
		wg.Go(func() { errs[i] = shutdown(ctx, hs) })
	}
	wg.Wait()
	if first {
		close(s.ended)
	}
	return errors.Join(errs...)
}

func shutdown(ctx context.Context, hs *http.Server) error {
	err := hs.Shutdown(ctx)
	if err == nil {
		return nil
	}
	_ = hs.Close() // it can only complain about a listener closed already
	return fmt.Errorf("shut down http: %w", err)
}

// track makes a later Shutdown end hs, and tells whether it is too late for that.
func (s *Server) track(hs *http.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.servers = append(s.servers, hs)
	return true
}

// close keeps new listeners out, and tells whether it is the first to do so.
func (s *Server) close() (servers []*http.Server, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = !s.closing
	s.closing = true
	return s.servers, first
}

// newHTTPServer returns a server for one listener: the toolkit wraps the
// handler of the server it is given, so they cannot share one.
func (s *Server) newHTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.handler,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		// HTTP/2 applies the timeouts above to its streams; this is for the
		// connection under them.
		HTTP2:    &http.HTTP2Config{WriteByteTimeout: writeTimeout},
		ErrorLog: s.errorLog(),
	}
}

func (s *Server) serve(hs *http.Server, l net.Listener) error {
	if s.opts.WebConfig == "" {
		return hs.Serve(l)
	}
	return web.Serve(l, hs, &web.FlagConfig{WebConfigFile: &s.opts.WebConfig}, s.log)
}

func (s *Server) refused(addr netip.Addr) {
	s.log.Warn("http connection refused", "address", addr, "reason", "allow_from")
	if s.opts.Refused != nil {
		s.opts.Refused()
	}
}

// errorLog is where net/http and promhttp report to.
func (s *Server) errorLog() *log.Logger {
	return log.New(errorWriter{s.log}, "", 0)
}
