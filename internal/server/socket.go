package server

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A socket is one accepted connection. It holds no buffer while it waits for
// bytes, and a client that does not read blocks nobody: see write.
//
// It belongs to who acts for the connection, but for happened and interrupt.
type socket struct {
	fd        int // non-blocking; Close closes it
	srv       *Server
	transport Transport
	counted   bool          // by the gate
	attached  bool          // the poller knows it
	cut       atomic.Bool   // interrupt was called
	dead      time.Duration // without a sign of life after which the kernel gives the client up, at the earliest
	addr      string        // as clients are shown it (docs/protocol.md, "Connections")
	conn      *conn         // nil until there is one; set before the poller knows the socket

	// backlog has the replies that the kernel would not take, and is nil while it
	// takes them. It is set by who writes.
	backlog atomic.Pointer[backlog]
}

// addressOf words the kernel's form of an IP address.
func addressOf(peer *unix.RawSockaddrAny) string {
	var ip netip.Addr
	var port [2]byte // in the network's order
	switch peer.Addr.Family {
	case unix.AF_INET:
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(peer))
		ip, port = netip.AddrFrom4(a.Addr), *(*[2]byte)(unsafe.Pointer(&a.Port))
	case unix.AF_INET6:
		a := (*unix.RawSockaddrInet6)(unsafe.Pointer(peer))
		ip, port = netip.AddrFrom16(a.Addr).Unmap(), *(*[2]byte)(unsafe.Pointer(&a.Port))
		if a.Scope_id != 0 {
			ip = ip.WithZone(zoneName(int(a.Scope_id)))
		}
	default:
		return ""
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(port[:])).String()
}

func zoneName(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return strconv.Itoa(index)
}

// ipOf returns the IP address in a client's, not valid for a Unix socket.
func ipOf(addr string) netip.Addr {
	a, _ := netip.ParseAddrPort(addr)
	return a.Addr()
}

// setKeepalive sets how a dead peer is noticed. It is done for every accepted
// connection, since what is set on a listener is not always passed on.
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

// awaited is what the poller is to tell the socket, each time it happens anew.
const awaited = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLRDHUP | edgeTriggered

// happened is called by the poller. It returns the connection where the caller has to
// act for it now.
func (s *socket) happened(events uint32) *conn {
	if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if b := s.backlog.Load(); b != nil {
			b.poke()
		}
	}
	signals := uint32(0)
	if events&unix.EPOLLIN != 0 {
		signals = ready
	}
	if events&(unix.EPOLLPRI|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		signals = ready | hungUp
	}
	if signals == 0 || !s.conn.signal(signals) {
		return nil
	}
	return s.conn
}

// receive implements link. A read that does not fill its buffer has left nothing; the
// poller tells of what comes then. What it may have told of before is the end of the
// stream, and what stands behind urgent data: then there is more until a read says that
// there is not. (A Unix socket's read also ends behind a message with descriptors.
// Who sends such is served when more comes.)
func (s *socket) receive(in []byte, hungUp bool, limit int) (out []byte, more bool, err error) {
	if b := s.backlog.Load(); b != nil && b.failure() != nil {
		return in, false, b.failure()
	}
	buf := roomFor(in, limit, &s.srv.inputs)
	n, errno := recvNow(s.fd, buf[len(buf):cap(buf)])
	if n > 0 {
		buf = buf[:len(buf)+n]
		return buf, hungUp || len(buf) == cap(buf), nil
	}
	if cap(buf) != cap(in) {
		s.srv.inputs.put(buf)
	}
	switch errno {
	case unix.EAGAIN:
		return in, false, nil
	case 0:
		return in, false, io.EOF
	default:
		return in, false, os.NewSyscallError("recv", errno)
	}
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
	if err := s.attach(); err != nil { // the backlog needs to be poked
		return err
	}
	set := s.srv.settings.Load()
	b := newBacklog(s, p[n:], set.ReplyBacklogBytes, set.Keepalive.UserTimeout)
	s.backlog.Store(b) // before it runs
	go b.run()
	return nil
}

// writeSome writes what the kernel takes now.
func (s *socket) writeSome(p []byte) (n int, err error) {
	for n < len(p) {
		if s.cut.Load() {
			return n, errInterrupted
		}
		more, errno := sendNow(s.fd, p[n:min(len(p), n+outputSize)]) // long ones in parts
		switch {
		case errno == unix.EAGAIN:
			return n, nil
		case errno != 0:
			return n, os.NewSyscallError("send", errno)
		}
		n += more
	}
	return n, nil
}

// attach implements link.
func (s *socket) attach() error {
	if s.attached {
		return nil
	}
	s.attached = true
	err := s.srv.poller.add(s)
	if err != nil {
		s.srv.throttle.warn(topicAccept, "cannot serve a client", slog.String("address", s.addr), slog.Any("error", err))
	}
	return err
}

// flush implements link: nothing was kept.
func (s *socket) flush() error { return nil }

// backlogged implements link.
func (s *socket) backlogged() bool {
	b := s.backlog.Load()
	return b != nil && !b.over()
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

// interrupt makes every write fail from now on. The socket stays open: closing is
// for the owner, when the client's locks are free.
func (s *socket) interrupt() {
	s.cut.Store(true)
	if b := s.backlog.Load(); b != nil {
		b.poke()
	}
}

// deadPeer implements link.
func (s *socket) deadPeer() time.Duration { return s.dead }

// refuse implements link. The client is not counted any more when it sees the end of
// the stream.
func (s *socket) refuse(p []byte) error {
	if err := cmp.Or(s.write(p), s.drain()); err != nil {
		return err
	}
	s.uncount()
	return os.NewSyscallError("shutdown", unix.Shutdown(s.fd, unix.SHUT_WR))
}

// unsent is how much of what the kernel has taken the client has not. It shrinks
// long before there is room to write again.
func (s *socket) unsent() int {
	n, _ := unix.IoctlGetInt(s.fd, unix.SIOCOUTQ)
	return n
}

// Close implements link. The socket is out of the count then: who sees the end of the
// stream sees the count without it. And nobody uses the descriptor any more.
func (s *socket) Close() error {
	s.uncount()
	s.interrupt()
	if b := s.backlog.Load(); b != nil {
		<-b.done
	}
	s.srv.poller.remove(s)
	return os.NewSyscallError("close", unix.Close(s.fd))
}

func (s *socket) uncount() {
	if s.counted {
		s.counted = false
		s.srv.gate.leave(s.transport, ipOf(s.addr))
	}
}
