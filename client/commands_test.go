package client_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockd/client"
	"lockd/embedded"
)

func TestAnExclusiveLockHasOneHolder(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, ctx := dial(t, address), dial(t, address), t.Context()
		for range 2 { // the second time it is there already
			if err := a.Get(ctx, "job 1"); err != nil {
				t.Fatal(err)
			}
		}
		err := b.Get(ctx, "job 1")
		var reply *client.ReplyError
		if !errors.Is(err, client.ErrNotAcquired) || !errors.As(err, &reply) || reply.Reply != "0 Lock Get Failure: job 1" {
			t.Errorf("Get of a lock another holds: %v", err)
		}
		if err := b.Release(ctx, "job 1"); !errors.Is(err, client.ErrNotHeld) {
			t.Errorf("Release of a lock another holds: %v", err)
		}
		for _, c := range []*client.Conn{a, b} {
			if held, err := c.Inspect(ctx, "job 1"); err != nil || !held {
				t.Errorf("Inspect = %t, %v", held, err)
			}
		}
		if err := a.Release(ctx, "job 1"); err != nil {
			t.Error(err)
		}
		if held, err := b.Inspect(ctx, "job 1"); err != nil || held {
			t.Errorf("Inspect of a free lock = %t, %v", held, err)
		}
		if err := b.Get(ctx, "job 1"); err != nil {
			t.Error(err)
		}
	})
}

func TestASharedLockCountsItsHolders(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, ctx := dial(t, address), dial(t, address), t.Context()
		for i, c := range []*client.Conn{a, b, b} {
			if n, err := c.GetShared(ctx, "pool"); err != nil || n != min(i+1, 2) {
				t.Errorf("GetShared = %d, %v", n, err)
			}
		}
		if n, err := a.InspectShared(ctx, "pool"); err != nil || n != 2 {
			t.Errorf("InspectShared = %d, %v", n, err)
		}
		if err := a.Get(ctx, "pool"); err != nil {
			t.Errorf("the exclusive lock of that name: %v", err)
		}
		if err := a.ReleaseShared(ctx, "pool"); err != nil {
			t.Error(err)
		}
		if err := a.ReleaseShared(ctx, "pool"); !errors.Is(err, client.ErrNotHeld) {
			t.Errorf("ReleaseShared of a lock not held: %v", err)
		}
		if n, err := a.InspectShared(ctx, "pool"); err != nil || n != 1 {
			t.Errorf("InspectShared = %d, %v", n, err)
		}
		if n, err := a.InspectShared(ctx, "free"); err != nil || n != 0 {
			t.Errorf("InspectShared of a free lock = %d, %v", n, err)
		}
	})
}

func TestDumpsShowLocksAndHolders(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, ctx := dial(t, address), dial(t, address), t.Context()
		me, err := a.Name(ctx)
		if err != nil || me.Name != me.Address || me.Address == "" {
			t.Fatalf("Name of a nameless connection = %+v, %v", me, err)
		}
		if err := b.SetName(ctx, "web 2"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"", "x", "a: b", "\xff\x00"} {
			if err := a.Get(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []*client.Conn{b, a} {
			if _, err := c.GetShared(ctx, "x"); err != nil {
				t.Fatal(err)
			}
		}
		who := me.Address
		shared := []client.Holding{{Lock: "x", Holder: "web 2"}, {Lock: "x", Holder: who}}
		all := []client.Holding{{Holder: who}, {Lock: "a: b", Holder: who}, {Lock: "x", Holder: who}, {Lock: "\xff\x00", Holder: who}}
		got, err := b.Dump(ctx)
		checkHoldings(t, "Dump", got, err, all)
		got, err = b.DumpLock(ctx, "a: b")
		checkHoldings(t, "DumpLock", got, err, all[1:2])
		got, err = b.DumpLock(ctx, "free")
		checkHoldings(t, "DumpLock of a free lock", got, err, nil)
		got, err = b.DumpShared(ctx)
		checkHoldings(t, "DumpShared", got, err, shared)
		got, err = b.DumpSharedLock(ctx, "x")
		checkHoldings(t, "DumpSharedLock", got, err, shared)
		got, err = b.DumpSharedLock(ctx, "a: b")
		checkHoldings(t, "DumpSharedLock of a free lock", got, err, nil)
	})
}

func checkHoldings(t *testing.T, what string, got []client.Holding, err error, want []client.Holding) {
	t.Helper()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s = %q, %v; want %q", what, got, err, want)
	}
}

func TestEmptyDumpsAreEmpty(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c, ctx := dial(t, address), t.Context()
		got, err := c.Dump(ctx)
		checkHoldings(t, "Dump", got, err, nil)
		got, err = c.DumpShared(ctx)
		checkHoldings(t, "DumpShared", got, err, nil)
		if ids, err := c.Clients(ctx); err != nil || len(ids) != 0 {
			t.Errorf("Clients = %q, %v", ids, err)
		}
	})
}

func TestClientsHaveNames(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, ctx := dial(t, address), dial(t, address), t.Context()
		if err := errors.Join(b.SetName(ctx, "web: 2"), a.SetName(ctx, "web 1")); err != nil {
			t.Fatal(err)
		}
		idA, err := a.Name(ctx)
		if err != nil || idA.Name != "web 1" {
			t.Errorf("Name = %+v, %v", idA, err)
		}
		idB, err := b.Name(ctx)
		if err != nil || idB.Name != "web: 2" || idB.Address == idA.Address {
			t.Errorf("Name = %+v, %v", idB, err)
		}
		if ids, err := a.Clients(ctx); err != nil || !slices.Equal(ids, []client.Identity{idB, idA}) {
			t.Errorf("Clients = %q, %v", ids, err)
		}
		if ids, err := a.ClientsNamed(ctx, "web: 2"); err != nil || !slices.Equal(ids, []client.Identity{idB}) {
			t.Errorf("ClientsNamed = %q, %v", ids, err)
		}
		if ids, err := a.ClientsNamed(ctx, "web"); err != nil || len(ids) != 0 {
			t.Errorf("ClientsNamed of nobody = %q, %v", ids, err)
		}
		if err := b.SetName(ctx, ""); err != nil {
			t.Error(err)
		}
		if ids, err := a.Clients(ctx); err != nil || !slices.Equal(ids, []client.Identity{idA}) {
			t.Errorf("Clients after one took its name back = %q, %v", ids, err)
		}
	})
}

func TestStatsCount(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		c, ctx := dial(t, address), t.Context()
		if err := errors.Join(c.Get(ctx, "a"), c.Get(ctx, "b")); err != nil {
			t.Fatal(err)
		}
		stats, err := c.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]uint64{"locks": 2, "command_g": 2, "connections": 1, "command_q": 1, "orphans": 0}
		for key, n := range want {
			if got, ok := stats[key]; !ok || got != n {
				t.Errorf("%s = %d, %t; want %d", key, got, ok, n)
			}
		}
		if len(stats) != 16 {
			t.Errorf("%d counters: %q", len(stats), slices.Sorted(maps.Keys(stats)))
		}
	})
}

func TestNamesThatWouldArriveAsOthersAreNotSent(t *testing.T) {
	c, ctx := dial(t, listen(t, embedded.Options{})[0]), t.Context()
	before, err := c.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a\nb", "\n", "a\n", " a", "a ", "a  b", "a\tb", "\t", "a\r", "a\rb", "\va", "a\f b", " "} {
		calls := map[string]func() error{
			"Get":            func() error { return c.Get(ctx, name) },
			"Release":        func() error { return c.Release(ctx, name) },
			"Inspect":        func() error { _, err := c.Inspect(ctx, name); return err },
			"GetShared":      func() error { _, err := c.GetShared(ctx, name); return err },
			"ReleaseShared":  func() error { return c.ReleaseShared(ctx, name) },
			"InspectShared":  func() error { _, err := c.InspectShared(ctx, name); return err },
			"DumpLock":       func() error { _, err := c.DumpLock(ctx, name); return err },
			"DumpSharedLock": func() error { _, err := c.DumpSharedLock(ctx, name); return err },
			"SetName":        func() error { return c.SetName(ctx, name) },
			"ClientsNamed":   func() error { _, err := c.ClientsNamed(ctx, name); return err },
		}
		for what, call := range calls {
			if err := call(); !errors.Is(err, client.ErrName) {
				t.Errorf("%s(%q): %v", what, name, err)
			}
		}
	}
	after, err := c.Stats(ctx)
	before["command_q"]++
	before["command_i"]++ // the fence behind q
	if err != nil || !maps.Equal(before, after) {
		t.Errorf("the server has heard of it: %v became %v, %v", before, after, err)
	}
}

func TestOneListingOfTheEmptyNameIsRefusedNotAllListed(t *testing.T) {
	c, ctx := dial(t, listen(t, embedded.Options{})[0]), t.Context()
	if err := c.Get(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	_, err1 := c.DumpLock(ctx, "")
	_, err2 := c.DumpSharedLock(ctx, "")
	_, err3 := c.ClientsNamed(ctx, "")
	for i, err := range []error{err1, err2, err3} {
		if !errors.Is(err, client.ErrName) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestANameIsRefusedOrLockedAsItIs(t *testing.T) {
	c, ctx := dial(t, listen(t, embedded.Options{})[0]), t.Context()
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOfN(rapid.SampledFrom([]byte("ab: \t\r\n\v\f\x00\x85\xa0\xff")), 0, 6).Draw(t, "name"))
		err := c.Get(ctx, name)
		if errors.Is(err, client.ErrName) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Dump(ctx)
		if err != nil || len(got) != 1 || got[0].Lock != name {
			t.Fatalf("Get(%q) locked %q, %v", name, got, err)
		}
		if err := c.Release(ctx, name); err != nil {
			t.Fatal(err)
		}
	})
}

func TestALineTooLongForTheServerIsAnErrorAndTheConnectionGoesOn(t *testing.T) {
	c := dialWith(t, listen(t, embedded.Options{})[0], client.Options{QuietTime: 10 * time.Millisecond})
	ctx := t.Context()
	if err := c.Get(ctx, strings.Repeat("x", 65534)); err != nil {
		t.Errorf("the longest name: %.200v", err)
	}
	if err := c.Get(ctx, strings.Repeat("x", 65535)); !errors.Is(err, client.ErrUnsupported) {
		t.Errorf("a name too long: %.200v", err)
	}
	if err := c.Get(ctx, "b"); err != nil {
		t.Error(err)
	}
}

func TestFeaturesThatAreOffAreErrors(t *testing.T) {
	c := dial(t, listen(t, embedded.Options{DisableDump: true, DisableRegistry: true})[0])
	ctx := t.Context()
	_, dump := c.Dump(ctx)
	_, dumpLock := c.DumpLock(ctx, "x")
	_, dumpShared := c.DumpShared(ctx)
	_, clients := c.Clients(ctx)
	for what, err := range map[string]error{
		"Dump": dump, "DumpLock": dumpLock, "DumpShared": dumpShared, "Clients": clients, "SetName": c.SetName(ctx, "x"),
	} {
		var reply *client.ReplyError
		if !errors.Is(err, client.ErrDisabled) || !errors.As(err, &reply) || reply.Reply != "0 disabled" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.Get(ctx, "x"); err != nil {
		t.Error(err)
	}
}

func TestLongListingsAreComplete(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		const n = 3000 // each is a round trip
		c, ctx := dial(t, address), t.Context()
		for i := range n {
			if _, err := c.GetShared(ctx, strings.Repeat("y", i%500)+string(rune('a'+i%26))+string(rune('α'+i/26))); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.DumpShared(ctx); err != nil || len(got) != n {
			t.Errorf("%d locks listed, %v; want %d", len(got), err, n)
		}
	})
}
