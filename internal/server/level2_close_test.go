package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
)

func TestCloseEndsTheWaitsAndGoesOnWithTheRest(t *testing.T) {
	s := start(t)
	holder := s.connect("tcp4")
	holder.send("g foo\nsg foo\n")
	holder.want("1 Lock Get Success: foo\n1 Shared Lock Get Success: foo\n")
	var waiters []*client
	for i, transport := range append(everyTransport, everyTransport...) {
		c := s.connect(transport)
		if i%2 == 0 {
			c.send("gw -1 foo\ni behind\n")
		} else {
			c.send("sgw 60000 1 foo\ni behind\n")
		}
		s.waits(c)
		waiters = append(waiters, c)
	}
	var err error
	closed := async(func() { err = s.Close(context.Background()) })
	for i, c := range waiters {
		if i%2 == 0 {
			c.valued("0 Lock Get Failure").is("reason", "draining").is("holder", holder.addr).is("name", "foo")
		} else {
			c.valued("0 Shared Lock Get Failure").is("reason", "draining").is("count", "1").is("max", "1").is("name", "foo")
		}
		c.want("0 Lock Not Locked: behind\n")
	}
	waiters[0].wantDraining(holder)
	s.table.SetLimits(locks.Limits{SessionHolds: 1})
	holder.ask("gw -1 more", "0 Lock Get Failure: reason=too-many holder=- held=0 queue=0 name=more\n")
	s.table.SetLimits(locks.Limits{})
	for _, c := range append(waiters, holder) {
		c.ask("cancel", "0 nothing to cancel\n")
		c.leave()
	}
	soon(t, "Close returns", closed)
	if err != nil {
		t.Errorf("Close: %v", err)
	}
}

// wantDraining wants a server that closes to do all but have somebody wait.
// Another holds the exclusive and the shared lock foo.
func (c *client) wantDraining(holder *client) {
	c.Helper()
	for _, wait := range []string{"-1", "60000", "1"} {
		c.send("gw " + wait + " foo\n")
		c.valued("0 Lock Get Failure").is("reason", "draining").is("holder", holder.addr).is("queue", "0").is("name", "foo")
		c.ask("sgw "+wait+" 1 foo", "0 Shared Lock Get Failure: reason=draining count=1 max=1 queue=0 name=foo\n")
	}
	c.send("gw 0 foo\n")
	c.valued("0 Lock Get Failure").is("reason", "held")
	c.ask("sgw 0 1 foo", "0 Shared Lock Get Failure: reason=limit count=1 max=1 queue=0 name=foo\n")
	c.ask("g foo", "0 Lock Get Failure: foo\n")
	// What is free is there to be got.
	c.ask("g a", "1 Lock Get Success: a\n")
	c.ask("sg foo", "2 Shared Lock Get Success: foo\n")
	c.ask("sr foo", "1 Shared Lock Release Success: foo\n")
	for _, wait := range []string{"0", "-1", "1"} {
		c.send("gw " + wait + " b\nsgw " + wait + " 2 foo\n")
		c.valued("1 Lock Get Success").is("waited", "0").is("name", "b")
		c.valued("2 Shared Lock Get Success").is("waited", "0").is("name", "foo")
		c.send("r b\nsr foo\n")
		c.want("1 Lock Release Success: b\n1 Shared Lock Release Success: foo\n")
	}
	holder.send("gw -1 foo\n")
	holder.valued("1 Lock Get Success").is("waited", "0").is("name", "foo")
}

// Nobody slips between the end of the waits there are and the refusal of new ones.
func TestCloseWhileClientsBeginToWait(t *testing.T) {
	for range 20 {
		s := start(t)
		holder := s.connect("unix")
		holder.ask("g foo", "1 Lock Get Success: foo\n")
		var waiters []*client
		for i := range 12 {
			c := s.connect(everyTransport[i%len(everyTransport)])
			c.ask("ping", "1 pong\n")
			waiters = append(waiters, c)
		}
		var all sync.WaitGroup
		for _, c := range waiters {
			all.Go(func() { c.write("gw -1 foo\n") })
		}
		closed := async(func() { s.Close(context.Background()) })
		soon(t, "all is sent", async(all.Wait))
		for _, c := range waiters {
			c.valued("0 Lock Get Failure").is("reason", "draining")
			c.leave()
		}
		holder.leave()
		soon(t, "Close returns", closed)
	}
}

func TestCloseWhoseTimeIsOverEndsConnectionsThatWaited(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect(transport), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		ctx, cancel := context.WithCancel(context.Background())
		closed := async(func() { s.Close(ctx) })
		b.valued("0 Lock Get Failure").is("reason", "draining")
		cancel()
		soon(t, "Close returns", closed)
		a.wantEnd()
		b.wantEnd()
	})
}

// Neither is a lock granted to one of them that the other has left.
func TestDestroyWhileClientsWait(t *testing.T) {
	for range 10 {
		s := start(t)
		holder := s.connect("tcp6")
		holder.send("g foo\nsg foo\n")
		holder.want("1 Lock Get Success: foo\n1 Shared Lock Get Success: foo\n")
		var waiters []*client
		for i := range 16 {
			c := s.connect(everyTransport[i%len(everyTransport)])
			c.send([]string{"gw -1 foo\n", "sgw -1 1 foo\n"}[i/4%2])
			s.waits(c)
			waiters = append(waiters, c)
		}
		begun := time.Now()
		soon(t, "Destroy returns", async(s.Destroy))
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("Destroy took %v", took)
		}
		if st := s.table.Stats(); st.Bytes != 0 || st.Exclusive.Waiters+st.Shared.Waiters != 0 || st.Waiting {
			t.Errorf("after Destroy: %+v", st)
		}
		holder.wantEnd()
		for _, c := range waiters { // which may have been told before
			if rest, err := c.end(); err == nil && len(rest) > 200 {
				t.Errorf("%s got %q", c.name, rest)
			}
		}
	}
}

// There is no idle timeout, for who waits neither: user_timeout is for replies.
func TestAWaitOutlastsTheUserTimeout(t *testing.T) {
	const timeout = 50 * time.Millisecond
	s := start(t, userTimeout(timeout))
	holder := s.connect("tcp4")
	holder.ask("g foo", "1 Lock Get Success: foo\n")
	var waiters []*client
	for _, transport := range everyTransport {
		c := s.connect(transport)
		c.ask("ping", "1 pong\n")
		c.send("gw -1 foo\n")
		s.waits(c)
		waiters = append(waiters, c)
	}
	passed(t, time.Now(), 3*timeout)
	for _, c := range waiters {
		holder.ask("r foo", "1 Lock Release Success: foo\n")
		c.wantGranted("foo")
		holder = c
	}
}

func TestSettingsThatChangeDuringAWait(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b, c := s.connect(transport), s.connect(transport), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		a.ask("g bar", "1 Lock Get Success: bar\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		c.send("gw -1 bar\nd\n")
		s.waits(c)
		s.change(func(set *server.Settings) { set.Dump, set.LineBytes = false, 10 })
		if !s.inQueue(b) || !s.inQueue(c) {
			t.Fatal("a wait has ended")
		}
		b.send("cancel\n")
		b.valued("0 Lock Get Failure").is("reason", "cancelled").is("holder", "-").is("name", "foo")
		b.want("1 ok\n")
		a.ask("r bar", "1 Lock Release Success: bar\n")
		c.wantGranted("bar")
		c.want("0 disabled\n")
		s.change(func(set *server.Settings) { set.Dump, set.LineBytes = true, 1000 })
		b.send("gw 0 foo\n")
		b.valued("0 Lock Get Failure").is("reason", "held").is("holder", a.addr)
	})
}

// What may be sent behind a wait is judged by what holds when it comes.
func TestTheLimitOfLinesFallsDuringAWait(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect("tcp4"), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b.ask("g held", "1 Lock Get Success: held\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		s.change(func(set *server.Settings) { set.LineBytes = 20 })
		b.send("i 0123456789 0123456789\n")
		s.wantFreed(a, b)
	})
}

func TestLocksAndOrphansOfThoseWhoWaited(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b, c := s.connect(transport), s.connect(transport), s.connect("tcp4")
		a.send("g foo\nsg foo\n")
		a.want("1 Lock Get Success: foo\n1 Shared Lock Get Success: foo\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		check := func(what string, locks, orphans, shared, sharedOrphans uint64) {
			t.Helper()
			values, _ := c.counters()
			got := fmt.Sprint(values["locks"], values["orphans"], values["shared_locks"], values["shared_orphans"])
			if want := fmt.Sprint(locks, orphans, shared, sharedOrphans); got != want {
				t.Errorf("%s: locks and orphans are %s, want %s", what, got, want)
			}
		}
		check("while one waits", 1, 0, 1, 0) // a wait is no lock
		a.leave()
		b.wantGranted("foo")
		check("after the holder has left", 1, 1, 0, 1)
		a = s.connect(transport)
		a.send("gw -1 foo\n")
		s.waits(a)
		s.resetWaiter(a)
		eventually(t, "it is gone", func() bool { return s.Stats().Connections() == 2 })
		check("after one who waited has left", 1, 1, 0, 1) // it held nothing
		b.leave()
		check("after the last holder has left", 0, 2, 0, 1)
	})
}
