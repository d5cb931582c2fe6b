package server

import "golang.org/x/sys/unix"

// Unread returns how many bytes the kernel holds for the server to read from the
// client that is shown as addr, and whether there is one.
func (s *Server) Unread(addr string) (n int, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if sock := socketOf(c.link); c.session.Addr() == addr && sock != nil {
			n, _ = unix.IoctlGetInt(sock.fd, unix.TIOCINQ)
			return n, true
		}
	}
	return 0, false
}

func socketOf(l link) *socket {
	switch l := l.(type) {
	case *socket:
		return l
	case *wsLink:
		return l.socket
	}
	return nil
}

// SocketOption returns an option of the socket of the client that is shown as
// addr.
func (s *Server) SocketOption(addr string, level, option int) (value int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if sock := socketOf(c.link); c.session.Addr() == addr && sock != nil {
			return unix.GetsockoptInt(sock.fd, level, option)
		}
	}
	return 0, unix.ENOTCONN
}

// Backlog returns the bytes that wait to be sent to the client that is shown as
// addr, and -1 where there is no backlog.
func (s *Server) Backlog(addr string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		sock := socketOf(c.link)
		if c.session.Addr() != addr || sock == nil {
			continue
		}
		if b := sock.backlog.Load(); b != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			return len(b.unsent)
		}
	}
	return -1
}

// Conns returns the addresses of the connections there are.
func (s *Server) Conns() (addrs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		addrs = append(addrs, c.session.Addr())
	}
	return addrs
}

// SetSendBuffer sets how much the kernel takes for each client that connects
// from now on, in bytes; it doubles that.
func (l *Listener) SetSendBuffer(bytes int) error {
	return unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bytes)
}
