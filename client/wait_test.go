package client_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"lockd/client"
	"lockd/embedded"
)

func TestAWaitEndsWhenTheLockIsFree(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, ctx := dial(t, address), dial(t, address), t.Context()
		first, err := a.Wait(ctx, "job 1", 0)
		if err != nil || first.Token == 0 || first.Holders != 1 {
			t.Fatalf("Wait for a free lock = %+v, %v", first, err)
		}
		if again, err := a.Wait(ctx, "job 1", -1); err != nil || again.Token != first.Token {
			t.Errorf("Wait for a lock that is held already = %+v, %v; want the token %d", again, err, first.Token)
		}
		var waiter sync.WaitGroup
		waiter.Go(func() {
			second, err := b.Wait(ctx, "job 1", time.Hour)
			if err != nil || second.Token <= first.Token || second.Waited%time.Millisecond != 0 {
				t.Errorf("Wait = %+v, %v; the first token was %d", second, err, first.Token)
			}
		})
		awaitWaiters(t, newClient(t, address, client.ClientOptions{}), 1)
		if err := a.Release(ctx, "job 1"); err != nil {
			t.Error(err)
		}
		waiter.Wait()
	})
}

func TestWaitsAreServedInTheirOrder(t *testing.T) {
	address, ctx := listen(t, embedded.Options{})[0], t.Context()
	list := newClient(t, address, client.ClientOptions{})
	first := dial(t, address)
	if err := first.Get(ctx, "job"); err != nil {
		t.Fatal(err)
	}
	var order []int // guarded by the lock
	var waiters sync.WaitGroup
	for i := range 5 {
		c := dial(t, address)
		waiters.Go(func() {
			_, err := c.Wait(ctx, "job", -1)
			order = append(order, i)
			if err := errors.Join(err, c.Release(ctx, "job")); err != nil {
				t.Error(err)
			}
		})
		awaitWaiters(t, list, i+1)
	}
	if err := first.Release(ctx, "job"); err != nil {
		t.Error(err)
	}
	waiters.Wait()
	for i, n := range order {
		if i != n {
			t.Fatalf("served in the order %v", order)
		}
	}
}

func TestAWaitThatFailsSaysWhy(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, ctx := dial(t, address), dial(t, address), t.Context()
		me, err := a.Name(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Wait(ctx, "x", 0); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := a.WaitShared(ctx, "s", 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		_, err = b.Wait(ctx, "x", 0)
		checkRefusal(t, err, client.Refusal{Reason: "held", Holder: me.Address})
		_, err = b.Wait(ctx, "x", time.Nanosecond) // is no try
		checkRefusal(t, err, client.Refusal{Reason: "timeout", Holder: me.Address})
		_, err = b.WaitShared(ctx, "s", 1, 0)
		checkRefusal(t, err, client.Refusal{Reason: "limit", Count: 1})
		_, err = b.WaitShared(ctx, "s", 1, time.Millisecond)
		checkRefusal(t, err, client.Refusal{Reason: "timeout", Count: 1})
		if g, err := b.WaitShared(ctx, "s", 2, 0); err != nil || g.Holders != 2 {
			t.Errorf("WaitShared = %+v, %v", g, err)
		}
	})
}

func TestWhoWaitsIsBeforeWhoTries(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, c, ctx := dial(t, address), dial(t, address), dial(t, address), t.Context()
		if _, err := a.WaitShared(ctx, "s", 0, 0); err != nil {
			t.Fatal(err)
		}
		var waiter sync.WaitGroup
		waiter.Go(func() {
			if _, err := b.WaitShared(ctx, "s", 1, -1); err != nil {
				t.Error(err)
			}
		})
		awaitWaiters(t, newClient(t, address, client.ClientOptions{}), 1)
		_, err := c.WaitShared(ctx, "s", 2, 0)
		checkRefusal(t, err, client.Refusal{Reason: "queue", Count: 1, Queue: 1})
		if err := a.ReleaseShared(ctx, "s"); err != nil {
			t.Error(err)
		}
		waiter.Wait()
	})
}

func TestACancelledWaitLeavesTheConnectionAsItWas(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b := dial(t, address), dial(t, address)
		_, shakesHands := b.Wait(t.Context(), "z", 0) // which cannot be cancelled
		if err := errors.Join(a.Get(t.Context(), "x"), b.Get(t.Context(), "y"), shakesHands); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
			_, err := b.Wait(ctx, "x", -1)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || b.Err() != nil {
				t.Errorf("Wait: %v; the connection: %v", err, b.Err())
			}
		}
		if held, err := a.Inspect(t.Context(), "y"); err != nil || !held {
			t.Errorf("what the connection held is held: %t, %v", held, err)
		}
	})
}

func TestAServerThatLeavesItsClientsNoMoreWaits(t *testing.T) {
	srv := serveWith(t, embedded.Options{})
	a, b := dial(t, srv.Addrs()[0]), dial(t, srv.Addrs()[0])
	if err := errors.Join(a.Get(t.Context(), "x"), b.Ping(t.Context())); err != nil {
		t.Fatal(err)
	}
	me, err := a.Name(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := b.Wait(t.Context(), "x", -1)
		failed <- err
	}()
	awaitWaiters(t, newClient(t, srv.Addrs()[0], client.ClientOptions{MaxIdle: -1}), 1)
	var closing sync.WaitGroup
	closing.Go(func() { srv.Close(t.Context()) })
	checkRefusal(t, <-failed, client.Refusal{Reason: "draining", Holder: me.Address})
	a.Close()
	b.Close()
	closing.Wait()
}

func TestALimitOfTheServerRefusesAWait(t *testing.T) {
	c := dial(t, listen(t, embedded.Options{MaxLocksPerConnection: 1})[0])
	if _, err := c.Wait(t.Context(), "x", -1); err != nil {
		t.Fatal(err)
	}
	_, err := c.Wait(t.Context(), "y", -1)
	checkRefusal(t, err, client.Refusal{Reason: "too-many"})
}

func TestAnyWaitThatADurationCanSayMayBeAskedFor(t *testing.T) {
	c, ctx := dial(t, listen(t, embedded.Options{})[0]), t.Context()
	for _, wait := range []time.Duration{math.MinInt64, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64} {
		if _, err := c.Wait(ctx, "x", wait); err != nil {
			t.Errorf("Wait of %d ns: %v", wait, err)
		}
	}
	for _, limit := range []int{0, 1, math.MaxInt32} {
		if _, err := c.WaitShared(ctx, "x", limit, 0); err != nil {
			t.Errorf("a limit of %d: %v", limit, err)
		}
	}
	for _, limit := range []int{-1, math.MaxInt32 + 1} {
		if _, err := c.WaitShared(ctx, "x", limit, 0); err == nil || errors.Is(err, client.ErrNotAcquired) {
			t.Errorf("a limit of %d: %v", limit, err)
		}
	}
}

func TestNamesOfLevel2ThatWouldArriveAsOthersAreNotSent(t *testing.T) {
	c, ctx := dial(t, listen(t, embedded.Options{Admin: admin})[0]), t.Context()
	for _, name := range []string{"a\nb", " a", "a ", "a  b", "a\t", "\r"} {
		_, wait := c.Wait(ctx, name, 0)
		_, shared := c.WaitShared(ctx, name, 1, 0)
		_, broken := c.Break(ctx, client.Exclusive, name, 0)
		_, kicked := c.Kick(ctx, name)
		for what, err := range map[string]error{"Wait": wait, "WaitShared": shared, "Break": broken, "Kick": kicked} {
			if !errors.Is(err, client.ErrName) {
				t.Errorf("%s(%q): %v", what, name, err)
			}
		}
	}
	for _, name := range []string{"", "-1 x", "x 5", "\x00\xff"} {
		if _, err := c.Wait(ctx, name, 0); err != nil {
			t.Error(err)
		}
		if _, err := c.WaitShared(ctx, name, 5, -1); err != nil {
			t.Error(err)
		}
		for _, held := range []func(context.Context, string) error{c.Release, c.ReleaseShared} {
			if err := held(ctx, name); err != nil {
				t.Errorf("the lock %q is another: %v", name, err)
			}
		}
	}
}
