package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Listener is an open address. [Server.Serve] accepts from it.
type Listener struct {
	address   string      // as ParseAddress reads it, with the port that was opened
	transport Transport   // of the connections that come of it
	fileInfo  os.FileInfo // of the file of a Unix socket opened here, else nil
	path      string      // its path
	shared    bool        // other processes may have it

	// accepting is held while a client is between the accept queue and the count:
	// who holds it and finds the queue empty, has all clients counted.
	accepting sync.Mutex
	fd        int                 // non-blocking; guarded by accepting, as the next ones
	ended     bool                // nobody takes clients any more
	srv       *Server             // nil until it is served; set before the poller knows it
	deliver   func(*socket) *conn // what becomes of clients
	closeOnce sync.Once
	closed    chan struct{} // closed by Close

	turns             // who accepts
	failed chan error // why a turn could not go on
}

// Listen opens an address. Ctx bounds only the opening. The file of a Unix socket
// that a dead server has left is replaced; that of a live one is an error, which wraps
// EADDRINUSE. Errors name the address.
func Listen(ctx context.Context, a Address) (*Listener, error) {
	l, err := listen(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, concise(err))
	}
	return l, nil
}

func listen(ctx context.Context, a Address) (*Listener, error) {
	if a.Transport != Unix {
		var config net.ListenConfig
		// On a multipath socket TCP_USER_TIMEOUT would have no effect.
		config.SetMultipathTCP(false)
		l, err := config.Listen(ctx, "tcp", a.HostPort)
		if err != nil {
			return nil, err
		}
		return newListener(l, a.Transport)
	}
	nl, err := listenUnix(ctx, a)
	if err != nil {
		return nil, err
	}
	l, err := newListener(nl, Unix)
	if err != nil {
		return nil, err
	}
	l.path = a.Path
	if l.fileInfo, err = os.Lstat(a.Path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Passed makes a listener of a socket that another process opened, as systemd
// does. With ws, its clients speak WebSocket. It takes f over.
func Passed(f *os.File, ws bool) (*Listener, error) {
	defer f.Close()
	nl, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("passed socket %s: %w", f.Name(), err)
	}
	t := WebSocket
	switch _, isUnix := nl.(*net.UnixListener); {
	case isUnix && ws:
		nl.Close()
		return nil, fmt.Errorf("passed socket %s: WebSocket needs a TCP socket", f.Name())
	case isUnix:
		t = Unix
	case !ws:
		t = TCP
	}
	l, err := newListener(nl, t)
	if err != nil {
		return nil, fmt.Errorf("passed socket %s: %w", f.Name(), err)
	}
	l.shared = true
	return l, nil
}

// newListener takes nl over. It works on the descriptor itself: package net
// cannot tell when its accept queue is empty, makes of every connection more
// than is needed, and has the runtime's poller wake a thread for each.
func newListener(nl net.Listener, t Transport) (*Listener, error) {
	defer nl.Close()
	source, ok := nl.(syscall.Conn)
	if !ok {
		return nil, errors.New("not a stream socket")
	}
	fd, err := duplicate(source)
	if err != nil {
		return nil, err
	}
	if err := checkListens(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	a := Address{Transport: t, HostPort: nl.Addr().String(), Path: nl.Addr().String(), Mode: defaultSocketMode}
	return &Listener{address: a.String(), transport: t, fd: fd, closed: make(chan struct{}), failed: make(chan error, 1)}, nil
}

// duplicate returns a descriptor of its own, which the runtime's poller does not know.
func duplicate(source syscall.Conn) (fd int, err error) {
	raw, err := source.SyscallConn()
	if err != nil {
		return 0, err
	}
	closed := raw.Control(func(from uintptr) {
		fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, cmp.Or(closed, os.NewSyscallError("fcntl", err))
}

// checkListens tells a socket that listens from one that is connected, which
// package net takes as well.
func checkListens(fd int) error {
	accepts, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err == nil && accepts == 0 {
		err = errors.New("the socket does not listen")
	}
	return err
}

// String returns the address, with the port that was opened where it was 0.
func (l *Listener) String() string { return l.address }

// accept takes a client out of the accept queue, or returns unix.EAGAIN where it
// is empty. The caller holds accepting.
func (l *Listener) accept() (*socket, error) {
	for !l.ended {
		if l.shared { // whoever has it too may have made it block
			if err := unix.SetNonblock(l.fd, true); err != nil {
				return nil, err
			}
		}
		client, addr, errno := acceptNow(l.fd, l.shared)
		switch errno {
		case 0:
			return &socket{fd: client, addr: addr, transport: l.transport}, nil
		case unix.ECONNABORTED: // a client that has gone already
		default:
			return nil, errno
		}
	}
	return nil, net.ErrClosed
}

// empty tells whether nobody is in the accept queue, or between that and the count.
func (l *Listener) empty() bool {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	if l.ended {
		return true
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, 0)
	return n == 0 && err == nil
}

// end leaves whoever waits in the accept queue there, from now on.
func (l *Listener) end() {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	l.ended = true
}

// Close stops listening. The file of a Unix socket opened here goes too, unless
// another server has put its own in its place.
func (l *Listener) Close() error {
	err := error(nil)
	l.closeOnce.Do(func() {
		if now, statErr := os.Lstat(l.path); l.fileInfo != nil && statErr == nil && os.SameFile(now, l.fileInfo) {
			os.Remove(l.path)
		}
		l.accepting.Lock()
		defer l.accepting.Unlock()
		l.ended = true
		if l.srv != nil {
			l.srv.poller.removeListener(l)
		}
		err = os.NewSyscallError("close", unix.Close(l.fd))
		close(l.closed)
	})
	return err
}

// concise drops what package net puts around an error to say where it happened.
func concise(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
