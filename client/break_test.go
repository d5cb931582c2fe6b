package client_test

import (
	"errors"
	"testing"

	"lockd/client"
	"lockd/embedded"
)

func TestBreakEndsTheConnectionsThatHoldALock(t *testing.T) {
	for i, name := range []string{"tcp", "unix", "ws"} {
		t.Run(name, func(t *testing.T) {
			address, ctx := listen(t, embedded.Options{Admin: admin})[i], t.Context()
			a, b, breaker := dial(t, address), dial(t, address), dial(t, address)
			for _, c := range []*client.Conn{a, b} {
				if _, err := c.GetShared(ctx, "pool"); err != nil {
					t.Fatal(err)
				}
			}
			x, err := a.Wait(ctx, "x", 0)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := breaker.Break(ctx, client.Exclusive, "x", x.Token+1); n != 0 || !errors.Is(err, client.ErrNotHeld) {
				t.Errorf("Break of another's token = %d, %v", n, err)
			}
			if n, err := breaker.Break(ctx, client.Shared, "x", 0); n != 0 || !errors.Is(err, client.ErrNotHeld) {
				t.Errorf("Break of a lock that nobody has = %d, %v", n, err)
			}
			if err := a.Ping(ctx); err != nil {
				t.Errorf("who was not meant: %v", err)
			}
			if n, err := breaker.Break(ctx, client.Shared, "pool", 0); n != 2 || err != nil {
				t.Errorf("Break of two = %d, %v", n, err)
			}
			<-a.Done()
			<-b.Done()
			if held, err := breaker.Inspect(ctx, "x"); held || err != nil {
				t.Errorf("what they held besides is held: %t, %v", held, err)
			}
		})
	}
}

func TestKickEndsTheConnectionOfAnAddress(t *testing.T) {
	for i, name := range []string{"tcp", "unix", "ws"} {
		t.Run(name, func(t *testing.T) {
			address, ctx := listen(t, embedded.Options{Admin: admin})[i], t.Context()
			a, b := dial(t, address), dial(t, address)
			id, err := a.Name(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := b.Kick(ctx, id.Address); n != 1 || err != nil {
				t.Errorf("Kick = %d, %v", n, err)
			}
			<-a.Done()
			if n, err := b.Kick(ctx, id.Address); n != 0 || !errors.Is(err, client.ErrNoConnection) {
				t.Errorf("Kick of who has gone = %d, %v", n, err)
			}
		})
	}
}

func TestWhoMayNotBreaksNothing(t *testing.T) {
	overEveryTransport(t, func(t *testing.T, address string) {
		a, b, ctx := dial(t, address), dial(t, address), t.Context()
		id, err := a.Name(ctx)
		if err := errors.Join(err, a.Get(ctx, "x")); err != nil {
			t.Fatal(err)
		}
		_, broken := b.Break(ctx, client.Exclusive, "x", 0)
		_, kicked := b.Kick(ctx, id.Address)
		for what, err := range map[string]error{"Break": broken, "Kick": kicked} {
			var reply *client.ReplyError
			if !errors.Is(err, client.ErrDenied) || !errors.As(err, &reply) || reply.Reply != "0 denied" {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := b.Break(ctx, client.AnyMode, "x", 0); err == nil || errors.Is(err, client.ErrDenied) {
			t.Errorf("Break of any mode: %v", err)
		}
		if err := a.Ping(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestTheServerTellsOfItself(t *testing.T) {
	for i, transport := range []string{"tcp", "unix", "websocket"} {
		address, ctx := listen(t, embedded.Options{})[i], t.Context()
		c := dial(t, address)
		me, err := c.Name(ctx)
		if err := errors.Join(err, c.Ping(ctx)); err != nil { // before the handshake
			t.Fatal(err)
		}
		info, err := c.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{"level": "2", "version": "embedded", "transport": transport, "address": me.Address} {
			if info[key] != want {
				t.Errorf("%s is %q, want %q", key, info[key], want)
			}
		}
		if err := c.Ping(ctx); err != nil {
			t.Error(err)
		}
		level, err := c.Level(ctx)
		if level != 2 || err != nil {
			t.Errorf("Level = %d, %v", level, err)
		}
	}
}
