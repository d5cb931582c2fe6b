package client_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockd/client"
	"lockd/embedded"
)

// lockSometimes acquires a lock, unless a context that ends at any moment is
// before it, and reports which.
func lockSometimes(t *testing.T, c *client.Client, name string, g *guarded) (acquired bool) {
	ctx, cancel := context.WithTimeout(t.Context(), rand.N(8*time.Millisecond))
	defer cancel()
	l, err := c.Lock(ctx, name)
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		return false
	}
	g.use(t, l)
	if err := l.Unlock(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	return true
}

func TestContextsThatEndAtAnyMomentLeakNoLock(t *testing.T) {
	srv := serveWith(t, embedded.Options{})
	for _, address := range srv.Addrs() {
		names := []string{"a", "b"}
		things := make([]guarded, len(names))
		c := newClient(t, address, client.ClientOptions{MaxIdle: 3})
		var acquired, missed atomic.Int32
		var workers sync.WaitGroup
		for range 8 {
			workers.Go(func() {
				for range 60 {
					i := rand.N(len(names))
					if lockSometimes(t, c, names[i], &things[i]) {
						acquired.Add(1)
					} else {
						missed.Add(1)
					}
				}
			})
		}
		workers.Wait()
		t.Logf("%s: %d acquired, %d missed", address, acquired.Load(), missed.Load())
		awaitClients(t, srv, 3)
		c.Close()
	}
}

func TestCloseInTheMiddleOfEverything(t *testing.T) {
	srv := serveWith(t, embedded.Options{})
	for range 10 {
		for _, address := range srv.Addrs() {
			c := newClient(t, address, client.ClientOptions{MaxIdle: 2, KeepAlive: time.Millisecond})
			var workers sync.WaitGroup
			for range 6 {
				workers.Go(func() {
					for {
						l, err := c.Lock(t.Context(), "x")
						if errors.Is(err, client.ErrClosed) {
							return
						}
						if err != nil && !errors.Is(err, client.ErrTimeout) { // of the keep-alive
							t.Error(err)
							return
						}
						if l != nil {
							l.Unlock(t.Context())
						}
					}
				})
			}
			for range rand.N(50) {
				runtime.Gosched()
			}
			c.Close()
			workers.Wait()
			awaitClients(t, srv, 0)
		}
	}
}

// awaitClients wants the server to have no more clients than these, and none of
// them to have a lock or to wait for one. It may take the server a while to see the
// end of one that was cut off.
func awaitClients(t *testing.T, srv *embedded.Server, most uint64) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		st := srv.Stats()
		if st.Connections <= most && st.Locks == 0 && st.Waiters == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d locks, %d waiters and %d connections are left", st.Locks, st.Waiters, st.Connections)
		}
		runtime.Gosched()
	}
}
