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
// tell first that it was woken or what has come, dice decide.
type simLink struct {
	world     *simWorld
	transport Transport
	conn      *conn         // set before it is served
	changed   chan struct{} // gets a token when something of the below has changed

	mu      sync.Mutex
	dice    simDice    // guarded by mu, as all below
	coming  []byte     // sent by the client, not read yet
	ended   bool       // the client will send no more
	deaf    bool       // the client has closed: what is written to it is lost
	reset   bool       // the connection is broken
	cut     bool       // interrupt was called
	woken   bool       // wake was called
	end     time.Time  // of wakeAt
	level   bool       // a wake lasts until wakeAt, as a deadline does, rather than for one read
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

// signal is called under mu, after a change.
func (l *simLink) signal() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *simLink) read(in []byte, limit int) ([]byte, error) {
	for {
		jostle()
		l.mu.Lock()
		out, done, err := l.tryRead(in, limit)
		end := l.end
		l.mu.Unlock()
		if done {
			return out, err
		}
		l.rest(end)
	}
}

// rest returns when something may have changed.
func (l *simLink) rest(end time.Time) {
	if end.IsZero() {
		<-l.changed
		return
	}
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-l.changed:
	case <-timer.C:
	}
}

// tryRead must be called under mu.
func (l *simLink) tryRead(in []byte, limit int) (out []byte, done bool, err error) {
	woken := l.woken || !l.end.IsZero() && !time.Now().Before(l.end)
	there := l.reset || l.ended || len(l.coming) > 0
	switch {
	case l.cut:
		return in, true, errInterrupted
	case woken && (!there || l.dice.below(2) == 0):
		l.woken = l.woken && l.level
		return in, true, errWoken
	case l.reset:
		return in, true, errSimReset
	case len(l.coming) > 0:
		n := len(l.coming)
		if l.dice.below(3) == 0 {
			n = 1 + l.dice.below(n)
		}
		out = append(roomFor(in, limit, &l.world.srv.inputs), l.coming[:n]...)
		l.coming = l.coming[n:]
		return out, true, nil
	case l.ended && l.transport == WebSocket:
		return nil, true, io.EOF // as a wsLink does: nothing runs that was cut
	case l.ended:
		return in, true, io.EOF
	}
	return nil, false, nil
}

func (l *simLink) wakeable() {}

func (l *simLink) wakeAt(t time.Time) {
	jostle()
	l.mu.Lock()
	l.end, l.woken = t, false
	l.mu.Unlock()
	jostle()
}

func (l *simLink) wake() {
	l.mu.Lock()
	l.woken = true
	l.signal()
	l.mu.Unlock()
	jostle()
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
	l.signal()
	l.mu.Unlock()
}

func (l *simLink) refuse(p []byte) { l.world.violation(fmt.Sprintf("a client is refused: %q", p)) }

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
	l.signal()
	l.mu.Unlock()
}

// stall has the client not read, or read all there is.
func (l *simLink) stall(stalled bool) {
	l.mu.Lock()
	l.stalled = stalled
	l.mu.Unlock()
	if !stalled {
		l.wake()
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
	l.signal()
	l.mu.Unlock()
}

// take returns what was written since the last call, and whether that was all
// there will be.
func (l *simLink) take() (writes []simWrite, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	writes, l.writes = l.writes, nil
	return writes, l.closed
}
