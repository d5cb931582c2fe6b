package server_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// A client that does not read its replies stops only itself: the end of its wait is
// seen in time, and nobody waits behind it.

// deafTo sends commands until so much of the replies waits for the client.
func (s *service) deafTo(c *client, backlog int) {
	s.Helper()
	eventually(s, "replies pile up", func() bool {
		if s.Backlog(c.addr) < backlog {
			c.send(strings.Repeat("i x\n", 100))
		}
		return s.Backlog(c.addr) >= backlog
	})
}

// passes wants that, after that many milliseconds in which something goes on, everybody
// gets by the queue of foo, which another client holds.
func (s *service) passes(holder *client, ms int, meanwhile func()) {
	s.Helper()
	clock := s.connect("unix")
	clock.send(fmt.Sprintf("gw %d foo\n", ms))
	over := async(func() { clock.line() })
	for {
		select {
		case <-over:
			holder.ask("r foo", "1 Lock Release Success: foo\n")
			clock.ask("g foo", "1 Lock Get Success: foo\n")
			return
		default:
			meanwhile()
		}
	}
}

func TestAClientThatDoesNotReadKeepsNoPlaceBehindItsOwnReplies(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		const backlog = 4096
		s := start(t, smallKernel, backlogBytes(backlog))
		holder, deaf := s.connect("unix"), s.connect(transport)
		holder.ask("g foo", "1 Lock Get Success: foo\n")
		s.deafTo(deaf, backlog)
		deaf.send("i x\ngw 50 foo\n")
		s.passes(holder, 150, runtime.Gosched)
	})
}

func TestAStoppedWatcherLeavesTheQueueInTime(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, smallKernel, backlogBytes(4096))
		holder, stopped, busy := s.connect("unix"), s.connect(transport), s.connect("unix")
		holder.ask("g foo", "1 Lock Get Success: foo\n")
		stopped.ask("watch x", "1 ok\n")
		stopped.send("gw 700 foo\n")
		s.waits(stopped)
		name := "x" + strings.Repeat("y", 2000)
		s.passes(holder, 1000, func() { // events without end
			busy.ask("g "+name, "1 Lock Get Success: "+name+"\n")
			busy.ask("r "+name, "1 Lock Release Success: "+name+"\n")
		})
	})
}

func TestAClosedWebSocketWaitsNoMoreWhateverItHasNotRead(t *testing.T) {
	s := start(t, smallKernel, backlogBytes(1<<20))
	holder, gone := s.connect("unix"), s.connect("ws")
	holder.ask("g foo", "1 Lock Get Success: foo\n")
	s.deafTo(gone, 1<<16)
	gone.send("gw -1 foo\n")
	s.waits(gone)
	if _, err := gone.conn.Write([]byte("\x88\x80\x00\x00\x00\x00")); err != nil { // a close frame
		t.Fatal(err)
	}
	eventually(t, "nobody waits", func() bool { return s.table.Stats().Exclusive.Waiters == 0 })
	holder.ask("r foo", "1 Lock Release Success: foo\n")
	holder.ask("gw 0 foo", "1 Lock Get Success: token=2 waited=0 name=foo\n")
}

// A WebSocket's listing is one message, which needs memory as it grows.
func TestAWebSocketIsNotDisconnectedForTheListingOfAnother(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.SnapshotBytes, set.ReplyBacklogBytes = 1<<20, 1<<10 }))
	listing := s.fill(30_000) // goes alone
	slow, ws := s.connect("unix"), s.connect("ws")
	ws.ask("g job", "1 Lock Get Success: job\n")
	slow.send("d 000000\nd\n") // the first finds nothing
	slow.want(listing[:100])
	ws.ask("d job", "job: "+ws.addr+"\n")
}

func TestListingsOfWebSocketsThatFitAloneTakeTurns(t *testing.T) {
	const held, clients = 10_000, 6
	s := start(t, with(func(set *server.Settings) { set.SnapshotBytes = 12 << 20 }))
	s.fill(held)
	readers := make([]*client, clients)
	for i := range readers {
		readers[i] = s.connect("ws")
		readers[i].send("ls s\n")
	}
	for _, c := range readers {
		for range held {
			c.line()
		}
		c.want("\n")
	}
}

// trickle reads slowly, some bytes a time, until it has read so many or there are no more.
func (c *client) trickle(most int) (read int, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for read < most && err == nil {
		<-tick.C
		var n int
		n, err = c.in.Read(make([]byte, min(8<<10, most-read)))
		read += n
	}
	return read, err
}

// A listing is not ended for memory that it has nothing of.
func TestAListingOfOneLockIsNotEvictedForTheMemoryOfAnother(t *testing.T) {
	s := start(t, smallKernel, userTimeout(700*time.Millisecond),
		with(func(set *server.Settings) { set.SnapshotBytes, set.ReplyBacklogBytes = 1, 1<<10 }))
	listing := s.fill(20_000)
	const holders, line = 20_000, "zz: somebody with a longer name\n"
	for range holders {
		h := locks.NewSession("somebody with a longer name", nil)
		t.Cleanup(func() { s.table.Leave(h, 0) })
		s.table.Get(h, locks.Request{Mode: locks.Shared, Name: []byte("zz")})
	}
	exact, slow, other := s.connect("unix"), s.connect("unix"), s.connect("unix")
	exact.send("sd zz\n")
	exact.want(line)
	slow.send("d\n")
	slow.want(listing[:100])
	var n, m int
	exactly := async(func() { n, _ = exact.trickle((holders - 1) * len(line)) })
	slowly := async(func() { m, _ = slow.trickle(len(listing) - 100) })
	other.ask("d", listing)
	<-exactly
	<-slowly
	if n != (holders-1)*len(line) || m == len(listing)-100 {
		t.Errorf("%d of %d bytes of one lock, %d of %d of all", n, (holders-1)*len(line), m, len(listing)-100)
	}
}
