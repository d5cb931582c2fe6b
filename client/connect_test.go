package client_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockd/client"
	"lockd/client/websocket"
	"lockd/embedded"
)

func TestAddressesAreDialledAsTheySay(t *testing.T) {
	tests := []struct{ text, network, address string }{
		{"", "tcp", "127.0.0.1:9999"},
		{"tcp://host:1", "tcp", "host:1"},
		{"tcp://host", "tcp", "host:9999"},
		{"tcp://host:1/", "tcp", "host:1"},
		{"tcp://[::1]:1", "tcp", "[::1]:1"},
		{"tcp://[::1]", "tcp", "[::1]:9999"},
		{"tcp://:1", "tcp", ":1"},
		{"host:1", "tcp", "host:1"},
		{"127.0.0.1:1", "tcp", "127.0.0.1:1"},
		{"[::1]:1", "tcp", "[::1]:1"},
		{"host", "tcp", "host:9999"},
		{"unix:///run/a.sock", "unix", "/run/a.sock"},
		{"unix:///run/a.sock?mode=0660", "unix", "/run/a.sock"},
		{"unix:///run/a%20b", "unix", "/run/a b"},
		{"ws://host:1", "ws", "host:1"},
		{"ws://host", "ws", "host:9998"},
	}
	for _, tt := range tests {
		var network, address string
		_, err := client.Dial(t.Context(), tt.text, client.Options{Dial: func(_ context.Context, n, a string) (net.Conn, error) {
			network, address = n, a
			return nil, errors.ErrUnsupported
		}})
		if !errors.Is(err, errors.ErrUnsupported) || network != tt.network || address != tt.address {
			t.Errorf("%q dials %s %q, %v; want %s %q", tt.text, network, address, err, tt.network, tt.address)
		}
	}
}

func TestAddressesThatMakeNoSenseAreErrorsAtOnce(t *testing.T) {
	for _, text := range []string{
		"http://host:1", "tcp://host:x", "tcp://host:1/path", "tcp://host:1?x=y", "unix://run/sock", "unix:///",
		"ws://user@host:1", "tcp://host:1#x", "::1:1:1", "://", "/run/lockd.sock", "unix:/run/lockd.sock",
	} {
		c, err := client.Open(text, client.Options{})
		if err == nil {
			c.Close()
			t.Errorf("%q is taken", text)
		} else if !strings.Contains(err.Error(), text) {
			t.Errorf("%q: the error does not name it: %v", text, err)
		}
	}
}

func TestAWebSocketAddressWithoutWebSocketSaysWhatIsMissing(t *testing.T) {
	_, err := client.Dial(t.Context(), "ws://127.0.0.1:1", client.Options{})
	if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), "lockd/client/websocket") {
		t.Error(err)
	}
}

// freeAddress is one where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAnUnreachableServerIsAnError(t *testing.T) {
	free := freeAddress(t)
	for _, address := range []string{free, "ws://" + free, "unix://" + t.TempDir() + "/none"} {
		o := client.Options{Dial: websocket.Dial}
		if _, err := client.Dial(t.Context(), address, o); !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("Dial: %v", err)
		}
		c, err := client.Open(address, o)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Get(t.Context(), "x"); !errors.Is(err, client.ErrUnreachable) {
				t.Errorf("Get: %v", err)
			}
		}
		c.Close()
	}
}

func TestAWebSocketOnThePortOfSomethingElseIsUnreachable(t *testing.T) {
	address := listen(t, embedded.Options{})[0] // answers HTTP with an error
	_, err := client.Dial(t.Context(), strings.Replace(address, "tcp", "ws", 1), client.Options{Dial: websocket.Dial})
	if !errors.Is(err, client.ErrUnreachable) {
		t.Error(err)
	}
}

// never is a way to a server that does not answer.
func never(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestConnectingHasALimit(t *testing.T) {
	for _, tt := range []struct{ set, want time.Duration }{{0, 5 * time.Second}, {time.Minute, time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			_, err := client.Dial(t.Context(), "", client.Options{Dial: never, ConnectTimeout: tt.set})
			if d := time.Since(start); !errors.Is(err, client.ErrUnreachable) || d != tt.want {
				t.Errorf("after %v: %v; want %v", d, err, tt.want)
			}
		})
	}
}

func TestConnectingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := client.Dial(ctx, "", client.Options{Dial: never, ConnectTimeout: -1})
		if d := time.Since(start); d != time.Hour || !errors.Is(err, client.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", d, err)
		}
	})
}
