package server

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// errStalled ends a client that takes none of the replies waiting for it.
var errStalled = errors.New("client does not read its replies")

// A backlog sends the replies that the kernel would not take, from a goroutine
// of its own. It lives from the first write that did not fit until all is sent.
type backlog struct {
	sock    *socket
	emptied func()        // called when all is sent; nil for nobody
	limit   int           // bytes kept before add waits
	stall   time.Duration // without progress, then the client is given up; 0: never
	done    chan struct{} // closed by run, when it has ended

	mu    sync.Mutex
	moved sync.Cond // unsent has shrunk, or run has ended
	// unsent is guarded by mu; run alone takes from its front, add alone appends.
	unsent []byte
	ended  bool  // guarded by mu
	err    error // guarded by mu
}

func startBacklog(s *socket, p []byte, limit int, stall time.Duration) *backlog {
	b := &backlog{sock: s, emptied: s.emptied, limit: limit, stall: stall, done: make(chan struct{})}
	b.moved.L = &b.mu
	b.unsent = append(b.unsent, p...)
	go b.run()
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

func (b *backlog) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *backlog) run() {
	defer close(b.done)
	for {
		p := b.next()
		if len(p) == 0 {
			return
		}
		n, err := b.send(p)
		b.mu.Lock()
		b.unsent, b.err = b.unsent[n:], err
		b.moved.Broadcast()
		b.mu.Unlock()
	}
}

// next returns what to send next, nothing when the backlog has ended.
func (b *backlog) next() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.unsent) > 0 && b.err == nil {
		return b.unsent[:min(len(b.unsent), outputSize)]
	}
	if b.err == nil {
		b.sock.SetWriteDeadline(time.Time{})
		if b.emptied != nil {
			b.emptied()
		}
	} else {
		b.sock.interrupt() // the owner may be reading, from a client that sends nothing more
	}
	b.unsent, b.ended = nil, true
	b.moved.Broadcast()
	return nil
}

// send writes some of p. It fails when the client has taken nothing for the time
// of stall: keepalive cannot see that, as the kernel of a client that is stopped
// answers its probes.
func (b *backlog) send(p []byte) (n int, err error) {
	before := b.sock.unsent()
	if b.stall > 0 {
		b.sock.SetWriteDeadline(time.Now().Add(b.stall))
	}
	n, err = b.sock.file.Write(p)
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded) || b.sock.cut.Load():
		return n, err
	case n == 0 && b.sock.unsent() >= before:
		return 0, fmt.Errorf("%w for %v", errStalled, b.stall)
	}
	return n, nil
}
