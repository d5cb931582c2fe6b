package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/net/http/httpguts"
)

const (
	// upgradeTimeout is how long a client may take to send its HTTP request.
	upgradeTimeout   = 10 * time.Second
	maxUpgradeHeader = 16 << 10 // bytes
)

// serveWebSocket serves the HTTP requests that begin a WebSocket each. It returns
// when l is closed and nobody is between request and WebSocket any more.
func (s *Server) serveWebSocket(l *Listener) error {
	h := &http.Server{
		Handler:        http.HandlerFunc(s.upgrade),
		ReadTimeout:    upgradeTimeout,
		WriteTimeout:   upgradeTimeout,
		MaxHeaderBytes: maxUpgradeHeader,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, upgradeKey{}, c)
		},
	}
	from := &upgradeListener{Listener: l, clients: make(chan net.Conn), closed: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() { h.Serve(from) })
	err := s.acceptFrom(l, func(sock *socket) *conn {
		s.beginUpgrade(from, sock)
		return nil
	})
	from.handing.Wait()
	close(from.closed)
	serving.Wait()
	// Not h.Close: it closes connections under a mutex that one which is being
	// upgraded needs to go on. Destroy interrupts them instead.
	from.upgrading.Wait()
	return err
}

// upgradeKey is where a request's context has the connection it came by.
type upgradeKey struct{}

// An upgradeListener gives the HTTP server the clients that may connect.
type upgradeListener struct {
	*Listener
	clients   chan net.Conn
	handing   sync.WaitGroup // counts who is to come out of clients
	closed    chan struct{}  // closed when no more come
	upgrading sync.WaitGroup // counts the clients in Server.upgrading
}

// Accept implements net.Listener.
func (l *upgradeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.clients:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (l *upgradeListener) Addr() net.Addr { return socketAddr(l.address) }

// beginUpgrade hands a client that has not sent its request yet to the HTTP
// server, and takes it into the care of Close and Destroy.
func (s *Server) beginUpgrade(from *upgradeListener, sock *socket) {
	u := newUpgradeSocket(sock, from)
	from.upgrading.Add(1)
	s.mu.Lock()
	s.upgrading[u] = struct{}{}
	s.mu.Unlock()
	from.handing.Go(func() { from.clients <- u }) // not here, where a loop would wait
}

// endUpgrade gives up a client that never asked for a WebSocket.
func (s *Server) endUpgrade(u *upgradeSocket) {
	s.mu.Lock()
	delete(s.upgrading, u)
	s.checkEmpty()
	s.mu.Unlock()
	u.from.upgrading.Done()
}

// setPlain notes that a client has asked for something else than a WebSocket. The
// HTTP server keeps its connection, but Close does not wait for it to ask better.
func (s *Server) setPlain(u *upgradeSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.plain = true
	if s.closing {
		u.interrupt()
	}
}

// trackUpgraded is track for a client that has its WebSocket now. It may have come
// before the server began to close.
func (s *Server) trackUpgraded(c *conn, u *upgradeSocket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.destroyed || u.cut.Load() { // cut, as it has asked for something else before
		return false
	}
	delete(s.upgrading, u)
	u.from.upgrading.Done()
	s.conns[c] = struct{}{}
	return true
}

// An upgradeSocket is a socket whose client has no WebSocket yet. It is a net.Conn for
// the HTTP server.
type upgradeSocket struct {
	*socket
	file    *os.File // has the socket's descriptor
	from    *upgradeListener
	closing sync.Once
	plain   bool // it has asked for something else; guarded by Server.mu
}

func newUpgradeSocket(sock *socket, from *upgradeListener) *upgradeSocket {
	return &upgradeSocket{socket: sock, file: os.NewFile(uintptr(sock.fd), "client"), from: from}
}

// Read implements net.Conn.
func (u *upgradeSocket) Read(p []byte) (int, error) {
	n, err := u.file.Read(p)
	return n, bare(err)
}

// Write implements net.Conn.
func (u *upgradeSocket) Write(p []byte) (int, error) {
	n, err := u.file.Write(p)
	return n, bare(err)
}

// bare takes off the wrapping of package os, under which net/http would not
// know an error for a passed deadline.
func bare(err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// interrupt makes every read and write fail from now on.
func (u *upgradeSocket) interrupt() {
	u.socket.interrupt()
	u.file.SetDeadline(longAgo())
}

func longAgo() time.Time { return time.Unix(1, 0) }

// SetDeadline implements net.Conn.
func (u *upgradeSocket) SetDeadline(t time.Time) error { return u.deadline(u.file.SetDeadline, t) }

// SetReadDeadline implements net.Conn.
func (u *upgradeSocket) SetReadDeadline(t time.Time) error {
	return u.deadline(u.file.SetReadDeadline, t)
}

// SetWriteDeadline implements net.Conn.
func (u *upgradeSocket) SetWriteDeadline(t time.Time) error {
	return u.deadline(u.file.SetWriteDeadline, t)
}

// deadline sets a deadline, and never undoes an interrupt.
func (u *upgradeSocket) deadline(set func(time.Time) error, t time.Time) error {
	err := set(t)
	if u.cut.Load() {
		err = set(longAgo())
	}
	return err
}

// LocalAddr implements net.Conn. Nobody asks for it.
func (u *upgradeSocket) LocalAddr() net.Addr { return socketAddr("") }

// RemoteAddr implements net.Conn.
func (u *upgradeSocket) RemoteAddr() net.Addr { return socketAddr(u.addr) }

type socketAddr string

func (a socketAddr) Network() string { return "tcp" }
func (a socketAddr) String() string  { return string(a) }

// Close implements net.Conn. The client is not counted any more when it sees that.
func (u *upgradeSocket) Close() (err error) {
	u.closing.Do(func() {
		u.uncount()
		err = u.file.Close()
		u.srv.endUpgrade(u)
	})
	return err
}

// release takes the socket from the runtime's poller, in which it would cost as much
// again for all that comes. Only closing does that, so it gets a new descriptor.
func (u *upgradeSocket) release() (*socket, error) {
	fd, err := duplicate(u.file)
	if err != nil {
		return nil, err
	}
	u.file.Close()
	u.fd = fd
	return u.socket, nil
}

// upgrade turns a request into a connection that is served from now on.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	sock := r.Context().Value(upgradeKey{}).(*upgradeSocket)
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		s.setPlain(sock)
		return
	}
	if origin := r.Header.Get("Origin"); !originAllowed(origin, s.settings.Load().Origins) {
		s.gate.refuse(refusedOrigin)
		s.logRefusal(sock.addr, refusedOrigin, slog.String("origin", origin))
		http.Error(w, "origin not allowed; see websocket.origins in lockd's configuration", http.StatusForbidden)
		s.setPlain(sock)
		return
	}
	if !asksFor(r, "Upgrade", "websocket") || !asksFor(r, "Connection", "Upgrade") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this port speaks WebSocket", http.StatusUpgradeRequired)
		s.setPlain(sock) // the HTTP server goes on with the connection
		return
	}
	_, buffered, _, err := ws.HTTPUpgrader{Timeout: upgradeTimeout}.Upgrade(r, w)
	if err != nil { // the client was told
		sock.Close()
		return
	}
	sent, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	s.serveUpgraded(sock, sent)
}

// asksFor tells whether one of a request's headers of that name has the token. It is
// the only one then: package ws looks at the first.
func asksFor(r *http.Request, name, token string) bool {
	if !httpguts.HeaderValuesContainsToken(r.Header[name], token) {
		return false
	}
	r.Header.Set(name, token)
	return true
}

// serveUpgraded has a client be served that has its WebSocket now, and has sent the
// beginning of its frames already.
func (s *Server) serveUpgraded(u *upgradeSocket, sent []byte) {
	sock, err := u.release()
	if err != nil {
		s.throttle.warn(topicAccept, "cannot serve a client", slog.String("address", u.addr), slog.Any("error", err))
		u.Close()
		return
	}
	link := newWSLink(sock, sent)
	c := newConn(s, link, sock.addr, WebSocket)
	sock.conn = c
	if !s.trackUpgraded(c, u) {
		sock.Close()
		s.endUpgrade(u)
		return
	}
	c.begin()
}

// originAllowed tells whether a web page from origin may use the server. Clients
// that are no browsers send none.
func originAllowed(origin string, allowed []string) bool {
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	return slices.Contains(allowed, u.Host) || slices.Contains(allowed, u.Hostname())
}
