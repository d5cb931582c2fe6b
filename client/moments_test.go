package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"lockd/client"
)

// A lateConn calls cancel when a line was sent and answered, but its Write has
// not returned yet.
type lateConn struct {
	net.Conn
	line   string
	cancel func()
}

func (c lateConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if strings.HasPrefix(string(p), c.line) {
		synctest.Wait()
		c.cancel()
	}
	return n, err
}

func TestAContextThatEndsAtAnyStepIsTheReason(t *testing.T) {
	server := newServer(map[string]string{"gw -1 x": granted, "cancel": "0 nothing to cancel\n", "r x": "1 Lock Release Success: x\n", "iam a": "1 ok\n"})
	for _, line := range []string{"iam", "me", "gw"} {
		for range 10 { // which of several reasons is seen first, is chance
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				dial := func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := server.script().dial(ctx, network, address)
					return lateConn{conn, line, cancel}, err
				}
				c := newClient(t, "", client.ClientOptions{Name: "a", Options: client.Options{Dial: dial}})
				if l, err := c.Lock(ctx, "x"); l != nil || !errors.Is(err, context.Canceled) {
					t.Errorf("ended behind %q: %v", line, err)
				}
			})
		}
	}
}

func TestCloseEndsEveryCallUnderWay(t *testing.T) {
	calls := map[string]func(c *client.Client, ctx context.Context) error{
		"Lock":       func(c *client.Client, ctx context.Context) error { _, err := c.Lock(ctx, "y"); return err },
		"TryLock":    func(c *client.Client, ctx context.Context) error { _, err := c.TryLock(ctx, "y"); return err },
		"LockShared": func(c *client.Client, ctx context.Context) error { _, err := c.LockShared(ctx, "y", 1); return err },
		"List":       func(c *client.Client, ctx context.Context) error { _, err := c.List(ctx, client.Query{}); return err },
		"Info":       func(c *client.Client, ctx context.Context) error { _, err := c.Info(ctx); return err },
		"Watch": func(c *client.Client, ctx context.Context) (last error) {
			for _, last = range c.Watch(ctx, "") {
			}
			return last
		},
	}
	tries := oldServer{answers: answers}.script() // of y for ever
	for _, server := range []script{silent, newServer(map[string]string{}).script(), tries} {
		synctest.Test(t, func(t *testing.T) {
			c := scripted(t, server)
			var ends sync.WaitGroup
			for name, call := range calls {
				ends.Go(func() {
					err := call(c, t.Context())
					if err != nil && !errors.Is(err, client.ErrClosed) && !old(err) {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			synctest.Wait()
			c.Close()
			ends.Wait()
		})
	}
}

// old reports whether err is what an old server answers at once.
func old(err error) bool {
	return errors.Is(err, client.ErrUnsupported) || errors.Is(err, client.ErrNotAcquired)
}

func TestCloseEndsAnUnlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := scripted(t, newServer(map[string]string{"gw -1 x": granted}).script()) // silent on r
		l := mustLock(t, c, "x")
		var call sync.WaitGroup
		call.Go(func() {
			if err := l.Unlock(t.Context()); !errors.Is(err, client.ErrClosed) {
				t.Errorf("Unlock: %v", err)
			}
		})
		synctest.Wait()
		c.Close()
		call.Wait()
	})
}
