package server

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A socket is one accepted connection. It holds no buffer while it waits for
// bytes, and a client that does not read blocks nobody: see write. It is a
// net.Conn, so that the HTTP server that begins a WebSocket can use it.
//
// One goroutine reads, one at a time writes; wake and interrupt may be called by
// any.
type socket struct {
	file      *os.File
	raw       syscall.RawConn
	fd        int // of file; Close closes it
	transport Transport
	ip        netip.Addr // not valid for a Unix socket
	addr      string     // as clients are shown it (docs/protocol.md, "Connections")
	gate      *gate
	counted   bool // by the gate
	settings  *atomic.Pointer[Settings]
	inputs    *buffers

	cut     atomic.Bool // interrupt was called
	emptied func()      // called when a backlog has ended; nil, or the wake of the link

	reading struct { // the arguments and results of tryRead
		attempt func(fd uintptr) bool
		in      []byte
		limit   int
		waited  bool // there was nothing to read at first
		err     error
	}
	// backlog has the replies that the kernel would not take, and is nil while it
	// takes them. It is set by who writes.
	backlog atomic.Pointer[backlog]
}

// newSocket wraps a descriptor fresh from accept, non-blocking and close-on-exec.
func newSocket(fd int, peer unix.Sockaddr, t Transport) (*socket, error) {
	s := &socket{transport: t, fd: fd}
	s.setPeer(peer)
	s.file = os.NewFile(uintptr(fd), "client")
	var err error
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, err
	}
	s.reading.attempt = s.tryRead
	return s, nil
}

// setPeer takes the client's address from the kernel's form of it. A Unix
// socket's client has none; it is given a number elsewhere.
func (s *socket) setPeer(peer unix.Sockaddr) {
	var port int
	switch a := peer.(type) {
	case *unix.SockaddrInet4:
		s.ip, port = netip.AddrFrom4(a.Addr), a.Port
	case *unix.SockaddrInet6:
		s.ip, port = netip.AddrFrom16(a.Addr).Unmap(), a.Port
		if a.ZoneId != 0 {
			s.ip = s.ip.WithZone(zoneName(int(a.ZoneId)))
		}
	default:
		return
	}
	s.addr = netip.AddrPortFrom(s.ip, uint16(port)).String()
}

func zoneName(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return strconv.Itoa(index)
}

// setKeepalive sets how a dead peer is noticed. It is done for every accepted
// connection, since what is set on a listener is not always passed on.
func (s *socket) setKeepalive(k Keepalive) (err error) {
	control := s.raw.Control(func(fd uintptr) { err = setKeepalive(int(fd), k) })
	return errors.Join(control, err)
}

func setKeepalive(fd int, k Keepalive) error {
	set := func(level, option, value int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
	}
	return errors.Join(
		set(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		set(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(k.Idle/time.Second)),
		set(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(k.Interval/time.Second)),
		set(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, k.Count),
		set(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(k.UserTimeout/time.Millisecond)),
	)
}

// read waits until the client has sent something and returns it behind in,
// which is what was received before and makes no whole line yet. It returns
// io.EOF when the client has closed or half-closed.
func (s *socket) read(in []byte, limit int) ([]byte, error) {
	r := &s.reading
	r.in, r.limit, r.waited, r.err = in, limit, false, nil
	err := s.raw.Read(r.attempt)
	if err == nil {
		err = r.err
	} else {
		err = s.whyNotRead(err)
	}
	in, r.in = r.in, nil
	return in, err
}

// whyNotRead returns what is behind a read's deadline in the past.
func (s *socket) whyNotRead(err error) error {
	if b := s.backlog.Load(); b != nil && b.failure() != nil {
		return b.failure() // it has interrupted the read
	}
	switch {
	case s.cut.Load():
		return errInterrupted
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errWoken
	}
	return err
}

// wakeable implements link: a socket always is.
func (s *socket) wakeable() {}

// wakeAt implements link.
func (s *socket) wakeAt(t time.Time) { s.SetReadDeadline(t) }

// wake implements link. A deadline in the past is what reaches a goroutine in a
// read without one of its own to wait beside it.
func (s *socket) wake() { s.SetReadDeadline(longAgo()) }

// tryRead reads once. The buffer is taken when there may be something to put
// into it, and given back at once if there is not.
func (s *socket) tryRead(fd uintptr) bool {
	r := &s.reading
	buf := roomFor(r.in, r.limit, s.inputs)
	read := readNow
	if r.waited {
		read = readTelling
	}
	n, errno := read(int(fd), buf[len(buf):cap(buf)])
	if n > 0 {
		r.in = buf[:len(buf)+n]
		return true
	}
	if cap(buf) != cap(r.in) {
		s.inputs.put(buf)
	}
	switch errno {
	case unix.EAGAIN:
		r.waited = true
		return false
	case 0:
		r.err = io.EOF
	default:
		r.err = os.NewSyscallError("read", errno)
	}
	return true
}

// roomFor returns in, or a copy of it, with room to read into. A line may fill
// a buffer up to the limit and one byte more, which shows it to be too long.
func roomFor(in []byte, limit int, pool *buffers) []byte {
	switch {
	case len(in) < pool.size/2:
		if cap(in) == pool.size {
			return in
		}
		return append(pool.get(), in...)
	case len(in) < cap(in):
		return in
	}
	return append(make([]byte, 0, max(min(2*cap(in), limit+1), len(in)+pool.size)), in...)
}

// write sends p. What the kernel does not take at once goes to a backlog, which
// a goroutine of its own sends on, so that the caller can go on reading; only
// when the backlog is full does write wait. Its errors may belong to earlier
// writes.
func (s *socket) write(p []byte) error {
	if b := s.backlog.Load(); b != nil {
		taken := b.add(p)
		if err := b.failure(); taken || err != nil {
			return err
		}
		s.backlog.Store(nil) // all sent: back to the short way
	}
	n, err := s.writeSome(p)
	if err != nil || n == len(p) {
		return err
	}
	set := s.settings.Load()
	s.backlog.Store(startBacklog(s, p[n:], set.ReplyBacklogBytes, set.Keepalive.UserTimeout))
	return nil
}

// writeSome writes what the kernel takes now. The descriptor must stay open.
func (s *socket) writeSome(p []byte) (n int, err error) {
	for n < len(p) {
		if s.cut.Load() {
			return n, os.ErrDeadlineExceeded
		}
		more, errno := writeNow(s.fd, p[n:min(len(p), n+outputSize)]) // long ones in parts
		switch {
		case errno == unix.EAGAIN:
			return n, nil
		case errno != 0:
			return n, os.NewSyscallError("write", errno)
		}
		n += more
	}
	return n, nil
}

// roomy implements link.
func (s *socket) roomy() bool {
	b := s.backlog.Load()
	return b == nil || b.roomy()
}

// drain waits until the kernel has all that was written, or the client is lost.
func (s *socket) drain() error {
	b := s.backlog.Load()
	if b == nil {
		return nil
	}
	<-b.done
	return b.failure()
}

// interrupt makes every read and write fail from now on, with an error that is
// os.ErrDeadlineExceeded. The socket stays open: closing is for the owner, when
// the client's locks are free.
func (s *socket) interrupt() {
	s.cut.Store(true)
	s.file.SetDeadline(longAgo())
}

func longAgo() time.Time { return time.Unix(1, 0) }

// refuse implements link. The client is not counted any more when it sees the
// end of the stream. Then it has a moment to go, since closing with bytes unread
// would make the kernel drop what was sent.
func (s *socket) refuse(p []byte) {
	if s.write(p) != nil || s.drain() != nil {
		return
	}
	s.uncount()
	s.raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_WR) })
	s.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, io.LimitReader(s, lingerBytes))
}

// What a refused client may still send, and for how long.
const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// unsent is how much of what the kernel has taken the client has not. It shrinks
// long before there is room to write again.
func (s *socket) unsent() (n int) {
	s.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n
}

// Close takes the socket out of the count and closes it, in this order: who sees
// the end of the stream sees the count without it.
func (s *socket) Close() error {
	s.uncount()
	err := s.file.Close()
	if b := s.backlog.Load(); b != nil {
		<-b.done
	}
	return err
}

func (s *socket) uncount() {
	if s.counted {
		s.counted = false
		s.gate.leave(s.transport, s.ip)
	}
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	return n, bare(err)
}

// Write implements net.Conn with what write does. Others than the owner call it,
// so it sees to it that the descriptor stays open meanwhile.
func (s *socket) Write(p []byte) (int, error) {
	var err error
	closed := s.raw.Control(func(uintptr) { err = s.write(p) })
	if err = cmp.Or(closed, err); err != nil {
		return 0, bare(err)
	}
	return len(p), nil
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

// LocalAddr implements net.Conn. Nobody asks for it.
func (s *socket) LocalAddr() net.Addr { return socketAddr("") }

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr { return socketAddr(s.addr) }

// SetDeadline implements net.Conn. Like the next two, it never undoes an
// interrupt.
func (s *socket) SetDeadline(t time.Time) error { return s.deadline(s.file.SetDeadline, t) }

// SetReadDeadline implements net.Conn.
func (s *socket) SetReadDeadline(t time.Time) error { return s.deadline(s.file.SetReadDeadline, t) }

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(t time.Time) error { return s.deadline(s.file.SetWriteDeadline, t) }

func (s *socket) deadline(set func(time.Time) error, t time.Time) error {
	err := set(t)
	if s.cut.Load() {
		err = set(longAgo())
	}
	return err
}

type socketAddr string

func (a socketAddr) Network() string { return "tcp" }
func (a socketAddr) String() string  { return string(a) }
