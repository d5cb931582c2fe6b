package client_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/client"
)

// answers are what the scripted servers know.
var answers = map[string]string{
	"g x":   "1 Lock Get Success: x\n",
	"g y":   "0 Lock Get Failure: y\n",
	"r x":   "1 Lock Release Success: x\n",
	"sg x":  "3 Shared Lock Get Success: x\n",
	"d":     "x: 10.0.0.1:5\ny: web: 1\n",
	"d y":   "y: web: 1\n",
	"sd":    "x: a\nx: b\n",
	"q":     "locks: 2\norphans: 0\n",
	"who":   "10.0.0.1:5: web: 1\n",
	"me":    "1 10.0.0.1:5 web 1\n",
	"iam w": "1 ok\n",
}

// oldServers are the kinds of servers there are.
func oldServers() map[string]oldServer {
	old := maps.Clone(answers) // knows no names of clients
	maps.DeleteFunc(old, func(line, _ string) bool { return line == "me" || line == "who" || line == "iam w" })
	return map[string]oldServer{
		"newer":           {answers: answers},
		"CR LF":           {answers: answers, crlf: true},
		"drops":           {answers: answers, drops: true},
		"old":             {answers: old},
		"old, CR LF":      {answers: old, crlf: true},
		"old, drops":      {answers: old, drops: true},
		"all there is":    {answers: old, drops: true, crlf: true},
		"drops and CR LF": {answers: answers, drops: true, crlf: true},
	}
}

func TestEveryServerIsUnderstood(t *testing.T) {
	for name, server := range oldServers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, ctx := dialWith(t, "", client.Options{Dial: server.script().dial}), t.Context()
				got, err := c.Dump(ctx)
				checkHoldings(t, "Dump", got, err, []client.Holding{{Lock: "x", Holder: "10.0.0.1:5"}, {Lock: "y: web", Holder: "1"}})
				got, err = c.DumpLock(ctx, "y")
				checkHoldings(t, "DumpLock", got, err, []client.Holding{{Lock: "y", Holder: "web: 1"}})
				got, err = c.DumpLock(ctx, "z")
				checkHoldings(t, "DumpLock of a free lock", got, err, nil)
				got, err = c.DumpShared(ctx)
				checkHoldings(t, "DumpShared", got, err, []client.Holding{{Lock: "x", Holder: "a"}, {Lock: "x", Holder: "b"}})
				stats, err := c.Stats(ctx)
				if err != nil || !maps.Equal(stats, map[string]uint64{"locks": 2, "orphans": 0}) {
					t.Errorf("Stats = %v, %v", stats, err)
				}
				checkInStep(t, c)
			})
		})
	}
}

// checkInStep wants that calls still get their own replies.
func checkInStep(t *testing.T, c *client.Conn) {
	t.Helper()
	ctx := t.Context()
	if err := c.Get(ctx, "x"); err != nil {
		t.Error(err)
	}
	if err := c.Get(ctx, "y"); !errors.Is(err, client.ErrNotAcquired) {
		t.Errorf("Get of a lock another holds: %v", err)
	}
	if n, err := c.GetShared(ctx, "x"); err != nil || n != 3 {
		t.Errorf("GetShared = %d, %v", n, err)
	}
}

func TestCommandsAServerDoesNotKnowAreErrorsAndTheConnectionGoesOn(t *testing.T) {
	for name, server := range oldServers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, ctx := dialWith(t, "", client.Options{Dial: server.script().dial}), t.Context()
				var want error
				var wantID client.Identity
				var wantIDs []client.Identity
				if server.answers["me"] == "" {
					want = client.ErrUnsupported
				} else {
					wantID = client.Identity{Address: "10.0.0.1:5", Name: "web 1"}
					wantIDs = []client.Identity{{Address: "10.0.0.1:5", Name: "web: 1"}}
				}
				if id, err := c.Name(ctx); !errors.Is(err, want) || id != wantID {
					t.Errorf("Name = %+v, %v; want %+v, %v", id, err, wantID, want)
				}
				if err := c.SetName(ctx, "w"); !errors.Is(err, want) {
					t.Errorf("SetName: %v; want %v", err, want)
				}
				if ids, err := c.Clients(ctx); err != nil || !slices.Equal(ids, wantIDs) {
					t.Errorf("Clients = %+v, %v; want %+v", ids, err, wantIDs)
				}
				checkInStep(t, c)
			})
		})
	}
}

func TestListingsTakeNoTimeOnServersThatDropNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialWith(t, "", client.Options{Dial: oldServer{answers: answers}.script().dial})
		start := time.Now()
		_, err := c.DumpLock(t.Context(), "free")
		if d := time.Since(start); err != nil || d != 0 {
			t.Errorf("took %v, %v", d, err)
		}
	})
}

func TestASlowServerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := oldServer{answers: answers}
		slow := script(func(packet string) (string, bool) {
			time.Sleep(5 * time.Second) // ten times as long as a server may be quiet
			return server.answer(packet)
		})
		c, ctx := dialWith(t, "", client.Options{Dial: slow.dial, ReadTimeout: time.Minute}), t.Context()
		for range 3 {
			got, err := c.DumpLock(ctx, "y")
			checkHoldings(t, "DumpLock", got, err, []client.Holding{{Lock: "y", Holder: "web: 1"}})
			got, err = c.DumpLock(ctx, "free")
			checkHoldings(t, "DumpLock", got, err, nil)
			if id, err := c.Name(ctx); err != nil || id.Name != "web 1" {
				t.Errorf("Name = %+v, %v", id, err)
			}
		}
		checkInStep(t, c)
	})
}

func TestALockNamedLikeTheMarkOfAListingsEndIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := oldServer{answers: map[string]string{"d": "0 Lock Not Locked: fence\n1 Lock Is Locked: fence A\n0 disabled: x\n"}}
		c := dialWith(t, "", client.Options{Dial: server.script().dial})
		got, err := c.Dump(t.Context())
		checkHoldings(t, "Dump", got, err, []client.Holding{
			{Lock: "0 Lock Not Locked", Holder: "fence"}, {Lock: "1 Lock Is Locked", Holder: "fence A"}, {Lock: "0 disabled", Holder: "x"},
		})
	})
}

func TestAFeatureSwitchedOffIsAnErrorOnEveryServer(t *testing.T) {
	for _, server := range []oldServer{{}, {crlf: true}, {drops: true}} {
		synctest.Test(t, func(t *testing.T) {
			server.answers = maps.Clone(answers)
			for _, line := range []string{"d", "sd", "who", "iam w"} {
				server.answers[line] = "0 disabled\n"
			}
			c, ctx := dialWith(t, "", client.Options{Dial: server.script().dial}), t.Context()
			_, err1 := c.Dump(ctx)
			_, err2 := c.DumpShared(ctx)
			_, err3 := c.Clients(ctx)
			for i, err := range []error{err1, err2, err3, c.SetName(ctx, "w")} {
				if !errors.Is(err, client.ErrDisabled) {
					t.Errorf("%d: %v", i, err)
				}
			}
			checkInStep(t, c)
		})
	}
}

func TestWhatIsNoReplyEndsTheConnection(t *testing.T) {
	calls := map[string]struct {
		call    func(c *client.Conn, t *testing.T) error
		replies []string
	}{
		"Get": {
			func(c *client.Conn, t *testing.T) error { return c.Get(t.Context(), "x") },
			[]string{"1 Lock Get Success: y\n", "\n", "ok\n", "-1 Lock Get Success: x\n", "1\n", "1 x\n", " 1 Lock: x\n"},
		},
		"Name": {
			func(c *client.Conn, t *testing.T) error { _, err := c.Name(t.Context()); return err },
			[]string{"\n", "1\n", "1 a\n", "2 a b\n"},
		},
		"SetName": {
			func(c *client.Conn, t *testing.T) error { return c.SetName(t.Context(), "w") },
			[]string{"\n", "0 no\n", "1\n"},
		},
		"Dump": {
			func(c *client.Conn, t *testing.T) error { _, err := c.Dump(t.Context()); return err },
			[]string{"\n", "x: a\ny\n", "0 enabled\n"},
		},
		"DumpLock": {
			func(c *client.Conn, t *testing.T) error { _, err := c.DumpLock(t.Context(), "x"); return err },
			[]string{"\n", "y: a\n", "x: a\ny: b\n", "x:a\n"},
		},
		"Clients": {
			func(c *client.Conn, t *testing.T) error { _, err := c.Clients(t.Context()); return err },
			[]string{"\n", "a:b\n"},
		},
		"Stats": {
			func(c *client.Conn, t *testing.T) error { _, err := c.Stats(t.Context()); return err },
			[]string{"\n", "locks: -1\n", "locks: many\n", "locks\n"},
		},
	}
	for name, tt := range calls {
		for _, reply := range tt.replies {
			t.Run(fmt.Sprintf("%s %q", name, reply), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					nonsense := script(func(packet string) (string, bool) {
						_, fence, _ := strings.Cut(packet, "\n")
						if fence != "" {
							fence = "0 Lock Not Locked: " + strings.TrimPrefix(fence, "i ")
						}
						return reply + fence, true
					})
					c := dialWith(t, "", client.Options{Dial: nonsense.dial})
					checkEnded(t, c, tt.call(c, t), client.ErrProtocol)
				})
			})
		}
	}
}

// checkEnded wants that err says the connection is lost and why, and that it is.
func checkEnded(t *testing.T, c *client.Conn, err, why error) {
	t.Helper()
	if !errors.Is(err, client.ErrDisconnected) || !errors.Is(err, why) {
		t.Errorf("got the error %v, want %v", err, why)
	}
	select {
	case <-c.Done():
	default:
		t.Error("the connection is not done")
	}
	if err := c.Err(); !errors.Is(err, client.ErrDisconnected) {
		t.Errorf("Err() = %v", err)
	}
	if err := c.Get(t.Context(), "x"); !errors.Is(err, client.ErrDisconnected) {
		t.Errorf("a call afterwards: %v", err)
	}
}

func TestALineThatNobodyAskedForEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		talks := script(func(string) (string, bool) { return "1 Lock Get Success: x\n1 Lock Get Success: y\n", true })
		c := dialWith(t, "", client.Options{Dial: talks.dial})
		if err := c.Get(t.Context(), "x"); err != nil {
			t.Errorf("the call it does belong to: %v", err)
		}
		<-c.Done()
		checkEnded(t, c, c.Err(), client.ErrProtocol)
	})
}

func TestTwoRepliesForOneEndTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		talks := script(func(packet string) (string, bool) {
			fence, late := strings.CutPrefix(packet, "i ")
			if !late {
				return "", true
			}
			return "1 a b\n1 a b\n0 Lock Not Locked: " + fence, true
		})
		c := dialWith(t, "", client.Options{Dial: talks.dial})
		_, err := c.Name(t.Context())
		checkEnded(t, c, err, client.ErrProtocol)
	})
}
