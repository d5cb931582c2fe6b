package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
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
		MaxHeaderBytes: maxUpgradeHeader,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, upgradeKey{}, c)
		},
	}
	from := &upgradeListener{Listener: l, clients: make(chan net.Conn), closed: make(chan struct{})}
	l.deliver = func(sock *socket) { s.beginUpgrade(from, sock) }
	var serving sync.WaitGroup
	serving.Go(func() { h.Serve(from) })
	err := s.acceptFrom(l)
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
	if err := s.watch(sock); err != nil {
		u.shut()
		return
	}
	from.upgrading.Add(1)
	s.mu.Lock()
	s.upgrading[u] = struct{}{}
	s.mu.Unlock()
	from.handing.Go(func() { from.clients <- u }) // not here, where the accept queue waits
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
	if s.destroyed {
		return false
	}
	delete(s.upgrading, u)
	u.from.upgrading.Done()
	s.conns[c] = struct{}{}
	u.upgraded = true
	return true
}

// An upgradeSocket is a socket below a WebSocket. It is a net.Conn, so that the HTTP
// server and the WebSocket library can use it. The library answers a close frame and
// closes the socket when it likes: both are left to the session's owner here, when the
// client's locks are free.
type upgradeSocket struct {
	*socket
	file     *os.File // has the socket's descriptor, to read from and to close
	raw      syscall.RawConn
	from     *upgradeListener
	losing   sync.Once
	closing  sync.Once
	lost     chan struct{} // closed when the client has closed, or the library gives it up
	plain    bool          // it has asked for something else; guarded by Server.mu
	upgraded bool          // a session lives on it; set before the library is used
	ended    bool          // the client's stream has; belongs to who reads
	payload  int           // of the frame being written, not written yet; belongs to who writes
	farewell atomic.Pointer[[]byte]
	err      error

	gathering sync.Mutex
	gathered  []byte // guarded by gathering: frames to be written together; nil where they are not gathered
}

func newUpgradeSocket(sock *socket, from *upgradeListener) *upgradeSocket {
	u := &upgradeSocket{socket: sock, from: from, lost: make(chan struct{})}
	u.file = os.NewFile(uintptr(sock.fd), "client")
	u.raw, _ = u.file.SyscallConn() // fails for no file that there is
	return u
}

// Read implements net.Conn. It keeps in mind that the stream has ended: in the
// middle of a message the library would take that for the message's end.
func (u *upgradeSocket) Read(p []byte) (int, error) {
	n, err := u.file.Read(p)
	err = bare(err)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // as net/http sets to hand over
		u.ended = true
	}
	return n, err
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

// put writes p, or keeps it in the backlog. Others than the owner call it, so it sees
// to it that the descriptor stays open meanwhile.
func (u *upgradeSocket) put(p []byte) (int, error) {
	var err error
	closed := u.raw.Control(func(uintptr) { err = u.write(p) })
	if err = cmp.Or(closed, err); err != nil {
		return 0, err
	}
	return len(p), nil
}

// interrupt makes every read and write fail from now on.
func (u *upgradeSocket) interrupt() {
	u.socket.interrupt()
	u.file.SetReadDeadline(longAgo())
}

func longAgo() time.Time { return time.Unix(1, 0) }

// SetReadDeadline implements net.Conn. It never undoes an interrupt.
func (u *upgradeSocket) SetReadDeadline(t time.Time) error {
	err := u.file.SetReadDeadline(t)
	if u.cut.Load() {
		err = u.file.SetReadDeadline(longAgo())
	}
	return err
}

// SetWriteDeadline implements net.Conn. No write waits for long: see backlog.
func (u *upgradeSocket) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements net.Conn.
func (u *upgradeSocket) SetDeadline(t time.Time) error { return u.SetReadDeadline(t) }

// LocalAddr implements net.Conn. Nobody asks for it.
func (u *upgradeSocket) LocalAddr() net.Addr { return socketAddr("") }

// RemoteAddr implements net.Conn.
func (u *upgradeSocket) RemoteAddr() net.Addr { return socketAddr(u.addr) }

type socketAddr string

func (a socketAddr) Network() string { return "tcp" }
func (a socketAddr) String() string  { return string(a) }

// opClose is how a close frame begins.
const opClose = 0x88

// Write implements net.Conn. It is given the whole of a frame or, of a long one,
// its parts, the header in one piece: the library writes no frame before it has
// flushed the one before. A close frame is kept for Close.
func (u *upgradeSocket) Write(p []byte) (int, error) {
	switch {
	case !u.upgraded:
	case u.payload > 0:
		u.payload -= len(p)
	case len(p) > 0 && p[0] == opClose:
		frame := bytes.Clone(p)
		u.farewell.Store(&frame)
		u.lose()
		return len(p), nil
	default:
		u.payload = frameLen(p) - len(p)
	}
	return u.gather(p)
}

// gather keeps p for flush, between begin and that, or writes it.
func (u *upgradeSocket) gather(p []byte) (int, error) {
	u.gathering.Lock()
	defer u.gathering.Unlock()
	if u.gathered == nil {
		return u.put(p)
	}
	if len(u.gathered)+len(p) > outputSize {
		if _, err := u.put(u.gathered); err != nil {
			return 0, err
		}
		u.gathered = u.gathered[:0]
		if len(p) > outputSize {
			return u.put(p)
		}
	}
	u.gathered = append(u.gathered, p...)
	return len(p), nil
}

// begin has the frames gathered until flush. Each reply is a message, and a write
// for each would cost more than all else.
func (u *upgradeSocket) begin() {
	u.gathering.Lock()
	defer u.gathering.Unlock()
	if u.gathered == nil {
		u.gathered = u.srv.outputs.get()
	}
}

// flush writes what was gathered.
func (u *upgradeSocket) flush() (err error) {
	u.gathering.Lock()
	defer u.gathering.Unlock()
	if u.gathered == nil {
		return nil
	}
	if len(u.gathered) > 0 {
		_, err = u.put(u.gathered)
	}
	u.srv.outputs.put(u.gathered)
	u.gathered = nil
	return err
}

// frameLen returns the length of a frame from the server, of which p is the
// beginning.
func frameLen(p []byte) int {
	if len(p) < 2 {
		return len(p)
	}
	switch n := int(p[1]); {
	case n == 126 && len(p) >= 4:
		return 4 + int(binary.BigEndian.Uint16(p[2:]))
	case n == 127 && len(p) >= 10:
		return 10 + int(binary.BigEndian.Uint64(p[2:]))
	default:
		return 2 + n
	}
}

// lose tells the owner that the client is lost.
func (u *upgradeSocket) lose() { u.losing.Do(func() { close(u.lost) }) }

// Close implements net.Conn. Where a session lives on the socket, it only tells the
// owner, who closes it with closeUpgraded.
func (u *upgradeSocket) Close() error {
	if u.upgraded {
		if u.farewell.Load() == nil {
			u.interrupt() // the owner may be writing
		}
		u.lose()
		return nil
	}
	u.closing.Do(func() {
		u.err = u.shut()
		u.srv.endUpgrade(u)
	})
	return u.err
}

// closeUpgraded closes the socket of a session that holds nothing and is not
// counted any more, with the close frame that the client is owed.
func (u *upgradeSocket) closeUpgraded() error {
	if farewell := u.farewell.Load(); farewell != nil {
		u.put(*farewell)
	}
	return u.shut()
}

// shut closes the socket, whose descriptor is the file's.
func (u *upgradeSocket) shut() error {
	u.socket.end()
	return u.file.Close()
}

// upgrade turns a request into a connection and serves it to its end.
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
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // origin is checked
	if err != nil {
		s.setPlain(sock) // it is answered, and the HTTP server goes on with the connection
		return
	}
	ws.SetReadLimit(-1) // lines have a limit, messages none
	link := newWSLink(ws, sock)
	link.conn = newConn(s, link, sock.addr, WebSocket)
	sock.conn = link.conn
	if !s.trackUpgraded(link.conn, sock) {
		ws.CloseNow()
		return
	}
	link.conn.begin()
	link.pump()
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
