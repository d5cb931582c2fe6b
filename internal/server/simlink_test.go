package server

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// A simLink is a link whose client is the simulation, in the same process and
// under the same virtual clock. Where a link may do one thing or another, such as
// receive all that has come or some of it, dice decide.
type simLink struct {
	world     *simWorld
	transport Transport
	conn      *conn // set before it is served

	mu      sync.Mutex
	dice    simDice    // guarded by mu, as all below
	coming  []byte     // sent by the client, not read yet
	ended   bool       // the client will send no more
	deaf    bool       // the client has closed: what is written to it is lost
	reset   bool       // the connection is broken
	cut     bool       // interrupt was called
	writes  []simWrite // by the server, not taken yet
	stalled bool       // the client does not read
	closed  bool       // by the server
	last    uint64     // when that was, in the order of the world
}

// A simWrite is what the server has written at once.
type simWrite struct {
	at    time.Duration // since the start of the server
	place uint64        // in the order of the world
	text  string
}

var (
	errSimReset = errors.New("connection reset by the simulated client")
	errSimPipe  = errors.New("the simulated client is gone")
)

// jostle gives way to other goroutines, sometimes: it makes windows for them.
func jostle() {
	for rand.Uint32N(3) == 0 {
		runtime.Gosched()
	}
}

// stir is called after a change. It acts for the connection where it has to, as a
// loop of the poller does or as a goroutine of its own.
func (l *simLink) stir() {
	l.mu.Lock()
	brief := l.dice.below(2) == 0
	l.mu.Unlock()
	if !l.conn.signal(ready) {
		return
	}
	go func() {
		for l.conn.step(brief) {
			jostle()
		}
	}()
}

func (l *simLink) receive(in []byte, _ bool, limit int) (out []byte, more bool, err error) {
	jostle()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.cut:
		return in, false, errInterrupted
	case l.reset:
		return in, false, errSimReset
	case len(l.coming) > 0:
		n := len(l.coming)
		if l.dice.below(3) == 0 {
			n = 1 + l.dice.below(n)
		}
		out = append(roomFor(in, limit, &l.world.srv.inputs), l.coming[:n]...)
		l.coming = l.coming[n:]
		return out, len(l.coming) > 0 || l.ended, nil
	case l.ended:
		return in, false, io.EOF
	}
	return in, false, nil
}

func (l *simLink) write(p []byte) error {
	jostle()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.cut:
		return errInterrupted
	case l.reset:
		return errSimReset
	case l.deaf && l.dice.below(2) == 0:
		return errSimPipe
	case l.deaf: // the kernel has taken it, for nobody
		return nil
	}
	l.writes = append(l.writes, simWrite{l.world.srv.now(), l.world.order.Add(1), string(p)})
	return nil
}

func (l *simLink) roomy() bool {
	jostle()
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.stalled
}

// backlogged now and then leaves a turn to a goroutine, though there is no backlog.
func (l *simLink) backlogged() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stalled || l.dice.below(8) == 0
}

func (l *simLink) attach() error { return nil }

func (l *simLink) deadPeer() time.Duration { return 0 }

func (l *simLink) flush() error { return nil }

func (l *simLink) drain() error {
	jostle()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return errInterrupted
	}
	return nil
}

func (l *simLink) interrupt() {
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
}

func (l *simLink) refuse(p []byte) error {
	l.world.violation(fmt.Sprintf("a client is refused: %q", p))
	return nil
}

func (l *simLink) Close() error {
	l.world.srv.gate.leave(l.transport, netip.Addr{})
	l.world.wantNothingLeft(l.conn)
	l.mu.Lock()
	l.closed, l.last = true, l.world.order.Add(1)
	l.mu.Unlock()
	jostle()
	return nil
}

// What follows is the client's side.

func (l *simLink) send(text string) {
	l.mu.Lock()
	l.coming = append(l.coming, text...)
	l.mu.Unlock()
	l.stir()
}

// stall has the client not read, or read all there is.
func (l *simLink) stall(stalled bool) {
	l.mu.Lock()
	l.stalled = stalled
	l.mu.Unlock()
	if !stalled {
		l.conn.wake()
	}
}

// finish has the client end its side.
func (l *simLink) finish(fate simFate) {
	l.mu.Lock()
	switch fate {
	case simHalfCloses:
		l.ended = true
	case simCloses:
		l.ended, l.deaf = true, true
	case simResets:
		l.reset = true
	}
	l.mu.Unlock()
	l.stir()
}

// take returns what was written since the last call, and whether that was all
// there will be.
func (l *simLink) take() (writes []simWrite, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	writes, l.writes = l.writes, nil
	return writes, l.closed
}
