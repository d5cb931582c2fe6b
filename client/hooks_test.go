package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockd/client"
)

// hooks notes what a connection tells.
type hooks struct {
	mu   sync.Mutex
	told []string
}

func (h *hooks) note(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, what)
}

func (h *hooks) options(dial func(context.Context, string, string) (net.Conn, error)) client.Options {
	kind := func(err error) string {
		for _, e := range []error{client.ErrUnreachable, client.ErrDisconnected, client.ErrClosed} {
			if errors.Is(err, e) {
				return e.Error()
			}
		}
		return fmt.Sprint(err)
	}
	return client.Options{
		Dial:         dial,
		OnConnect:    func() { h.note("connect") },
		OnError:      func(err error) { h.note("error: " + kind(err)) },
		OnDisconnect: func(err error) { h.note("disconnect: " + kind(err)) },
	}
}

func TestHooksTellOfTheConnection(t *testing.T) {
	refused := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	dies := script(func(string) (string, bool) { return "", false })
	for _, tt := range []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
		use  func(*client.Conn, context.Context)
		want []string
	}{
		{"closed", script(silent).dial, func(*client.Conn, context.Context) {}, []string{"connect", "disconnect: <nil>"}},
		{
			"lost", dies.dial, func(c *client.Conn, ctx context.Context) { c.Get(ctx, "x") },
			[]string{"connect", "error: connection lost", "disconnect: connection lost"},
		},
		{"unreachable", refused, func(*client.Conn, context.Context) {}, []string{"error: server unreachable"}},
		{"closed while connecting", never, func(*client.Conn, context.Context) {}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h hooks
				c, err := client.Open("", h.options(tt.dial))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				tt.use(c, t.Context())
				c.Close()
				if !slices.Equal(h.told, tt.want) {
					t.Errorf("told %q, want %q", h.told, tt.want)
				}
			})
		})
	}
}

func TestHooksAreCalledOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hooks
		o := h.options(script(func(string) (string, bool) { return "", false }).dial)
		o.OnConnect = func() {
			time.Sleep(time.Second)
			h.note("connect")
		}
		c := dialWith(t, "", o)
		if err := c.Get(t.Context(), "x"); !errors.Is(err, client.ErrDisconnected) {
			t.Errorf("Get: %v", err)
		}
		c.Close()
		if want := []string{"connect", "error: connection lost", "disconnect: connection lost"}; !slices.Equal(h.told, want) {
			t.Errorf("told %q", h.told)
		}
	})
}

func TestHooksMayCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *client.Conn
		var onConnect, onDisconnect error
		known := make(chan struct{})
		c, err := client.Open("", client.Options{
			Dial: oldServer{answers: answers}.script().dial,
			OnConnect: func() {
				<-known
				onConnect = c.Get(t.Context(), "x")
			},
			OnDisconnect: func(error) { onDisconnect = c.Get(t.Context(), "x") },
		})
		if err != nil {
			t.Fatal(err)
		}
		close(known)
		synctest.Wait()
		c.Close()
		if onConnect != nil || !errors.Is(onDisconnect, client.ErrClosed) {
			t.Errorf("%v, %v", onConnect, onDisconnect)
		}
	})
}
