package server

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ConnectUncounted connects a client that is there as any other, but in no counter:
// not among the connections, nor its commands, as with Probe. It returns the
// client's side.
func (s *Server) ConnectUncounted(addr string) (net.Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	client := os.NewFile(uintptr(pair[1]), "client")
	defer client.Close()
	if err := s.poller.start(); err != nil {
		return nil, err
	}
	sock := &socket{fd: pair[0], srv: s, transport: Unix, addr: addr}
	c := newConn(s, sock, addr, Unix)
	c.stripe = new(stripe)
	sock.conn = c
	if !s.track(c) {
		sock.Close()
		return nil, net.ErrClosed
	}
	c.begin()
	return net.FileConn(client)
}
