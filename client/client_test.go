package client_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"lockd/client"
	"lockd/client/websocket"
	"lockd/embedded"
)

// A counter dials and counts how often.
type counter struct{ atomic.Int64 }

func (n *counter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.Add(1)
	return websocket.Dial(ctx, network, address)
}

func TestAnAddressThatMakesNoSenseIsAnErrorOfNew(t *testing.T) {
	if c, err := client.New("http://host:1", client.ClientOptions{}); err == nil {
		c.Close()
		t.Error("it is taken")
	}
}

func TestIdleConnectionsAreUsedAgain(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		var dials counter
		c := newClient(t, address, client.ClientOptions{Options: client.Options{Dial: dials.dial}})
		if n := dials.Load(); n != 0 {
			t.Errorf("New connects %d times", n)
		}
		for range 5 {
			a, b := mustLock(t, c, "a"), mustLock(t, c, "b")
			mustUnlock(t, a)
			if _, err := c.TryLock(t.Context(), "b"); !errors.Is(err, client.ErrNotAcquired) {
				t.Errorf("TryLock: %v", err)
			}
			awaitWaiters(t, c, 0)
			if _, err := c.Info(t.Context()); err != nil {
				t.Error(err)
			}
			mustUnlock(t, b)
		}
		if n := dials.Load(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}

func TestSoManyConnectionsAreKept(t *testing.T) {
	for _, tt := range []struct {
		max  int
		want uint64
	}{{0, 8}, {3, 3}, {-1, 0}} {
		srv := serveWith(t, embedded.Options{})
		c := newClient(t, srv.Addrs()[0], client.ClientOptions{MaxIdle: tt.max})
		var held []*client.Lock
		for i := range 12 {
			held = append(held, mustLock(t, c, string(rune('a'+i))))
		}
		if n := srv.Stats().Connections; n != 12 {
			t.Errorf("12 locks are held by %d connections", n)
		}
		for _, l := range held {
			mustUnlock(t, l)
		}
		if n := srv.Stats().Connections; n != tt.want {
			t.Errorf("MaxIdle %d keeps %d connections, want %d", tt.max, n, tt.want)
		}
	}
}

func TestAServerThatWasStartedAnewIsFound(t *testing.T) {
	path := "unix://" + filepath.Join(t.TempDir(), "sock")
	for _, address := range []string{"tcp://" + freeAddress(t), path, "ws://" + freeAddress(t)} {
		o := embedded.Options{Addresses: []string{address}}
		srv := serveWith(t, o)
		c := newClient(t, address, client.ClientOptions{})
		held := []*client.Lock{mustLock(t, c, "a"), mustLock(t, c, "b"), mustLock(t, c, "c")}
		mustUnlock(t, held[1]) // two connections are idle, one is not
		mustUnlock(t, held[2])
		before, err := held[0].Token()
		if err != nil {
			t.Error(err)
		}
		srv.Destroy()
		srv = serveWith(t, o)
		l, err := c.TryLock(t.Context(), "a") // nothing waits for the loss to be noticed
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		if after, err := l.Token(); err != nil || after <= before {
			t.Errorf("token %d after %d, %v", after, before, err)
		}
		<-held[0].Done()
		mustUnlock(t, l)
		srv.Destroy()
	}
}

func TestAServerThatIsNotThereIsAnErrorOfEveryCall(t *testing.T) {
	c, ctx := newClient(t, freeAddress(t), client.ClientOptions{}), t.Context()
	_, lock := c.Lock(ctx, "x")
	_, try := c.TryLock(ctx, "x")
	_, shared := c.LockShared(ctx, "x", 5)
	_, list := c.List(ctx, client.Query{})
	_, info := c.Info(ctx)
	var watch error
	for _, watch = range c.Watch(ctx, "") {
	}
	for what, err := range map[string]error{
		"Lock": lock, "TryLock": try, "LockShared": shared, "List": list, "Info": info, "Watch": watch,
	} {
		if !errors.Is(err, client.ErrUnreachable) || errors.Is(err, client.ErrNotAcquired) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTheClientsNameIsThatOfTheHolder(t *testing.T) {
	for _, off := range []bool{false, true} {
		c := newClient(t, listen(t, embedded.Options{DisableRegistry: off})[0], client.ClientOptions{Name: "web 1"})
		for range 2 { // the second is of an idle connection
			l := mustLock(t, c, "job")
			entries, err := c.List(t.Context(), client.Query{})
			if err != nil || len(entries) != 1 || (entries[0].Client.Name == "web 1") == off {
				t.Errorf("registry off: %t; List = %+v, %v", off, entries, err)
			}
			mustUnlock(t, l)
		}
	}
	if _, err := client.New("", client.ClientOptions{Name: "web  1"}); !errors.Is(err, client.ErrName) {
		t.Errorf("a name that cannot be sent: %v", err)
	}
}

func TestCloseEndsAllThatIsUnderWay(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		other := newClient(t, address, client.ClientOptions{})
		awaitWaiters(t, other, 0)
		existing := goleak.IgnoreCurrent()
		c := newClient(t, address, client.ClientOptions{})
		l := mustLock(t, c, "job")
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := c.Lock(t.Context(), "job"); !errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrNotAcquired) {
				t.Errorf("Lock: %v", err)
			}
		})
		w := startWatch(t, address, c, "job", func(client.Event) bool { return true })
		awaitWaiters(t, c, 1)
		for range 3 {
			calls.Go(func() { c.Close() })
		}
		calls.Wait()
		<-w.done
		if !errors.Is(w.err, client.ErrClosed) {
			t.Errorf("Watch ends with %v", w.err)
		}
		if err := l.Err(); !errors.Is(err, client.ErrClosed) || !isDone(l) {
			t.Errorf("the lock: %v", err)
		}
		if err := l.Unlock(t.Context()); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Unlock: %v", err)
		}
		if _, err := c.Lock(t.Context(), "x"); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Lock after Close: %v", err)
		}
		mustUnlock(t, mustLock(t, other, "job")) // which is free already
		if leak := goleak.Find(existing, goleak.IgnoreAnyFunction("lockd/internal/server.(*upgradeListener).Accept")); leak != nil {
			t.Error(leak)
		}
	})
}

func TestAClosedClientLeavesNoDescriptor(t *testing.T) {
	addresses := listen(t, embedded.Options{})
	use := func() {
		for _, address := range addresses {
			c := newClient(t, address, client.ClientOptions{})
			mustUnlock(t, mustLock(t, c, "idle"))
			mustLock(t, c, "held")
			w := startWatch(t, address, c, "held", func(client.Event) bool { return true })
			c.Close()
			<-w.done
		}
	}
	use() // opens what the runtime keeps
	before := descriptors(t)
	for range 10 {
		use()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors became %d", before, after)
	}
}

func TestCloseEndsConnectingForALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := client.ClientOptions{Options: client.Options{Dial: never, ConnectTimeout: -1}}
		c := newClient(t, "", o)
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := c.Lock(t.Context(), "x"); !errors.Is(err, client.ErrClosed) {
				t.Errorf("Lock: %v", err)
			}
		})
		calls.Go(func() {
			if _, err := c.List(t.Context(), client.Query{}); !errors.Is(err, client.ErrClosed) {
				t.Errorf("List: %v", err)
			}
		})
		calls.Go(func() {
			for _, err := range c.Watch(t.Context(), "") {
				if !errors.Is(err, client.ErrClosed) {
					t.Errorf("Watch: %v", err)
				}
			}
		})
		synctest.Wait()
		c.Close()
		calls.Wait()
	})
}

func TestAnEndOfTheContextEndsConnectingForALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "", client.ClientOptions{Options: client.Options{Dial: never}})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Lock(ctx, "x"); !errors.Is(err, client.ErrUnreachable) || !errors.Is(err, context.Canceled) {
			t.Errorf("Lock: %v", err)
		}
		for e, err := range c.Watch(ctx, "") {
			t.Errorf("Watch tells %v, %v", e, err)
		}
	})
}
