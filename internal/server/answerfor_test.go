package server

import (
	"log/slog"
	"testing"
	"time"

	"lockd/internal/locks"
)

// A fullLink is that of a client which reads nothing: it takes one more write, and
// the next ones wait.
type fullLink struct {
	link   // what is not asked for
	coming []byte
	writes int
	reads  chan struct{} // closed when the client reads
}

func (l *fullLink) receive(in []byte, _ bool, _ int) ([]byte, bool, error) {
	in = append(in, l.coming...)
	l.coming = nil
	return in, false, nil
}

func (l *fullLink) write([]byte) error {
	if l.writes++; l.writes > 1 {
		<-l.reads
	}
	return nil
}

func (l *fullLink) flush() error     { return l.write(nil) }
func (l *fullLink) roomy() bool      { return l.writes == 0 }
func (l *fullLink) backlogged() bool { return l.writes > 0 }
func (l *fullLink) attach() error    { return nil }

// A WebSocket may have kept frames that fill the backlog with the answer.
func TestWhoReleasesDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	table := locks.New(locks.Limits{}, locks.NewTokens(0))
	s := New(Options{Table: table, Settings: DefaultSettings(), Log: slog.New(slog.DiscardHandler)})
	holder, foo := locks.NewSession("holder", nil), []byte("foo")
	if _, err := table.Get(holder, locks.Request{Mode: locks.Exclusive, Name: foo}); err != nil {
		t.Fatal(err)
	}
	l := &fullLink{coming: []byte("gw -1 foo\n"), reads: make(chan struct{})}
	c := newConn(s, l, "waiter", WebSocket)
	c.state.Or(ready)
	act(c)
	if table.Stats().Exclusive.Waiters != 1 {
		t.Fatal("nobody waits")
	}
	l.writes = 0
	table.Release(holder, locks.Exclusive, foo, 0)
	over := make(chan struct{})
	go func() {
		s.answerGranted()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(20 * time.Second):
		t.Error("the one that has released the lock was held up")
	}
	close(l.reads)
	<-over
}
