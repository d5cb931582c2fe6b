package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"lockd/internal/server"
)

// message wants one whole message that is this text, of the kind that it must be.
func (c *client) message(text string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, got, err := c.ws.Read(ctx)
	if err != nil || string(got) != text {
		c.Fatalf("got message %s, %v; want %s", brief(string(got)), err, brief(text))
	}
	want := websocket.MessageBinary
	if utf8.ValidString(text) {
		want = websocket.MessageText
	}
	if kind != want {
		c.Fatalf("message %s came as %v", brief(text), kind)
	}
}

func TestEachReplyIsOneMessage(t *testing.T) {
	c := start(t).connect("ws")
	c.send("g foo\n\nnothing\ng bar\nsd\nd\ndump shared\nsd\ni x\nq\nme")
	c.message("1 Lock Get Success: foo\n")
	c.message("1 Lock Get Success: bar\n")
	c.message("bar: " + c.addr + "\nfoo: " + c.addr + "\n") // sd before it had none
	c.message("map[]\n")
	c.message("0 Lock Not Locked: x\n")
	c.message("command_d: 1\ncommand_dump: 1\ncommand_g: 2\ncommand_i: 1\ncommand_q: 1\ncommand_r: 0\n" +
		"command_sd: 2\ncommand_sg: 0\ncommand_si: 0\ncommand_sr: 0\nconnections: 1\ninvalid_commands: 1\n" +
		"locks: 2\norphans: 0\nshared_locks: 0\nshared_orphans: 0\n")
	c.message("1 " + c.addr + " " + c.addr + "\n")
}

func TestRepliesThatAreNotUTF8AreBinary(t *testing.T) {
	c := start(t).connect("ws")
	c.send("i \xff\ni ünï\ng \x00\ng \xc3\nd")
	c.message("0 Lock Not Locked: \xff\n")
	c.message("0 Lock Not Locked: ünï\n")
	c.message("1 Lock Get Success: \x00\n")
	c.message("1 Lock Get Success: \xc3\n")
	c.message("\x00: " + c.addr + "\n\xc3: " + c.addr + "\n")
}

func TestALongListingIsOneMessage(t *testing.T) {
	c := start(t).connect("ws")
	var commands, listing, dump, shared strings.Builder
	for i := range 10_000 {
		name := fmt.Sprintf("lock number %05d", i)
		commands.WriteString("g " + name + "\nsg " + name + "\n")
		listing.WriteString(name + ": " + c.addr + "\n")
		fmt.Fprintf(&dump, " %s:%s", name, c.addr)
		fmt.Fprintf(&shared, " %s:[%s]", name, c.addr)
	}
	sent := async(func() { c.write(commands.String()) })
	for i := range 10_000 {
		c.message(fmt.Sprintf("1 Lock Get Success: lock number %05d\n", i))
		c.message(fmt.Sprintf("1 Shared Lock Get Success: lock number %05d\n", i))
	}
	soon(t, "the message is sent", sent)
	c.send("d\nsd\ndump\ndump shared\ni end")
	c.message(listing.String())
	c.message(listing.String())
	c.message("map[" + dump.String()[1:] + "]\n")
	c.message("map[" + shared.String()[1:] + "]\n")
	c.message("0 Lock Not Locked: end\n")
}

// frame is a WebSocket frame as clients send it, masked with zeros.
func frame(first byte, payload string) string {
	switch n := len(payload); {
	case n < 126:
		return string([]byte{first, 0x80 | byte(n), 0, 0, 0, 0}) + payload
	case n < 1<<16:
		return string([]byte{first, 0x80 | 126, byte(n >> 8), byte(n), 0, 0, 0, 0}) + payload
	default:
		return string([]byte{first, 0x80 | 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 0, 0, 0, 0}) + payload
	}
}

// The first bytes of frames.
const (
	textPart, continued, lastPart = 0x01, 0x00, 0x80
	pingFrame, pongFrame          = 0x89, 0x8a
)

func (c *client) raw(frames ...string) {
	c.Helper()
	for _, f := range frames {
		if _, err := c.conn.Write([]byte(f)); err != nil {
			c.Fatalf("%v", err)
		}
	}
}

func TestFragmentsAreOneMessage(t *testing.T) {
	c := start(t).connect("ws")
	c.raw(frame(textPart, "g f"), frame(continued, ""), frame(continued, "oo\ng b"), frame(lastPart, "ar"))
	c.message("1 Lock Get Success: foo\n")
	c.message("1 Lock Get Success: bar\n")
	// A ping between the fragments is answered at once.
	c.raw(frame(textPart, "g on"), frame(pingFrame, "are you there"))
	header := make([]byte, 2+len("are you there"))
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.conn.Read(header); err != nil || string(header) != "\x8a\x0dare you there" {
		t.Fatalf("the ping is answered with %q, %v", header, err)
	}
	c.raw(frame(lastPart, "e"))
	c.message("1 Lock Get Success: one\n")
	// Byte by byte, in frames of one.
	c.raw(frame(textPart, ""))
	for _, b := range []byte(sample) {
		c.raw(frame(continued, string([]byte{b})))
	}
	c.raw(frame(lastPart, "me"))
	c.want("1 Lock Get Success: foo\n")
}

func TestALongMessageIsRunWhileItComes(t *testing.T) {
	c := start(t).connect("ws")
	const n = 40_000
	first := strings.Repeat("i foo\n", n/2)
	c.raw(frame(textPart, first))
	for range n / 2 { // the message has not ended
		c.message("0 Lock Not Locked: foo\n")
	}
	sent := async(func() { c.conn.Write([]byte(frame(lastPart, first+"i end"))) })
	for range n / 2 {
		c.message("0 Lock Not Locked: foo\n")
	}
	c.message("0 Lock Not Locked: end\n")
	soon(t, "all is sent", sent)
}

func TestPingsAreAnswered(t *testing.T) {
	c := start(t).connect("ws")
	c.ask("g foo", "1 Lock Get Success: foo\n")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reading := async(func() { c.line() }) // the library's Ping needs a reader
	for range 100 {
		if err := c.ws.Ping(ctx); err != nil {
			t.Fatal(err)
		}
	}
	c.send("i foo")
	soon(t, "the command is answered", reading)
}

func TestFramesThatAreWrongEndTheConnection(t *testing.T) {
	for name, bytes := range map[string]string{
		"unmasked":           "\x81\x05g foo",
		"reserved bits":      frame(0xf1, "g foo"),
		"unknown code":       frame(0x83, "g foo"),
		"continues nothing":  frame(lastPart, "g foo"),
		"control too long":   frame(pingFrame, strings.Repeat("x", 126)),
		"control in parts":   frame(0x09, "x"),
		"close of one byte":  frame(0x88, "x"),
		"close of bad code":  frame(0x88, "\x00\x01"),
		"fragments in a mix": frame(textPart, "i a") + frame(0x81, "g foo"),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			c := s.connect("ws")
			c.ask("g held", "1 Lock Get Success: held\n")
			c.raw(bytes)
			c.conn.SetReadDeadline(time.Now().Add(patience))
			var err error
			for buf := make([]byte, 512); err == nil; {
				_, err = c.conn.Read(buf)
			}
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Fatal("the stream does not end")
			}
			other := s.connect("tcp4")
			values, _ := other.counters()
			if values["locks"] != 0 || values["orphans"] != 1 || values["connections"] != 1 || values["command_g"] != 1 {
				t.Errorf("the counters are %v", values)
			}
		})
	}
}

// request sends a plain HTTP request and returns the answer's status.
func (s *service) request(method, path, header string) int {
	s.Helper()
	c := s.dial("ws")
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method, path, header)
	c.SetReadDeadline(time.Now().Add(patience))
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		s.Fatalf("%s %s: %v", method, path, err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

const upgradeHeader = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

func TestRequestsThatAreNoWebSocketAreRefused(t *testing.T) {
	s := start(t)
	for _, test := range []struct {
		method, path, header string
		status               int
	}{
		{"GET", "/elsewhere", "Connection: Upgrade\r\n" + upgradeHeader, http.StatusNotFound},
		{"GET", "/metrics", "", http.StatusNotFound},
		{"POST", "/lock", "Content-Length: 0\r\n", http.StatusNotFound},
		{"GET", "/", "", http.StatusUpgradeRequired},
		{"GET", "/", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", http.StatusUpgradeRequired},
		{"POST", "/", "Connection: Upgrade\r\nContent-Length: 0\r\n" + upgradeHeader, http.StatusMethodNotAllowed},
		{"GET", "/", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", http.StatusBadRequest},
	} {
		if got := s.request(test.method, test.path, test.header); got != test.status {
			t.Errorf("%s %s %q: status %d, want %d", test.method, test.path, test.header, got, test.status)
		}
	}
	eventually(t, "their connections are gone", func() bool { return s.Stats().Connections() == 0 })
}

func TestOrigins(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.Origins = []string{"app.example", "port.example:8443"} }))
	refused := uint64(0)
	for origin, allowed := range map[string]bool{
		"http://app.example": true, "https://app.example": true, "https://app.example:81": true,
		"https://port.example:8443": true, "https://port.example": false, "https://port.example:8444": false,
		"https://evil.example": false, "https://app.example.evil.example": false, "https://xapp.example": false,
		"null": false, "file://": false, "app.example": false, "://": false, "%": false,
		"http://127.0.0.1": false, "http://" + s.addresses["ws"]: false,
	} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, ws, err := dialWebSocket(ctx, s.dialer, s.addresses["ws"], http.Header{"Origin": {origin}})
		cancel()
		if (err == nil) != allowed {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			ws.CloseNow()
			continue
		}
		refused++
		if !strings.Contains(err.Error(), "status 403") {
			t.Errorf("origin %q: %v, want status 403", origin, err)
		}
	}
	if got := counterOf(t, s.Stats().Refused, "websocket_origin"); got != refused {
		t.Errorf("%d origins are counted as refused, want %d", got, refused)
	}
	s.change(func(set *server.Settings) { set.Origins = nil })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, _, err := dialWebSocket(ctx, s.dialer, s.addresses["ws"], http.Header{"Origin": {"http://app.example"}}); err == nil {
		t.Error("an origin taken from the list is still allowed")
	}
	s.connect("ws").leave() // no origin
}

// upgraded returns a bare connection with a WebSocket on it, on which sent has gone out
// with the request.
func (s *service) upgraded(sent string) *client {
	s.Helper()
	c := &client{failer: s, name: "ws", conn: s.dial("ws")}
	s.Cleanup(func() { c.conn.Close() })
	c.addr = c.conn.LocalAddr().String()
	c.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n" + upgradeHeader + "\r\n" + sent)
	c.in = bufio.NewReader(c.conn)
	c.arm()
	if answer, err := http.ReadResponse(c.in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		s.Fatalf("the upgrade is answered with %v, %v", answer, err)
	}
	return c
}

// text wants this text next, in a message of its own.
func (c *client) text(want string) {
	c.Helper()
	c.arm()
	got := make([]byte, 2+len(want))
	if _, err := io.ReadFull(c.in, got); err != nil || string(got) != "\x81"+string(rune(len(want)))+want {
		c.Fatalf("got %q, %v; want %q in a text frame", got, err, want)
	}
}

// Whoever knows that the server speaks WebSocket need not wait for it to say so.
func TestWhatIsSentWithTheRequestIsAnswered(t *testing.T) {
	s := start(t)
	c := s.upgraded(frame(textPart, "g a\ng ") + frame(lastPart, "b") + frame(textPart, "g c\nx"))
	c.text("1 Lock Get Success: a\n")
	c.text("1 Lock Get Success: b\n")
	c.text("1 Lock Get Success: c\n")
	c.raw(frame(lastPart, "") + frame(textPart|lastPart, "i c"))
	c.text("1 Lock Is Locked: c\n")
}

func TestAWebSocketAtRestHasNoGoroutine(t *testing.T) {
	s := start(t)
	s.upgraded("")
	before := runtime.NumGoroutine()
	for range 50 {
		c := s.upgraded(frame(textPart|lastPart, "i a"))
		c.text("0 Lock Not Locked: a\n")
	}
	eventually(t, "there are none", func() bool { return runtime.NumGoroutine() <= before+3 })
}

// A message is run only when it has come: of one that is cut, only the lines before
// its last.
func TestAMessageThatIsCutIsNotRun(t *testing.T) {
	for name, end := range map[string]func(c *client){
		"the connection ends": func(c *client) { c.conn.Close() },
		"a close frame":       func(c *client) { c.raw(frame(lastPart|8, "")) },
		"no frame":            func(c *client) { c.raw(frame(textPart, "g no")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			a, b := s.connect("tcp4"), s.upgraded("")
			a.ask("g a", "1 Lock Get Success: a\n")
			b.raw(frame(textPart, "g b\ng "))
			b.text("1 Lock Get Success: b\n")
			b.raw(frame(0, "cut"))
			end(b)
			eventually(t, "it is gone", func() bool { return s.Stats().Connections() == 1 })
			values, _ := a.counters()
			if values["locks"] != 1 || values["orphans"] != 1 || values["command_g"] != 2 {
				t.Errorf("the counters are %v", values)
			}
		})
	}
}

// However much stands before the wait, be it more than a loop may do at once.
func TestACloseFrameBehindAWaitEndsItUnanswered(t *testing.T) {
	s := start(t)
	s.connect("tcp4").ask("g foo", "1 Lock Get Success: foo\n")
	for _, before := range []string{"i x\n", "d nothing\n", strings.Repeat("i x\n", 300)} {
		c := s.upgraded(frame(lastPart|textPart, before+"gw -1 foo\ni y") + frame(lastPart|8, "\x03\xe8"))
		c.arm()
		all, err := io.ReadAll(c.in)
		if err != nil || !strings.HasSuffix(string(all), "\x88\x02\x03\xe8") {
			t.Errorf("behind %.12q the end is %q, %v", before, all[max(0, len(all)-50):], err)
		}
		if strings.Contains(string(all), "cancelled") || strings.Contains(string(all), ": y") {
			t.Errorf("behind %.12q the wait is answered: %q", before, all[max(0, len(all)-150):])
		}
	}
}

// Replies that are gathered are written later, when there may be no room any more.
func TestAWebSocketThatDoesNotReadHoldsUpNobody(t *testing.T) {
	s := start(t, smallKernel, backlogBytes(4096), lineBytes(1<<20), userTimeout(time.Hour))
	other := s.connect("tcp4")
	other.ask("i x", "0 Lock Not Locked: x\n")
	for _, test := range []struct {
		name int
		then string
	}{
		{30_000, strings.Repeat("me\n", 20)},
		{300_000, "i " + strings.Repeat("x", 200_000) + "\nme"},
	} {
		for range 3 {
			s.dialer.Control = smallSocket
			c := s.upgraded(frame(lastPart|textPart, "iam "+strings.Repeat("n", test.name)))
			s.dialer.Control = nil
			c.text("1 ok\n")
			c.raw(frame(lastPart|textPart, test.then)) // and reads nothing
			eventually(t, "replies wait", func() bool { return s.Backlog(c.addr) > 0 })
		}
	}
	for range 100 {
		other.ask("i x", "0 Lock Not Locked: x\n")
	}
}

// Its answer is the last of all, and there may be no room for it at once.
func TestACloseFrameIsAnsweredWhereTheClientReadsSlowly(t *testing.T) {
	s := start(t, smallKernel)
	s.dialer.Control = smallSocket
	reason := "\x03\xe8" + strings.Repeat("r", 123)
	for i := range 150 {
		c := s.upgraded("")
		c.raw(frame(lastPart|textPart, strings.Repeat("i "+strings.Repeat("x", 41)+"\n", 3000+i*7)+"i end") + frame(lastPart|8, reason))
		c.arm()
		all, err := io.ReadAll(c.in)
		if !strings.HasSuffix(string(all), "\x88\x7d"+reason) {
			t.Fatalf("%d: no close frame behind %d bytes, %v", i, len(all), err)
		}
		c.conn.Close()
	}
}
