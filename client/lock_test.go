package client_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockd/client"
	"lockd/embedded"
)

func TestGoroutinesOfOneClientExcludeEachOther(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c := newClient(t, address, client.ClientOptions{})
		var thing guarded
		var workers sync.WaitGroup
		for range 8 {
			workers.Go(func() {
				for range 20 {
					l, err := c.Lock(t.Context(), "job")
					if err != nil {
						t.Error(err)
						return
					}
					thing.use(t, l)
					mustUnlock(t, l)
				}
			})
		}
		workers.Wait()
	})
}

// A guarded thing sees whether its lock does what it is for.
type guarded struct {
	inside atomic.Int32
	last   uint64 // the token of the last holder; guarded by the lock
}

// use is called by who holds the lock.
func (g *guarded) use(t *testing.T, l *client.Lock) {
	if n := g.inside.Add(1); n != 1 {
		t.Errorf("%d hold %q", n, l.Name())
	}
	token, err := l.Token()
	if err != nil || token <= g.last {
		t.Errorf("token %d after %d, %v", token, g.last, err)
	}
	g.last = token
	g.inside.Add(-1)
}

func TestAWaitForOneLockDoesNotStandBeforeAnother(t *testing.T) {
	c := newClient(t, listen(t, embedded.Options{})[0], client.ClientOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, b := mustLock(t, c, "a"), mustLock(t, c, "b")
	var waiter sync.WaitGroup
	waiter.Go(func() {
		if l, err := c.Lock(ctx, "b"); err != nil {
			t.Error(err)
		} else {
			mustUnlock(t, l)
		}
	})
	awaitWaiters(t, c, 1)
	if err := a.Unlock(ctx); err != nil {
		t.Errorf("Unlock beside a wait: %v", err)
	}
	a, err := c.TryLock(ctx, "a")
	if err != nil {
		t.Fatalf("TryLock beside a wait: %v", err)
	}
	mustUnlock(t, a)
	mustUnlock(t, b)
	waiter.Wait()
}

func TestTryLockSaysWhoHoldsTheLock(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c, ctx := newClient(t, address, client.ClientOptions{}), t.Context()
		l, err := c.TryLock(ctx, "job")
		if err != nil {
			t.Fatal(err)
		}
		if l.Name() != "job" || l.Holders() != 1 {
			t.Errorf("the lock is %q with %d holders", l.Name(), l.Holders())
		}
		entries, err := c.List(ctx, client.Query{})
		if err != nil || len(entries) != 1 {
			t.Fatalf("List = %+v, %v", entries, err)
		}
		_, err = c.TryLock(ctx, "job")
		checkRefusal(t, err, client.Refusal{Reason: "held", Holder: entries[0].Client.Address})
		mustUnlock(t, l)
	})
}

// checkRefusal wants the error of a lock not acquired, but for how long it is
// held.
func checkRefusal(t *testing.T, err error, want client.Refusal) {
	t.Helper()
	var reply *client.ReplyError
	if !errors.Is(err, client.ErrNotAcquired) || !errors.As(err, &reply) || reply.Refusal == nil {
		t.Fatalf("got the error %v, want one with a refusal", err)
	}
	got := *reply.Refusal
	got.Held = 0
	if got != want {
		t.Errorf("refused for %+v, want %+v", got, want)
	}
}

func TestASharedLockHasNoMoreHoldersThanItsLimit(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c, ctx := newClient(t, address, client.ClientOptions{}), t.Context()
		var held []*client.Lock
		for i := range 3 {
			l, err := c.LockShared(ctx, "pool", 3)
			if err != nil {
				t.Fatal(err)
			}
			if l.Holders() != i+1 {
				t.Errorf("number %d is one of %d holders", i+1, l.Holders())
			}
			held = append(held, l)
		}
		_, err := c.TryLockShared(ctx, "pool", 3)
		checkRefusal(t, err, client.Refusal{Reason: "limit", Count: 3})
		var waiter sync.WaitGroup
		waiter.Go(func() {
			if l, err := c.LockShared(ctx, "pool", 3); err != nil || l.Holders() != 3 {
				t.Errorf("who waited has %+v, %v", l, err)
			}
		})
		awaitWaiters(t, c, 1)
		mustUnlock(t, held[0])
		waiter.Wait()
		if l, err := c.TryLockShared(ctx, "pool", 0); err != nil || l.Holders() != 4 {
			t.Errorf("without a limit: %v", err)
		}
		if _, err := c.LockShared(ctx, "pool", -1); err == nil || errors.Is(err, client.ErrNotAcquired) {
			t.Errorf("a limit of -1: %v", err)
		}
	})
}

func TestALockIsDoneWhenItIsReleased(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c, ctx := newClient(t, address, client.ClientOptions{}), t.Context()
		l := mustLock(t, c, "job")
		if err := l.Check(ctx); err != nil || l.Err() != nil || isDone(l) {
			t.Errorf("a lock that is held: %v, %v, done is %t", err, l.Err(), isDone(l))
		}
		mustUnlock(t, l)
		if err := l.Check(ctx); !errors.Is(err, client.ErrNotHeld) || !errors.Is(l.Err(), client.ErrNotHeld) || !isDone(l) {
			t.Errorf("a lock that was released: %v, %v, done is %t", err, l.Err(), isDone(l))
		}
		if err := l.Unlock(ctx); !errors.Is(err, client.ErrNotHeld) {
			t.Errorf("Unlock again: %v", err)
		}
		mustUnlock(t, mustLock(t, c, "job")) // it is free
	})
}

func TestALockIsDoneWhenItIsLost(t *testing.T) {
	for i, name := range []string{"tcp", "unix", "ws"} {
		t.Run(name, func(t *testing.T) {
			address, ctx := listen(t, embedded.Options{Admin: admin})[i], t.Context()
			c := newClient(t, address, client.ClientOptions{KeepAlive: -1})
			l, other := mustLock(t, c, "job"), mustLock(t, c, "other")
			if _, err := dial(t, address).Break(ctx, client.Exclusive, "job", 0); err != nil {
				t.Fatal(err)
			}
			<-l.Done()
			for what, err := range map[string]error{"Err": l.Err(), "Check": l.Check(ctx), "Unlock": l.Unlock(ctx)} {
				if !errors.Is(err, client.ErrDisconnected) {
					t.Errorf("%s of a lock that was lost: %v", what, err)
				}
			}
			if err := other.Check(ctx); err != nil {
				t.Errorf("the other lock: %v", err)
			}
			mustUnlock(t, mustLock(t, c, "job"))
			mustUnlock(t, other)
		})
	}
}

func TestAnEndOfTheContextEndsTheWaitOnTheServer(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		var dials counter
		c := newClient(t, address, client.ClientOptions{Options: client.Options{Dial: dials.dial}})
		l := mustLock(t, c, "job")
		awaitWaiters(t, c, 0) // and has a connection for it
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			_, err := c.Lock(ctx, "job")
			failed <- err
		}()
		awaitWaiters(t, c, 1)
		cancel()
		err := <-failed
		if !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrNotAcquired) {
			t.Errorf("Lock: %v", err)
		}
		awaitWaiters(t, c, 0)
		mustUnlock(t, l)
		mustUnlock(t, mustLock(t, c, "job"))
		if n := dials.Load(); n > 3 {
			t.Errorf("%d connections, want no more than 3: for the lock, the wait and the lists", n)
		}
	})
}

func TestAContextThatHasEndedAcquiresNothing(t *testing.T) {
	srv := serveWith(t, embedded.Options{})
	c := newClient(t, srv.Addrs()[0], client.ClientOptions{})
	mustUnlock(t, mustLock(t, c, "job")) // there is an idle connection
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := c.Lock(ctx, "job"); !errors.Is(err, context.Canceled) {
			t.Errorf("Lock: %v", err)
		}
	}
	if n := srv.Stats().Locks; n != 0 {
		t.Errorf("%d locks are held", n)
	}
}

// Here the release that lets the next in line have the lock, and the end of the
// wait, meet in any order.
func TestALockGrantedWhileTheWaitIsCancelledIsNotLeaked(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c := newClient(t, address, client.ClientOptions{})
		for range 100 {
			first := mustLock(t, c, "job")
			ctx, cancel := context.WithCancel(t.Context())
			var both sync.WaitGroup
			both.Go(func() {
				switch l, err := c.Lock(ctx, "job"); {
				case err == nil:
					mustUnlock(t, l)
				case !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrNotAcquired):
					t.Error(err)
				}
			})
			awaitWaiters(t, c, 1)
			both.Go(cancel)
			mustUnlock(t, first)
			both.Wait()
			l, err := c.TryLock(t.Context(), "job")
			if err != nil {
				t.Fatalf("the lock is leaked: %v", err)
			}
			mustUnlock(t, l)
		}
	})
}

// A question of the user's own is under way when the client would ask, which must
// not put off the loss.
func TestACheckDoesNotHideThatALockIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := client.ClientOptions{Options: client.Options{Dial: freezing(time.Second).dial}, KeepAlive: 4 * time.Second}
		start := time.Now()
		l := mustLock(t, newClient(t, "", o), "x")
		time.Sleep(1900 * time.Millisecond)
		if err := l.Check(t.Context()); !errors.Is(err, client.ErrTimeout) {
			t.Errorf("Check: %v", err)
		}
		<-l.Done()
		if d := time.Since(start) - time.Second; d > o.KeepAlive {
			t.Errorf("it was lost %v after the server froze, want within %v", d, o.KeepAlive)
		}
	})
}

func TestALockThatCannotBeGivenBackTakesASecondNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer(map[string]string{"cancel": granted + "0 nothing to cancel\n"}) // and is silent to r
		c := newClient(t, "", client.ClientOptions{Options: client.Options{Dial: server.script().dial}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := c.Lock(ctx, "x")
		if d := time.Since(start); d != time.Minute+time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", d, err)
		}
	})
}

func TestWorkUnderALockEndsWithIt(t *testing.T) {
	type key struct{}
	c := newClient(t, listen(t, embedded.Options{})[0], client.ClientOptions{})
	parent, endParent := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	first, second := mustLock(t, c, "first"), mustLock(t, c, "second")
	unlocked, cancel1 := first.Context(parent)
	defer cancel1()
	cancelled, cancel2 := second.Context(parent)
	ended, cancel3 := second.Context(parent)
	defer cancel3()
	lost, cancel4 := second.Context(t.Context())
	defer cancel4()
	if unlocked.Err() != nil || unlocked.Value(key{}) != "value" {
		t.Errorf("while the lock is held: %v, %v", unlocked.Err(), unlocked.Value(key{}))
	}
	checkCause := func(ctx context.Context, want error) {
		t.Helper()
		<-ctx.Done()
		if err := context.Cause(ctx); !errors.Is(err, want) {
			t.Errorf("ended because of %v, want %v", err, want)
		}
	}
	mustUnlock(t, first)
	checkCause(unlocked, client.ErrNotHeld)
	cancel2()
	checkCause(cancelled, context.Canceled)
	endParent()
	checkCause(ended, context.Canceled)
	c.Close()
	checkCause(lost, client.ErrClosed)
	late, cancel5 := second.Context(t.Context())
	defer cancel5()
	checkCause(late, client.ErrClosed)
}
