package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Clients are accepted by the loops of the poller: a listener is told of, and acted for
// turn by turn, as a connection is. So who accepts a client serves it as well, without a
// change of threads. What cannot go on at once is left to the goroutine that has called
// Serve.

// acceptsAtOnce is how many clients a turn accepts. Each takes some 20 µs, for which
// others wait.
const acceptsAtOnce = 4

// acceptFrom has the clients of l delivered until it is closed.
func (s *Server) acceptFrom(l *Listener, deliver func(*socket) *conn) error {
	l.accepting.Lock()
	l.srv, l.deliver = s, deliver
	l.accepting.Unlock()
	if !s.addListener(l) {
		return l.Close()
	}
	defer s.removeListener(l)
	if err := s.poller.addListener(l); err != nil {
		return fmt.Errorf("serve %s: %w", l, err)
	}
	for {
		select {
		case <-l.closed:
			return nil
		case err := <-l.failed:
			s.overcome(l, err)
		}
	}
}

// step is what conn.step is for a connection: it accepts some clients, and reports
// whether the caller must act on. It is always brief.
func (l *Listener) step(bool) (again bool) {
	l.state.Swap(owned)
	for range acceptsAtOnce {
		switch err := l.srv.acceptOne(l); {
		case err == nil:
		case errors.Is(err, unix.EAGAIN):
			return !l.rest()
		default:
			l.failed <- err
			return false // and owned
		}
	}
	return true
}

// overcome acts for a listener that has failed to accept, until it does again or is
// closed.
func (s *Server) overcome(l *Listener, err error) {
	for starved := false; err != nil && !errors.Is(err, unix.EAGAIN); starved = true {
		if errors.Is(err, net.ErrClosed) {
			return
		}
		s.starve(l, err, starved)
		err = s.acceptOne(l)
	}
	s.throttle.warn(topicAccept, "accepting again", slog.String("listen", l.String()))
	act(l)
}

// acceptOne counts and delivers one client, or refuses it. Where none waits the
// error is unix.EAGAIN.
func (s *Server) acceptOne(l *Listener) error {
	c, err := s.admitOne(l)
	if c != nil {
		c.begin()
	}
	return err
}

// admitOne does what must not be seen half done: a client leaves the accept
// queue and is counted.
func (s *Server) admitOne(l *Listener) (*conn, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	sock, err := l.accept()
	if err != nil {
		return nil, err
	}
	sock.srv = s
	set := s.settings.Load()
	if why := s.gate.enter(sock.transport, ipOf(sock.addr), set); why != admitted {
		unix.Close(sock.fd)
		s.logRefusal(sock.addr, why)
		return nil, nil
	}
	s.equip(sock, set)
	return l.deliver(sock), nil
}

// equip makes the socket of a client that was counted ready to be served.
func (s *Server) equip(sock *socket, set *Settings) {
	sock.counted, sock.dead = true, set.Keepalive.deadPeer()
	if sock.transport == Unix {
		sock.addr = "unix:" + strconv.FormatUint(s.unixPeer.Add(1), 10)
		return
	}
	if err := setKeepalive(sock.fd, set.Keepalive); err != nil {
		s.throttle.warn(topicKeepalive, "keepalive not set: a dead peer may hold its locks for long",
			slog.String("address", sock.addr), slog.Any("error", err))
	}
}

// How much settle does at least, and how long it goes on at most beyond that.
const (
	settleClients = 64
	settleTime    = time.Millisecond
)

// settle empties the accept queues, so that all clients that have connected are
// counted. It does so itself rather than wait for those who serve the listeners,
// who may not get a processor for long. A flood of clients does not keep it.
func (s *Server) settle() {
	deadline := time.Now().Add(settleTime)
	for _, l := range s.openListeners() {
		for n := 0; n < settleClients || time.Now().Before(deadline); n++ {
			c, err := s.admitOne(l)
			if err != nil {
				break
			}
			if c != nil {
				go c.begin() // who asks is answered first
			}
		}
	}
}

// settled tells whether there is nothing for settle to do.
func (s *Server) settled() bool {
	for _, l := range s.openListeners() {
		if !l.empty() {
			return false
		}
	}
	return true
}

// acceptRetry is how long accepting waits where no connection ends before.
const acceptRetry = 200 * time.Millisecond

// starve waits after accept has failed, in general for want of descriptors: new
// clients stay in the accept queue until one is free.
func (s *Server) starve(l *Listener, err error, already bool) {
	if !already {
		s.throttle.warn(topicAccept, "cannot accept, new clients wait",
			slog.String("listen", l.String()), slog.Any("error", os.NewSyscallError("accept", err)))
	}
	timer := time.NewTimer(acceptRetry)
	defer timer.Stop()
	select {
	case <-s.freed:
	case <-timer.C:
	case <-s.listenersDone:
	}
}
