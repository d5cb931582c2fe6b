package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockd/client"
)

func TestLocksAreHadFromEveryOldServer(t *testing.T) {
	for name, server := range oldServers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, ctx := scripted(t, server.script()), t.Context()
				l, err := c.Lock(ctx, "x")
				if err != nil {
					t.Fatal(err)
				}
				if n, err := l.Token(); !errors.Is(err, client.ErrUnsupported) || n != 0 {
					t.Errorf("Token = %d, %v; such servers have none", n, err)
				}
				if err := l.Unlock(ctx); err != nil {
					t.Error(err)
				}
				if _, err := c.TryLock(ctx, "y"); !errors.Is(err, client.ErrNotAcquired) {
					t.Errorf("TryLock of a lock another holds: %v", err)
				}
				if l, err := c.LockShared(ctx, "x", 0); err != nil || l.Holders() != 3 {
					t.Errorf("LockShared = %+v, %v", l, err)
				}
				checkOldListing(t, c)
			})
		})
	}
}

func checkOldListing(t *testing.T, c *client.Client) {
	t.Helper()
	shared := func(holder string) client.Entry {
		return client.Entry{Lock: "x", Mode: client.Shared, Client: client.Identity{Address: holder, Name: holder}}
	}
	got, err := c.List(t.Context(), client.Query{Mode: client.Shared, Prefix: "x"})
	if want := []client.Entry{shared("a"), shared("b")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("List = %+v, %v; want %+v", got, err, want)
	}
	got, err = c.List(t.Context(), client.Query{})
	if err != nil || len(got) != 4 || got[0].Mode != client.Exclusive || got[3].Lock != "y: web" {
		t.Errorf("List of all = %+v, %v", got, err)
	}
}

func TestWhatAnOldServerCannotDoIsAnErrorNeverLess(t *testing.T) {
	for name, server := range oldServers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, ctx := scripted(t, server.script()), t.Context()
				conn := dialWith(t, "", client.Options{Dial: server.script().dial})
				var watched error
				for _, err := range c.Watch(ctx, "") {
					watched = err
				}
				_, limited := c.LockShared(ctx, "x", 5)
				_, info := c.Info(ctx)
				_, wait := conn.Wait(ctx, "x", 0)
				_, shared := conn.WaitShared(ctx, "x", 0, -1)
				_, broken := conn.Break(ctx, client.Exclusive, "x", 0)
				_, kicked := conn.Kick(ctx, "unix:1")
				for i, err := range []error{watched, limited, info, wait, shared, broken, kicked} {
					if !errors.Is(err, client.ErrUnsupported) {
						t.Errorf("%d: %v", i, err)
					}
				}
				if level, err := conn.Level(ctx); level != 1 || err != nil {
					t.Errorf("Level = %d, %v", level, err)
				}
				if err := conn.Ping(ctx); err != nil {
					t.Errorf("Ping: %v", err)
				}
				checkInStep(t, conn)
			})
		})
	}
}

// tries notes when a server of level 1 is asked for the lock x, which it gives
// away at the last of so many times.
type tries struct {
	mu    sync.Mutex
	until int
	times []time.Time
}

func (s *tries) answer(packet string) (string, bool) {
	if packet != "g x\n" {
		return oldServer{answers: answers}.answer(packet)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.times = append(s.times, time.Now()); len(s.times) < s.until {
		return "0 Lock Get Failure: x\n", true
	}
	return "1 Lock Get Success: x\n", true
}

// pauses returns the times between tries.
func (s *tries) pauses() []time.Duration {
	var pauses []time.Duration
	for i := range len(s.times) - 1 {
		pauses = append(pauses, s.times[i+1].Sub(s.times[i]))
	}
	return pauses
}

func TestAnOldServerIsTriedAgainAtGrowingRandomIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := []*tries{{until: 40}, {until: 40}}
		for _, s := range servers {
			mustLock(t, scripted(t, s.answer), "x")
			for i, pause := range s.pauses() {
				if pause < 10*time.Millisecond || pause > time.Second {
					t.Errorf("pause %d is %v", i, pause)
				}
				if i > 20 && pause < time.Second/2 {
					t.Errorf("pause %d is still %v", i, pause)
				}
			}
		}
		if slices.Equal(servers[0].pauses(), servers[1].pauses()) {
			t.Error("two clients come at the same times")
		}
	})
}

func TestTryingAnOldServerEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := scripted(t, oldServer{answers: answers}.answer)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := c.Lock(ctx, "y")
		if d := time.Since(start); d != time.Minute || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrNotAcquired) {
			t.Errorf("after %v: %v", d, err)
		}
	})
}

func TestTheHandshakeTellsTheLevel(t *testing.T) {
	tests := []struct {
		reply string
		level int
		err   error
	}{
		{"", 1, nil}, // silence: never heard of me
		{"0 disabled\n", 1, nil},
		{"1 10.0.0.1:5 web\n", 1, nil},
		{"2 10.0.0.1:5 web\n", 2, nil},
		{"2 10.0.0.1:5 web\r\n", 2, nil},
		{"3 10.0.0.1:5 web\n", 0, client.ErrProtocol}, // more than was asked for
		{"\n", 0, client.ErrProtocol},
		{"0 no\n", 0, client.ErrProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.reply, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var packets []string
				server := oldServer{answers: map[string]string{"me lockd/2": tt.reply}}
				c := dialWith(t, "", client.Options{Dial: script(func(packet string) (string, bool) {
					packets = append(packets, packet)
					return server.answer(packet)
				}).dial})
				level, err := c.Level(t.Context())
				if level != tt.level || !errors.Is(err, tt.err) {
					t.Errorf("Level = %d, %v; want %d, %v", level, err, tt.level, tt.err)
				}
				if packets[0] != "me lockd/2\n" {
					t.Errorf("something stands behind the handshake: %q", packets[0])
				}
				if tt.err != nil {
					return
				}
				again, err := c.Level(t.Context())
				if again != level || err != nil || strings.Count(strings.Join(packets, ""), "me ") != 1 {
					t.Errorf("asked again: %d, %v, %q", again, err, packets)
				}
			})
		})
	}
}
