package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
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

const granted = "1 Lock Get Success: token=7 waited=0 name=x\n"

// freezing is a server that grants the lock x and stops answering after a time.
func freezing(after time.Duration) script {
	server, start := newServer(map[string]string{"gw -1 x": granted, "r x": "1 Lock Release Success: x\n"}), time.Now()
	return func(packet string) (string, bool) {
		if time.Since(start) >= after {
			return "", true
		}
		return server.answer(packet)
	}
}

func TestALockOfAServerThatFreezesIsLostInTime(t *testing.T) {
	for _, keep := range []time.Duration{0, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			o := client.ClientOptions{Options: client.Options{Dial: freezing(time.Minute).dial}, KeepAlive: keep}
			c := newClient(t, "", o)
			start := time.Now()
			l := mustLock(t, c, "x")
			checkLost(t, l, client.ErrTimeout)
			if keep == 0 {
				keep = 10 * time.Second
			}
			if d := time.Since(start) - time.Minute; d < 0 || d > keep {
				t.Errorf("it was lost %v after the server froze, want within %v", d, keep)
			}
		})
	}
}

func TestWithoutKeepAliveTheServerIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := client.ClientOptions{Options: client.Options{Dial: freezing(time.Minute).dial}, KeepAlive: -1}
		l := mustLock(t, newClient(t, "", o), "x")
		time.Sleep(100 * time.Hour)
		if isDone(l) {
			t.Errorf("it is lost: %v", l.Err())
		}
	})
}

func TestUnlockOfASilentServerEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := scripted(t, freezing(time.Second))
		l := mustLock(t, c, "x")
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := l.Unlock(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Unlock: %v", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("Unlock took %v", d)
		}
		checkLost(t, l, client.ErrNotHeld)
	})
}

func TestAWaitHasNoEndWhileTheServerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := newServer(map[string]string{"gw -1 x": granted})
		c := scripted(t, func(packet string) (string, bool) {
			if packet == "gw -1 x\n" {
				time.Sleep(1000 * time.Hour)
			}
			return slow.answer(packet)
		})
		mustLock(t, c, "x")
	})
}

func TestAWaitWithAnEndIsGivenUpSoonAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialWith(t, "", client.Options{Dial: newServer(map[string]string{}).script().dial, ReadTimeout: 3 * time.Second})
		start := time.Now()
		_, err := c.Wait(t.Context(), "x", time.Minute)
		if d := time.Since(start); d != time.Minute+3*time.Second {
			t.Errorf("after %v", d)
		}
		checkEnded(t, c, err, client.ErrTimeout)
	})
}

func TestACancelThatIsNotAnsweredEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialWith(t, "", client.Options{Dial: newServer(map[string]string{}).script().dial})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := c.Wait(ctx, "x", -1)
		if d := time.Since(start); d != time.Minute+time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", d, err)
		}
		if !errors.Is(c.Err(), client.ErrDisconnected) {
			t.Errorf("the connection goes on: %v", c.Err())
		}
	})
}

// crossing is a server whose grant is under way when the cancel comes.
type crossing struct {
	mu       sync.Mutex
	packets  []string
	releases string // what it says to a release
}

func (s *crossing) answer(packet string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packets = append(s.packets, packet)
	return newServer(map[string]string{
		"cancel": granted + "0 nothing to cancel\n", "r x": s.releases, "gw 0 x": granted,
	}).answer(packet)
}

func TestALockGrantedInTheMomentOfTheCancelIsGivenBack(t *testing.T) {
	for _, releases := range []string{"1 Lock Release Success: x\n", "0 Lock Release Failure: x\n", "nonsense\n", ""} {
		synctest.Test(t, func(t *testing.T) {
			s := &crossing{releases: releases}
			c := scripted(t, s.answer)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l, err := c.Lock(ctx, "x")
			if l != nil || !errors.Is(err, client.ErrNotAcquired) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Lock = %v, %v", l, err)
			}
			if !slices.Contains(s.packets, "r x\n") {
				t.Errorf("it was not given back: %q", s.packets)
			}
			mustTry(t, c) // over this connection, or a new one
			connections := strings.Count(strings.Join(s.packets, ""), "me lockd/2")
			if kept := releases == "1 Lock Release Success: x\n"; kept != (connections == 1) {
				t.Errorf("a release answered %q: %d connections", releases, connections)
			}
		})
	}
}

func mustTry(t *testing.T, c *client.Client) {
	t.Helper()
	if _, err := c.TryLock(t.Context(), "x"); err != nil {
		t.Errorf("TryLock: %v", err)
	}
}

func TestWhatIsNoReplyOfLevel2EndsTheConnection(t *testing.T) {
	calls := map[string]struct {
		line    string
		call    func(c *client.Conn, ctx context.Context) error
		replies []string
	}{
		"Wait": {
			"gw 0 x", func(c *client.Conn, ctx context.Context) error { _, err := c.Wait(ctx, "x", 0); return err },
			[]string{
				"\n", "1 Lock Get Success: x\n", "1 Lock Get Success: token=0 waited=0 name=x\n", "1 pong\n",
				"1 Lock Get Success: token=7 waited=0 name=y\n", "1 Shared Lock Get Success: token=7 max=0 waited=0 name=x\n", "0 no\n",
				granted + "1 ok\n",
			},
		},
		"WaitShared": {
			"sgw 0 5 x", func(c *client.Conn, ctx context.Context) error { _, err := c.WaitShared(ctx, "x", 5, 0); return err },
			[]string{"\n", granted, "0 Shared Lock Get Failure: count=1 max=5 queue=0 name=x\n"},
		},
		"List": {
			"ls -", func(c *client.Conn, ctx context.Context) error { _, err := c.List(ctx, client.Query{}); return err },
			[]string{"{}\n\n", "x: a\n\n", "0 no\n\n", "[]\n\n"},
		},
		"Info": {
			"info", func(c *client.Conn, ctx context.Context) error { _, err := c.Info(ctx); return err },
			[]string{"version\n\n", "0 no\n\n"},
		},
		"Ping": {
			"i ping", func(c *client.Conn, ctx context.Context) error {
				if _, err := c.Level(ctx); err != nil {
					return err
				}
				return c.Ping(ctx)
			},
			[]string{"\n", "0 pong\n", "1 pong \n"},
		},
		"Break": {
			"fr x 0 x", func(c *client.Conn, ctx context.Context) error {
				_, err := c.Break(ctx, client.Exclusive, "x", 0)
				return err
			},
			[]string{"\n", "1 ok\n", "0 not held: y\n", "1 ok count=-1\n"},
		},
		"Kick": {
			"kick unix:1", func(c *client.Conn, ctx context.Context) error { _, err := c.Kick(ctx, "unix:1"); return err },
			[]string{"\n", "1 ok\n", "0 no such connection: unix:2\n"},
		},
	}
	for name, tt := range calls {
		for _, reply := range tt.replies {
			t.Run(fmt.Sprintf("%s %q", name, reply), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := newServer(map[string]string{tt.line: reply})
					server.answers["ping"] = reply
					c := dialWith(t, "", client.Options{Dial: server.script().dial})
					err := tt.call(c, t.Context())
					if strings.HasPrefix(reply, granted) && name == "Wait" { // what stands behind it was for nobody
						<-c.Done()
						err = c.Err()
					}
					checkEnded(t, c, err, client.ErrProtocol)
				})
			})
		}
	}
}

func TestWhatIsNoEventEndsTheWatch(t *testing.T) {
	for _, reply := range []string{"\n", "1 pong\n", "1 ok\n1 ok\n", "1 ok\n* granted\n", "1 ok\n* stolen mode=shared token=1 addr=a name=x\n"} {
		synctest.Test(t, func(t *testing.T) {
			c := scripted(t, newServer(map[string]string{"watch": reply}).answer)
			var last error
			for _, last = range c.Watch(t.Context(), "") {
			}
			if !errors.Is(last, client.ErrProtocol) || !errors.Is(last, client.ErrDisconnected) {
				t.Errorf("%q: %v", reply, last)
			}
		})
	}
}

func TestACommandThatANewServerRefusesIsAnErrorAndTheConnectionGoesOn(t *testing.T) {
	server := map[string]string{
		"gw 0 x": "0 unknown command: gw\n", "sgw 0 5 x": "0 bad arguments: sgw\n", "ls -": "0 line too long\n",
		"fr x 0 x": "0 denied\n", "kick unix:1": "0 no such connection: unix:1\n", "fr s 9 x": "0 not held: x\n", "info": "0 disabled\n\n",
	}
	synctest.Test(t, func(t *testing.T) {
		all := newServer(server)
		maps.Copy(all.answers, map[string]string{"g x": answers["g x"], "g y": answers["g y"], "sg x": answers["sg x"]})
		c, ctx := dialWith(t, "", client.Options{Dial: all.script().dial}), t.Context()
		_, wait := c.Wait(ctx, "x", 0)
		_, shared := c.WaitShared(ctx, "x", 5, 0)
		_, list := c.List(ctx, client.Query{})
		_, broken := c.Break(ctx, client.Exclusive, "x", 0)
		_, spared := c.Break(ctx, client.Shared, "x", 9)
		_, kicked := c.Kick(ctx, "unix:1")
		_, info := c.Info(ctx)
		for _, tt := range []struct{ got, want error }{
			{wait, client.ErrUnsupported},
			{shared, client.ErrUnsupported},
			{list, client.ErrUnsupported},
			{info, client.ErrDisabled},
			{broken, client.ErrDenied},
			{spared, client.ErrNotHeld},
			{kicked, client.ErrNoConnection},
		} {
			var reply *client.ReplyError
			if !errors.Is(tt.got, tt.want) || !errors.As(tt.got, &reply) {
				t.Errorf("got %v, want %v", tt.got, tt.want)
			}
		}
		checkInStep(t, c)
	})
}

// An aging is a server whose connections are silent once it has aged.
type aging struct {
	dials int
	aged  *atomic.Bool // of the connections that are made now
}

func (s *aging) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.dials++
	aged := s.aged
	server := newServer(map[string]string{"gw -1 x": granted, "r x": "1 Lock Release Success: x\n"})
	return script(func(packet string) (string, bool) {
		if aged.Load() {
			return "", true
		}
		return server.answer(packet)
	}).dial(ctx, network, address)
}

func TestIdleConnectionsThatAreDeadCostOneWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &aging{aged: new(atomic.Bool)}
		c := newClient(t, "", client.ClientOptions{Options: client.Options{Dial: s.dial}})
		var held []*client.Lock
		for range 5 {
			held = append(held, mustLock(t, c, "x"))
		}
		for _, l := range held {
			mustUnlock(t, l)
		}
		s.aged.Store(true)
		s.aged = new(atomic.Bool)
		start := time.Now()
		mustLock(t, c, "x")
		mustLock(t, c, "x")
		if d := time.Since(start); d != 5*time.Second || s.dials != 7 {
			t.Errorf("took %v and %d connections", d, s.dials)
		}
	})
}

func TestWhatIsNoAnswerToACancelEndsTheConnection(t *testing.T) {
	for _, reply := range []string{"1 pong\n", "\n", granted, "0 no\n"} {
		synctest.Test(t, func(t *testing.T) {
			server := newServer(map[string]string{"cancel": granted + reply})
			c := dialWith(t, "", client.Options{Dial: server.script().dial})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.Wait(ctx, "x", -1)
			checkEnded(t, c, err, client.ErrProtocol)
		})
	}
}
