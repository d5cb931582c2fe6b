package websocket_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	ws "github.com/coder/websocket"
	"go.uber.org/goleak"

	"lockd/client/websocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen serves WebSockets, each with f, and returns the HOST:PORT.
func listen(t *testing.T, f func(*ws.Conn)) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := ws.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		f(c)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestAStreamIsReadFromMessagesAndEndsWhenThePeerLeaves(t *testing.T) {
	const long = 1 << 17 // more than the library's limit
	for name, leave := range map[string]func(*ws.Conn){
		"politely":       func(c *ws.Conn) { c.Close(ws.StatusGoingAway, "bye") },
		"without a word": func(c *ws.Conn) { c.CloseNow() },
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, func(c *ws.Conn) {
				for _, m := range []string{"a", "", "b\n", strings.Repeat("x", long)} {
					if err := c.Write(t.Context(), ws.MessageText, []byte(m)); err != nil {
						t.Error(err)
					}
				}
				if err := c.Write(t.Context(), ws.MessageBinary, []byte("\xff")); err != nil {
					t.Error(err)
				}
				leave(c)
			})
			conn, err := websocket.Dial(t.Context(), "ws", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got, err := io.ReadAll(conn)
			if want := "ab\n" + strings.Repeat("x", long) + "\xff"; err != nil || string(got) != want {
				t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

func TestEveryWriteIsAMessageOfItsKind(t *testing.T) {
	type message struct {
		kind ws.MessageType
		text string
	}
	got := make(chan message)
	address := listen(t, func(c *ws.Conn) {
		for range 2 {
			kind, p, err := c.Read(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- message{kind, string(p)}
		}
	})
	conn, err := websocket.Dial(t.Context(), "ws", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, want := range []message{{ws.MessageText, "g ä\n"}, {ws.MessageBinary, "g \xff\n"}} {
		if n, err := conn.Write([]byte(want.text)); err != nil || n != len(want.text) {
			t.Fatalf("Write = %d, %v", n, err)
		}
		if m := <-got; m != want {
			t.Errorf("sent %q as %v", m.text, m.kind)
		}
	}
}

func TestADeadlineEndsARead(t *testing.T) {
	end := make(chan struct{})
	address := listen(t, func(*ws.Conn) { <-end })
	defer close(end)
	conn, err := websocket.Dial(t.Context(), "ws", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestWhatIsNoWebSocketIsAnError(t *testing.T) {
	for name, handler := range map[string]http.Handler{
		"not found": http.NotFoundHandler(),
		"moved":     http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound),
	} {
		srv := httptest.NewServer(handler)
		conn, err := websocket.Dial(t.Context(), "ws", strings.TrimPrefix(srv.URL, "http://"))
		if err == nil {
			conn.Close()
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "127.0.0.1:1:") {
			t.Errorf("%s: the redirect was followed: %v", name, err)
		}
		srv.Close()
	}
}
