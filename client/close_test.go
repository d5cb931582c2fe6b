package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockd/client"
	"lockd/client/websocket"
	"lockd/embedded"
)

func TestALostConnectionIsNoticedWithoutACall(t *testing.T) {
	for _, i := range []int{0, 1, 2} {
		srv, err := embedded.Listen(t.Context(), embedded.Options{
			Addresses: []string{"tcp://127.0.0.1:0", "unix://" + t.TempDir() + "/s", "ws://127.0.0.1:0"},
		})
		if err != nil {
			t.Fatal(err)
		}
		c := dial(t, srv.Addrs()[i])
		if err := c.Get(t.Context(), "x"); err != nil {
			t.Error(err)
		}
		srv.Destroy()
		<-c.Done()
		checkEnded(t, c, c.Err(), client.ErrDisconnected)
	}
}

func TestCloseFreesTheLocksBeforeItReturns(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		b, ctx := dial(t, address), t.Context()
		for range 50 {
			a := dial(t, address)
			if err := a.Get(ctx, "x"); err != nil {
				t.Fatal(err)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if held, err := b.Inspect(ctx, "x"); err != nil || held {
				t.Fatalf("after Close the lock is held: %t, %v", held, err)
			}
		}
	})
}

func TestCloseEndsCallsAndMayBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialWith(t, "", client.Options{Dial: script(silent).dial})
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				if err := c.Get(t.Context(), "x"); !errors.Is(err, client.ErrClosed) {
					t.Errorf("Get: %v", err)
				}
			})
		}
		synctest.Wait()
		for range 3 {
			calls.Go(func() { c.Close() })
		}
		calls.Wait()
		if err := c.Get(t.Context(), "x"); !errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrDisconnected) {
			t.Errorf("Get: %v", err)
		}
	})
}

func TestCloseEndsConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := client.Open("", client.Options{Dial: never, ConnectTimeout: -1})
		if err != nil {
			t.Fatal(err)
		}
		var call sync.WaitGroup
		call.Go(func() {
			if err := c.Get(t.Context(), "x"); !errors.Is(err, client.ErrClosed) {
				t.Errorf("Get: %v", err)
			}
		})
		synctest.Wait()
		c.Close()
		call.Wait()
	})
}

// A halfPipe calls what the test says when the client has nothing more to send.
type halfPipe struct {
	net.Conn
	closeWrite func()
}

func (p halfPipe) CloseWrite() error {
	p.closeWrite()
	return nil
}

func TestCloseWaitsForTheEndWhateverTheServerSaysUntilThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var goroutines sync.WaitGroup
		goroutines.Go(func() { io.Copy(io.Discard, ours) })
		pipe := halfPipe{theirs, func() {
			goroutines.Go(func() {
				io.WriteString(ours, "1 Lock Get Success: x\n1 Lock Get Success: x\nnonsense\n")
				time.Sleep(time.Second / 2) // to free the locks
				ours.Close()
			})
		}}
		c := dialWith(t, "", client.Options{Dial: func(context.Context, string, string) (net.Conn, error) { return pipe, nil }})
		goroutines.Go(func() {
			if err := c.Get(t.Context(), "x"); !errors.Is(err, client.ErrClosed) {
				t.Errorf("Get: %v", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		c.Close()
		if d := time.Since(start); d != time.Second/2 {
			t.Errorf("Close took %v", d)
		}
		goroutines.Wait()
	})
}

func TestAConnectionThatComesAfterCloseIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c, err := client.Open("", client.Options{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return theirs, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.Close()
		if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		ours.Close()
	})
}

func TestCloseDoesNotWaitForeverForTheServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, l.Addr().String())
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	start := time.Now()
	c.Close()
	if d := time.Since(start); d < time.Second || d > 5*time.Second {
		t.Errorf("Close took %v", d)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestClosedConnectionsLeaveNoDescriptor(t *testing.T) {
	addresses := append(listen(t, embedded.Options{}), freeAddress(t), "ws://"+freeAddress(t))
	use := func() {
		for _, address := range addresses {
			c, err := client.Open(address, client.Options{Dial: websocket.Dial})
			if err != nil {
				t.Fatal(err)
			}
			c.Get(t.Context(), "x")
			c.Close()
		}
	}
	use() // opens what the runtime keeps
	before := descriptors(t)
	for range 20 {
		use()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors became %d", before, after)
	}
}
