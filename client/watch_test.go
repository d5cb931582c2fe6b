package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"lockd/client"
	"lockd/embedded"
)

// A watching is a loop over Watch in a goroutine of its own.
type watching struct {
	done chan struct{} // closed when the loop is left
	err  error         // that it got last
}

// startWatch returns when the loop has begun, which has turn called for each event
// until that returns false.
func startWatch(t *testing.T, address string, c *client.Client, prefix string, turn func(client.Event) bool) *watching {
	t.Helper()
	return startWatchUntil(t, t.Context(), address, c, prefix, turn)
}

func startWatchUntil(
	t *testing.T, ctx context.Context, address string, c *client.Client, prefix string, turn func(client.Event) bool,
) *watching {
	t.Helper()
	w := &watching{done: make(chan struct{})}
	started := make(chan struct{})
	start := sync.OnceFunc(func() { close(started) })
	go func() {
		defer close(w.done)
		for e, err := range c.Watch(ctx, prefix) {
			switch w.err = err; {
			case e.Lock == prefix+"start":
				start()
			case err == nil && !turn(e):
				return
			}
		}
	}()
	conn := dial(t, address)
	for {
		if err := errors.Join(conn.Get(t.Context(), prefix+"start"), conn.Release(t.Context(), prefix+"start")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-started:
			conn.Close()
			return w
		case <-w.done:
			t.Fatalf("Watch ends with %v", w.err)
		default:
		}
	}
}

// follow watches the locks of a prefix.
func follow(t *testing.T, address, prefix string) <-chan client.Event {
	t.Helper()
	c, events := newClient(t, address, client.ClientOptions{}), make(chan client.Event, 100)
	w := startWatch(t, address, c, prefix, func(e client.Event) bool {
		events <- e
		return true
	})
	t.Cleanup(func() {
		c.Close()
		<-w.done
	})
	return events
}

func TestEveryKindOfEventIsTold(t *testing.T) {
	for i, name := range []string{"tcp", "unix", "ws"} {
		t.Run(name, func(t *testing.T) {
			address, ctx := listen(t, embedded.Options{Admin: admin})[i], t.Context()
			events := follow(t, address, "job")
			c, breaker := dial(t, address), dial(t, address)
			me, err := c.Name(ctx)
			if err != nil {
				t.Fatal(err)
			}
			want := func(kind client.EventKind, mode client.Mode, lock string, token uint64) {
				t.Helper()
				if e := <-events; e != (client.Event{Kind: kind, Mode: mode, Lock: lock, Token: token, Address: me.Address}) {
					t.Errorf("told %+v, want %s %s %q %d by %s", e, kind, mode, lock, token, me.Address)
				}
			}
			g, err := c.Wait(ctx, "job", 0)
			if err != nil {
				t.Fatal(err)
			}
			want(client.Granted, client.Exclusive, "job", g.Token)
			if err := errors.Join(c.Release(ctx, "job"), c.Get(ctx, "a job"), c.Release(ctx, "a job")); err != nil {
				t.Fatal(err)
			}
			want(client.Released, client.Exclusive, "job", g.Token) // and nothing of another prefix
			s, err := c.WaitShared(ctx, "job\xff b", 2, 0)
			if err != nil {
				t.Fatal(err)
			}
			want(client.Granted, client.Shared, "job\xff b", s.Token)
			if g, err = c.Wait(ctx, "job", 0); err != nil {
				t.Fatal(err)
			}
			want(client.Granted, client.Exclusive, "job", g.Token)
			if _, err := breaker.Break(ctx, client.Exclusive, "job", g.Token); err != nil {
				t.Fatal(err)
			}
			got := []client.Event{<-events, <-events}
			slices.SortFunc(got, func(a, b client.Event) int { return strings.Compare(a.Lock, b.Lock) })
			if e := got[0]; e.Kind != client.Forced || e.Lock != "job" || e.Token != g.Token {
				t.Errorf("the lock that was broken: %+v", e)
			}
			if e := got[1]; e.Kind != client.Orphaned || e.Lock != "job\xff b" || e.Token != s.Token || e.Mode != client.Shared {
				t.Errorf("the other that its holder had: %+v", e)
			}
		})
	}
}

func TestLeavingTheLoopEndsTheWatchingConnection(t *testing.T) {
	srv := serveWith(t, embedded.Options{})
	for _, address := range srv.Addrs() {
		c := newClient(t, address, client.ClientOptions{})
		w := startWatch(t, address, c, "job", func(client.Event) bool { return false })
		l := mustLock(t, c, "job")
		<-w.done
		if n := srv.Stats().Connections; n != 1 || w.err != nil {
			t.Errorf("%d connections are left, of one lock; %v", n, w.err)
		}
		mustUnlock(t, l)
		c.Close()
	}
}

func TestAnEndOfTheContextEndsTheLoopWithoutAnError(t *testing.T) {
	srv := serveWith(t, embedded.Options{})
	for _, address := range srv.Addrs() {
		c := newClient(t, address, client.ClientOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		l := mustLock(t, c, "job")
		w := startWatchUntil(t, ctx, address, c, "job", func(client.Event) bool { return true })
		cancel()
		<-w.done
		if n := srv.Stats().Connections; n != 1 || w.err != nil {
			t.Errorf("%d connections are left, of one lock; %v", n, w.err)
		}
		mustUnlock(t, l)
		c.Close()
	}
}

func TestAPrefixMayEndWithABlank(t *testing.T) {
	address, ctx := listen(t, embedded.Options{})[0], t.Context()
	c := dial(t, address)
	for _, name := range []string{"job", "job 1", "job 2", "jobs"} {
		if err := c.Get(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := c.List(ctx, client.Query{Prefix: "job "})
	if names := names(entries); err != nil || !slices.Equal(names, []string{"job 1", "job 2"}) {
		t.Errorf("List tells of %q, %v", names, err)
	}
	events := follow(t, address, "job ")
	if err := errors.Join(c.Release(ctx, "job"), c.Release(ctx, "jobs"), c.Release(ctx, "job 2")); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Lock != "job 2" {
		t.Errorf("told of %q", e.Lock)
	}
}

func names(entries []client.Entry) []string {
	var names []string
	for _, e := range entries {
		names = append(names, e.Lock)
	}
	return names
}

func TestAWatcherIsToldWhenTheServerIsGone(t *testing.T) {
	for i := range 3 {
		srv := serveWith(t, embedded.Options{})
		c := newClient(t, srv.Addrs()[i], client.ClientOptions{})
		w := startWatch(t, srv.Addrs()[i], c, "job", func(client.Event) bool { return true })
		srv.Destroy()
		<-w.done
		if !errors.Is(w.err, client.ErrDisconnected) {
			t.Errorf("Watch ends with %v", w.err)
		}
	}
}

func TestWatchingIsOffWithTheFeatureDump(t *testing.T) {
	c := newClient(t, listen(t, embedded.Options{DisableDump: true})[0], client.ClientOptions{})
	var n int
	for _, err := range c.Watch(t.Context(), "") {
		n++
		if !errors.Is(err, client.ErrDisabled) {
			t.Errorf("Watch: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("the loop had %d turns", n)
	}
	if _, err := c.List(t.Context(), client.Query{}); !errors.Is(err, client.ErrDisabled) {
		t.Errorf("List: %v", err)
	}
	if _, err := c.List(t.Context(), client.Query{Prefix: " a"}); !errors.Is(err, client.ErrName) {
		t.Errorf("List of a prefix that cannot be sent: %v", err)
	}
}

func TestAWatcherThatIsTooSlowIsToldThatEventsAreMissing(t *testing.T) {
	address, ctx := listen(t, embedded.Options{})[1], t.Context()
	c, conn := newClient(t, address, client.ClientOptions{}), dial(t, address)
	goOn, lost := make(chan struct{}), make(chan uint64, 1)
	w := startWatch(t, address, c, "job", func(e client.Event) bool {
		<-goOn
		if e.Kind == client.Lost {
			lost <- e.Missed
		}
		return e.Kind != client.Lost
	})
	name := "job " + strings.Repeat("x", 60000)
	for range 250 {
		if err := errors.Join(conn.Get(ctx, name), conn.Release(ctx, name)); err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	if n := <-lost; n == 0 || n > 500 {
		t.Errorf("%d events are missing", n)
	}
	<-w.done
}

func TestEventsThatCameBeforeTheEndAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(map[string]string{"watch": "1 ok\n" +
			"* granted mode=exclusive token=1 addr=a name=x\n* lost count=7\n* released mode=shared token=1 addr=a name=\n"})
		dies := script(func(packet string) (string, bool) {
			reply, _ := server.answer(packet)
			return reply, packet != "watch\n"
		})
		c := newClient(t, "", client.ClientOptions{Options: client.Options{Dial: dies.dial}})
		var got []client.Event
		var last error
		for e, err := range c.Watch(t.Context(), "") {
			synctest.Wait() // until the connection has ended
			if last = err; err == nil {
				got = append(got, e)
			}
		}
		want := []client.Event{
			{Kind: client.Granted, Mode: client.Exclusive, Lock: "x", Token: 1, Address: "a"},
			{Kind: client.Lost, Missed: 7},
			{Kind: client.Released, Mode: client.Shared, Token: 1, Address: "a"},
		}
		if !slices.Equal(got, want) || !errors.Is(last, client.ErrDisconnected) {
			t.Errorf("told %+v and %v", got, last)
		}
	})
}

// The reader of a watching connection stands still until the loop takes what it
// has. It must not keep Close from ending it.
func TestCloseEndsAWatchThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(map[string]string{"watch": "1 ok\n" + strings.Repeat("* lost count=1\n", 2000)})
		c := newClient(t, "", client.ClientOptions{Options: client.Options{Dial: server.script().dial}})
		closed, left := make(chan struct{}), make(chan error)
		go func() {
			var err error
			for _, err = range c.Watch(t.Context(), "") {
				<-closed
			}
			left <- err
		}()
		synctest.Wait()
		c.Close()
		close(closed)
		if err := <-left; !errors.Is(err, client.ErrClosed) {
			t.Errorf("Watch ends with %v", err)
		}
	})
}
