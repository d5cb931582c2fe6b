package server

import (
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
	address string // as ParseAddress reads it, with the port that was opened
	// transport of the connections that come of it.
	transport Transport
	file      *os.File
	raw       syscall.RawConn
	fileInfo  os.FileInfo // of the file of a Unix socket opened here, else nil
	path      string      // its path

	// accepting is held while a client is between the accept queue and the count:
	// who holds it and finds the queue empty, has all clients counted.
	accepting sync.Mutex
	ended     bool          // guarded by accepting: nobody takes clients any more
	deliver   func(*socket) // what becomes of clients; set by Serve
	closeOnce sync.Once
}

// Listen opens an address. Its errors name it.
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
	return l, nil
}

// newListener takes nl over. It works on the descriptor itself: package net
// cannot tell when its accept queue is empty, and makes of every connection more
// than is needed.
func newListener(nl net.Listener, t Transport) (*Listener, error) {
	defer nl.Close()
	source, ok := nl.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.New("not a stream socket")
	}
	f, err := source.File()
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	if err := checkListens(raw); err != nil {
		f.Close()
		return nil, err
	}
	a := Address{Transport: t, HostPort: nl.Addr().String(), Path: nl.Addr().String(), Mode: defaultSocketMode}
	return &Listener{address: a.String(), transport: t, file: f, raw: raw}, nil
}

// checkListens tells a socket that listens from one that is connected, which
// package net takes as well.
func checkListens(raw syscall.RawConn) error {
	var accepts int
	var err error
	if e := raw.Control(func(fd uintptr) {
		accepts, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	}); e != nil {
		return e
	}
	if err == nil && accepts == 0 {
		err = errors.New("the socket does not listen")
	}
	return err
}

// String returns the address, with the port that was opened where it was 0.
func (l *Listener) String() string { return l.address }

// accept takes a client out of the accept queue, or returns unix.EAGAIN where it
// is empty. Fd is the listener's descriptor. The caller holds accepting.
func (l *Listener) accept(fd uintptr) (*socket, error) {
	for {
		client, peer, err := unix.Accept4(int(fd), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			return newSocket(client, peer, l.transport), nil
		case unix.EINTR, unix.ECONNABORTED: // a client that has gone already
		default:
			return nil, err
		}
	}
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
		err = l.file.Close()
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
