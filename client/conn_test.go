package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lockd/client"
)

// A recorder is a server that answers Gets and remembers the packets.
type recorder struct {
	mu      sync.Mutex
	packets []string
}

func (r *recorder) answer(packet string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packets = append(r.packets, packet)
	return strings.Replace(packet, "g ", "1 Lock Get Success: ", 1), true
}

// gated dials s when open is closed.
func gated(s script, open <-chan struct{}) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case <-open:
			return s.dial(ctx, network, address)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestCallsBeforeTheConnectionStandsAreSentInOrderOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var server recorder
		open := make(chan struct{})
		c, err := client.Open("", client.Options{Dial: gated(server.answer, open)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var calls sync.WaitGroup
		var want []string
		for i := range 50 {
			name := fmt.Sprint("lock ", i)
			want = append(want, "g "+name+"\n")
			calls.Go(func() {
				if err := c.Get(t.Context(), name); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // until it is in the queue
		}
		close(open)
		calls.Wait()
		if !slices.Equal(server.packets, want) {
			t.Errorf("the server got %q", server.packets)
		}
	})
}

func TestACallWhoseContextEndsBeforeItWasSentIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var server recorder
		open := make(chan struct{})
		c, err := client.Open("", client.Options{Dial: gated(server.answer, open)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var calls sync.WaitGroup
		for i := range 3 { // the first waits for the connection, the others for their turn
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := c.Get(ctx, fmt.Sprint(i)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Get: %v", err)
				}
			})
			synctest.Wait()
		}
		calls.Wait()
		close(open)
		synctest.Wait()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for range 20 {
			if err := c.Get(cancelled, "never"); !errors.Is(err, context.Canceled) {
				t.Errorf("Get: %v", err)
			}
		}
		if err := c.Get(t.Context(), "x"); err != nil {
			t.Errorf("the connection is not as it was: %v", err)
		}
		if want := []string{"g x\n"}; !slices.Equal(server.packets, want) {
			t.Errorf("the server got %q", server.packets)
		}
	})
}

// silent is a server that reads and says nothing.
func silent(string) (string, bool) { return "", true }

func TestACallWhoseContextEndsBeforeItsReplyEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialWith(t, "", client.Options{Dial: script(silent).dial})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Get(ctx, "x")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get: %v", err)
		}
		checkEnded(t, c, c.Err(), client.ErrDisconnected)
		if err := c.Get(t.Context(), "x"); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("another call has it as its own context's end: %v", err)
		}
	})
}

func TestASilentServerIsGivenUpInTime(t *testing.T) {
	for _, tt := range []struct {
		readTimeout, quietTime, want time.Duration
		call                         func(*client.Conn, context.Context) error
	}{
		{0, 0, 10 * time.Second, func(c *client.Conn, ctx context.Context) error { return c.Get(ctx, "x") }},
		{time.Minute, 0, time.Minute, func(c *client.Conn, ctx context.Context) error { return c.Get(ctx, "x") }},
		{time.Minute, 0, time.Minute + time.Second/2, func(c *client.Conn, ctx context.Context) error { _, err := c.Dump(ctx); return err }},
		{time.Minute, time.Hour, time.Minute, func(c *client.Conn, ctx context.Context) error { _, err := c.Dump(ctx); return err }},
		{time.Minute, -1, time.Minute, func(c *client.Conn, ctx context.Context) error { _, err := c.Dump(ctx); return err }},
		{time.Minute, 0, time.Minute + time.Second, func(c *client.Conn, ctx context.Context) error { _, err := c.Name(ctx); return err }},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := dialWith(t, "", client.Options{Dial: script(silent).dial, ReadTimeout: tt.readTimeout, QuietTime: tt.quietTime})
			start := time.Now()
			err := tt.call(c, t.Context())
			if d := time.Since(start); d != tt.want {
				t.Errorf("given up after %v, want %v", d, tt.want)
			}
			checkEnded(t, c, err, client.ErrTimeout)
		})
	}
}

func TestWithoutAReadTimeoutRepliesMayTakeDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := oldServer{answers: answers}
		slow := script(func(packet string) (string, bool) {
			time.Sleep(72 * time.Hour)
			return server.answer(packet)
		})
		c := dialWith(t, "", client.Options{Dial: slow.dial, ReadTimeout: -1, ConnectTimeout: -1, QuietTime: -1})
		if _, err := c.Dump(t.Context()); err != nil {
			t.Error(err)
		}
		checkInStep(t, c)
	})
}

func TestAnIdleConnectionStandsForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialWith(t, "", client.Options{Dial: oldServer{answers: answers}.script().dial})
		for range 2 {
			checkInStep(t, c)
			time.Sleep(72 * time.Hour)
		}
	})
}

func TestAListingThatComesInDropsIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			defer ours.Close()
			packet := make([]byte, 1<<10)
			n, _ := ours.Read(packet)
			go io.Copy(io.Discard, ours) // the second fence is dropped or answered; here the first is answered late
			_, fence, _ := strings.Cut(string(packet[:n]), "\ni ")
			for i := range 100 {
				fmt.Fprintf(ours, "%d: a\n", i)
				time.Sleep(300 * time.Millisecond)
			}
			fmt.Fprintf(ours, "0 Lock Not Locked: %s", fence)
			io.Copy(io.Discard, ours)
		}()
		c := dialWith(t, "", client.Options{
			Dial:        func(context.Context, string, string) (net.Conn, error) { return theirs, nil },
			ReadTimeout: time.Second,
		})
		if got, err := c.Dump(t.Context()); err != nil || len(got) != 100 {
			t.Errorf("%d of 100 lines, %v", len(got), err)
		}
	})
}

// deaf is a way to a server that does not read.
func deaf(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close() })
		return theirs, nil
	}
}

func TestAServerThatDoesNotReadIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := dialWith(t, "", client.Options{Dial: deaf(t)})
		checkEnded(t, c, c.Get(t.Context(), "x"), client.ErrTimeout)
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("after %v", d)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c = dialWith(t, "", client.Options{Dial: deaf(t), ReadTimeout: -1})
		if err := c.Get(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		checkEnded(t, c, c.Err(), client.ErrDisconnected)
	})
}

func TestAServerThatDiesInTheMiddleOfAReplyHasNotReplied(t *testing.T) {
	const get, list = "1 Lock Get Success: x\n", "x: a\ny: b\n"
	for n := range len(get) {
		synctest.Test(t, func(t *testing.T) {
			dies := script(func(string) (string, bool) { return get[:n], false })
			c := dialWith(t, "", client.Options{Dial: dies.dial})
			checkEnded(t, c, c.Get(t.Context(), "x"), client.ErrDisconnected)
		})
	}
	for n := range len(list) + 1 {
		synctest.Test(t, func(t *testing.T) {
			dies := script(func(string) (string, bool) { return list[:n], false })
			c := dialWith(t, "", client.Options{Dial: dies.dial})
			got, err := c.Dump(t.Context())
			checkEnded(t, c, err, client.ErrDisconnected)
			if got != nil {
				t.Errorf("a listing cut off after %q is given as %q", list[:n], got)
			}
		})
	}
}

func TestManyGoroutinesShareAConnection(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c, ctx := dial(t, address), t.Context()
		var calls sync.WaitGroup
		for i := range 8 {
			calls.Go(func() {
				name := fmt.Sprint("lock ", i)
				for range 20 {
					_, err := c.Dump(ctx)
					if err := errors.Join(err, c.Get(ctx, name)); err != nil {
						t.Error(err)
					}
					held, err := c.DumpLock(ctx, name)
					if err != nil || len(held) != 1 {
						t.Errorf("DumpLock(%q) = %q, %v", name, held, err)
					}
					if err := c.Release(ctx, name); err != nil {
						t.Error(err)
					}
				}
			})
		}
		calls.Wait()
	})
}

func TestALockIsHeldByOneConnectionAtATime(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		var holders, got atomic.Int32
		var clients sync.WaitGroup
		for range 4 {
			c, ctx := dial(t, address), t.Context()
			clients.Go(func() {
				for range 50 {
					err := c.Get(ctx, "x")
					if errors.Is(err, client.ErrNotAcquired) {
						continue
					}
					if n := holders.Add(1); err != nil || n != 1 {
						t.Errorf("%d holders, %v", n, err)
					}
					got.Add(1)
					holders.Add(-1)
					if err := c.Release(ctx, "x"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		clients.Wait()
		if got.Load() == 0 {
			t.Error("nobody ever got it")
		}
	})
}
