package server

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// errStalled ends a client that takes none of the replies waiting for it.
var errStalled = errors.New("client does not read its replies")

// A backlog sends the replies that the kernel would not take, from a goroutine
// of its own. It lives from the first write that did not fit until all is sent.
type backlog struct {
	sock  *socket
	conn  *conn         // is woken when it has ended; nil for nobody
	limit int           // bytes kept before add waits
	stall time.Duration // without progress, then the client is given up; 0: never
	poked chan struct{} // gets a token when there may be room to write, or the socket was cut
	done  chan struct{} // closed by run, when it has ended

	mu    sync.Mutex
	moved sync.Cond // unsent has shrunk, or run has ended
	// unsent is guarded by mu; run alone takes from its front, add alone appends.
	unsent []byte
	ended  bool  // guarded by mu
	err    error // guarded by mu
}

func newBacklog(s *socket, p []byte, limit int, stall time.Duration) *backlog {
	b := &backlog{sock: s, conn: s.conn, limit: limit, stall: stall, poked: make(chan struct{}, 1), done: make(chan struct{})}
	b.moved.L = &b.mu
	b.unsent = append(b.unsent, p...)
	return b
}

// add takes p, waiting while the backlog is full. It reports false, having taken
// nothing, when all was sent or sending has failed: the backlog has ended.
func (b *backlog) add(p []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.unsent) >= b.limit && !b.ended {
		b.moved.Wait()
	}
	if b.ended {
		return false
	}
	b.unsent = append(b.unsent, p...)
	return true
}

// roomy tells whether add would not wait.
func (b *backlog) roomy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.unsent) < b.limit || b.ended
}

// over tells whether it has ended.
func (b *backlog) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

func (b *backlog) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// poke has it look for room again. Anybody may call it, and it does not wait.
func (b *backlog) poke() {
	select {
	case b.poked <- struct{}{}:
	default:
	}
}

func (b *backlog) run() {
	defer close(b.done)
	err := b.sock.srv.poller.awaitRoom(b.sock, true)
	for {
		p := b.next(err)
		if len(p) == 0 {
			return
		}
		var n int
		n, err = b.send(p)
		b.mu.Lock()
		b.unsent = b.unsent[n:]
		b.moved.Broadcast()
		b.mu.Unlock()
	}
}

// next returns what to send next. Where there is none, or an error, the backlog ends.
func (b *backlog) next(err error) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.unsent) > 0 && err == nil {
		return b.unsent[:min(len(b.unsent), outputSize)]
	}
	if err == nil {
		err = b.sock.srv.poller.awaitRoom(b.sock, false) // before another backlog can begin
	}
	b.unsent, b.ended, b.err = nil, true, err
	b.moved.Broadcast()
	if b.conn != nil {
		b.conn.wake() // it may be waiting for room, or for bytes of a client that sends nothing more
	}
	return nil
}

// send writes some of p. It fails when the client has taken nothing for the time
// of stall: keepalive cannot see that, as the kernel of a client that is stopped
// answers its probes.
func (b *backlog) send(p []byte) (int, error) {
	unsent := b.sock.unsent()
	for {
		n, err := b.sock.writeSome(p)
		if n > 0 || err != nil {
			return n, err
		}
		if !b.awaitRoom() {
			before := unsent
			if unsent = b.sock.unsent(); unsent >= before {
				return 0, fmt.Errorf("%w for %v", errStalled, b.stall)
			}
		}
	}
}

// awaitRoom waits until there may be room to write, or reports false when that has
// taken too long.
func (b *backlog) awaitRoom() bool {
	var late <-chan time.Time // never, where there is no limit
	if b.stall > 0 {
		timer := time.NewTimer(b.stall)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-b.poked:
		return true
	case <-late:
		return false
	}
}
