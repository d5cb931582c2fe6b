package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockd/client"
	"lockd/embedded"
)

func TestAListHasHoldersAndWaiters(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, ctx := dial(t, address), dial(t, address), t.Context()
		if err := a.SetName(ctx, "web \xff 1"); err != nil {
			t.Fatal(err)
		}
		idA, errA := a.Name(ctx)
		idB, errB := b.Name(ctx)
		x, errX := a.Wait(ctx, "x", 0)
		odd, errOdd := a.Wait(ctx, "odd\xff \x00", 0)
		s, errS := a.WaitShared(ctx, "x", 0, 0)
		if err := errors.Join(errA, errB, errX, errOdd, errS); err != nil {
			t.Fatal(err)
		}
		idB.Name = ""
		waitCtx, cancel := context.WithCancel(ctx)
		var waiter sync.WaitGroup
		waiter.Go(func() { b.WaitShared(waitCtx, "x", 1, -1) })
		list := newClient(t, address, client.ClientOptions{})
		awaitWaiters(t, list, 1)
		want := []client.Entry{
			{Lock: "odd\xff \x00", Mode: client.Exclusive, Client: idA, Token: odd.Token},
			{Lock: "x", Mode: client.Exclusive, Client: idA, Token: x.Token},
			{Lock: "x", Mode: client.Shared, Client: idA, Token: s.Token},
			{Lock: "x", Mode: client.Shared, Waiting: true, Client: idB, Max: 1},
		}
		checkList(t, list, client.Query{}, want)
		checkList(t, list, client.Query{Mode: client.Exclusive}, want[:2])
		checkList(t, list, client.Query{Mode: client.Shared}, want[2:])
		checkList(t, list, client.Query{Prefix: "odd\xff"}, want[:1])
		checkList(t, list, client.Query{Prefix: "x", Mode: client.Exclusive}, want[1:2])
		checkList(t, list, client.Query{Prefix: "x "}, nil)
		checkList(t, list, client.Query{Prefix: "  "}, nil)
		cancel()
		waiter.Wait()
	})
}

// checkList wants what is listed, at a time that makes sense.
func checkList(t *testing.T, c *client.Client, q client.Query, want []client.Entry) {
	t.Helper()
	got, err := c.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range got {
		if d := time.Since(e.Since) - e.Age; d < -time.Second || d > time.Minute {
			t.Errorf("%q is there since %v, for %v", e.Lock, e.Since, e.Age)
		}
		got[i].Since, got[i].Age = time.Time{}, 0
	}
	if !slices.Equal(got, want) {
		t.Errorf("List of %+v\n got %+v\nwant %+v", q, got, want)
	}
}

// What a lock is called must not be taken for what the server says.
func TestNamesThatLookLikeRepliesAreListed(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c, ctx := dial(t, address), t.Context()
		if level, err := c.Level(ctx); err != nil || level != 2 {
			t.Fatalf("Level = %d, %v", level, err)
		}
		me, err := c.Name(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"0 unknown command", "0 bad arguments", "0 disabled", "0 line too long", "* lost count=1", "", "1 ok"} {
			if err := c.Get(ctx, name); err != nil {
				t.Fatal(err)
			}
			got, err := c.Dump(ctx)
			checkHoldings(t, "Dump", got, err, []client.Holding{{Lock: name, Holder: me.Address}})
			got, err = c.Dump(ctx)
			checkHoldings(t, "Dump again", got, err, []client.Holding{{Lock: name, Holder: me.Address}})
			entries, err := c.List(ctx, client.Query{})
			if err != nil || len(entries) != 1 || entries[0].Lock != name {
				t.Errorf("List = %+v, %v; want %q", entries, err, name)
			}
			if err := c.Release(ctx, name); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestLongListsAreComplete(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		const n = 2000
		c, ctx := dial(t, address), t.Context()
		for i := range n {
			if _, err := c.WaitShared(ctx, fmt.Sprint(i, strings.Repeat("y", i%500)), 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		entries, err := c.List(ctx, client.Query{})
		if err != nil || len(entries) != n || !slices.IsSorted(names(entries)) {
			t.Errorf("%d entries, %v", len(entries), err)
		}
	})
}

func TestLevel2SpeaksEveryCommandOfLevel1(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c, ctx := dial(t, address), t.Context()
		if level, err := c.Level(ctx); err != nil || level != 2 {
			t.Fatalf("Level = %d, %v", level, err)
		}
		empty, err := c.Dump(ctx)
		checkHoldings(t, "Dump", empty, err, nil)
		if err := errors.Join(c.SetName(ctx, "w"), c.Get(ctx, "x")); err != nil {
			t.Error(err)
		}
		if n, err := c.GetShared(ctx, "x"); err != nil || n != 1 {
			t.Errorf("GetShared = %d, %v", n, err)
		}
		id, err := c.Name(ctx)
		if err != nil || id.Name != "w" {
			t.Errorf("Name = %+v, %v", id, err)
		}
		ids, err := c.Clients(ctx)
		if err != nil || !slices.Equal(ids, []client.Identity{id}) {
			t.Errorf("Clients = %+v, %v", ids, err)
		}
		got, err := c.DumpShared(ctx)
		checkHoldings(t, "DumpShared", got, err, []client.Holding{{Lock: "x", Holder: "w"}})
		stats, err := c.Stats(ctx)
		if err != nil || stats["locks"] != 1 || stats["shared_locks"] != 1 {
			t.Errorf("Stats = %v, %v", stats, err)
		}
	})
}

func TestALineTooLongIsAnErrorAtLevel2(t *testing.T) {
	c, ctx := dial(t, listen(t, embedded.Options{})[0]), t.Context()
	name := strings.Repeat("x", 70000)
	_, wait := c.Wait(ctx, name, 0)
	_, broken := c.Break(ctx, client.Shared, name, 0)
	_, list := c.List(ctx, client.Query{Prefix: name})
	_, dump := c.DumpLock(ctx, name)
	for i, err := range []error{wait, broken, list, dump, c.Get(ctx, name), c.SetName(ctx, name)} {
		if !errors.Is(err, client.ErrUnsupported) {
			t.Errorf("%d: %.300v", i, err)
		}
	}
	if err := c.Ping(ctx); err != nil {
		t.Errorf("the connection is out of step: %v", err)
	}
}
