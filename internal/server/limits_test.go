package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// bare returns a client of a bare connection.
func (s *service) bare(transport string) *client {
	s.Helper()
	return (&client{failer: s, name: "bare " + transport, conn: s.dial(transport)}).resetReader()
}

func TestConnectionsOverTheLimitAreClosed(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, with(func(set *server.Settings) { set.MaxConnections = 3 }))
		var there []*client
		for _, transport := range []string{"tcp4", "unix", "ws"} {
			c := s.connect(transport)
			c.ask("i x", "0 Lock Not Locked: x\n")
			there = append(there, c)
		}
		s.bare(transport).wantEnd()
		s.bare(transport).wantEnd()
		if n := counterOf(t, s.Stats().Refused, "connections"); n != 2 {
			t.Errorf("%d connections are counted as refused, want 2", n)
		}
		for _, c := range there { // nothing happened to them
			c.ask("i x", "0 Lock Not Locked: x\n")
		}
		there[0].leave()
		if transport == "unix" {
			s.unixPeers -= 2 // the refused ones have no number
		}
		s.connect(transport).ask("i x", "0 Lock Not Locked: x\n")
		s.change(func(set *server.Settings) { set.MaxConnections = 4 })
		s.connect("tcp6").ask("i x", "0 Lock Not Locked: x\n")
		s.bare("tcp6").wantEnd()
	})
}

func TestRefusedUnixClientsTakeNoNumber(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.MaxConnections = 1 }))
	first := s.connect("unix")
	first.ask("me", "1 unix:1 unix:1\n")
	s.bare("unix").wantEnd()
	first.leave()
	s.bare("unix").ask("me", "1 unix:2 unix:2\n")
}

func TestConnectionsPerIP(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.MaxConnectionsPerIP = 2 }))
	first, second := s.connect("tcp4"), s.connect("ws") // of one address
	first.ask("i x", "0 Lock Not Locked: x\n")
	s.bare("tcp4").wantEnd()
	s.bare("ws").wantEnd()
	if n := counterOf(t, s.Stats().Refused, "connections_per_ip"); n != 2 {
		t.Errorf("%d connections are counted as refused, want 2", n)
	}
	for range 2 { // another address has its own
		s.connectFrom("127.0.0.2:0").ask("i x", "0 Lock Not Locked: x\n")
		s.connect("tcp6").ask("i x", "0 Lock Not Locked: x\n")
	}
	s.bare("tcp6").wantEnd()
	for range 5 { // Unix sockets have none
		s.connect("unix").ask("i x", "0 Lock Not Locked: x\n")
	}
	second.leave()
	s.connect("tcp4").ask("i x", "0 Lock Not Locked: x\n")
	s.change(func(set *server.Settings) { set.MaxConnectionsPerIP = 0 })
	s.connect("tcp4").ask("i x", "0 Lock Not Locked: x\n")
	first.ask("i x", "0 Lock Not Locked: x\n")
}

func TestAllowIsAskedForEachAddress(t *testing.T) {
	s := start(t, with(func(set *server.Settings) {
		set.Allow = func(ip netip.Addr) bool { return ip.IsLoopback() && ip != netip.MustParseAddr("127.0.0.2") }
	}))
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for _, transport := range []string{"tcp4", "ws"} {
		conn, err := dialer.Dial("tcp", s.addresses[transport])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		(&client{failer: t, name: "127.0.0.2", conn: conn}).resetReader().wantEnd()
	}
	for _, transport := range everyTransport {
		s.connect(transport).ask("i x", "0 Lock Not Locked: x\n")
	}
	s.change(func(set *server.Settings) { set.Allow = func(netip.Addr) bool { return false } })
	s.bare("tcp4").wantEnd()
	s.bare("tcp6").wantEnd()
	s.connect("unix").ask("i x", "0 Lock Not Locked: x\n") // always passes
	if n := counterOf(t, s.Stats().Refused, "allow_from"); n != 4 {
		t.Errorf("%d connections are counted as refused, want 4", n)
	}
	eventually(t, "each is logged", func() bool { return s.logs.count("connection refused") == 4 })
}

func TestRefusalsAreLoggedAtABoundedRate(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.MaxConnections = 1 }))
	s.connect("unix").ask("i x", "0 Lock Not Locked: x\n")
	for range 200 {
		s.bare("tcp4").wantEnd()
	}
	if n := s.logs.count("connection refused"); n < 1 || n > 10 {
		t.Errorf("%d of 200 refusals are logged", n)
	}
}

func TestLocksPerConnection(t *testing.T) {
	talkEverywhere(t, `
		A> g a
		A< 1 Lock Get Success: a
		A> sg b
		A< 1 Shared Lock Get Success: b
		A> g c
		A< 0 Lock Get Failure: c
		A> sg c
		A< 0 Shared Lock Get Failure: c
		A> g a
		A< 1 Lock Get Success: a
		B> sg b
		B< 2 Shared Lock Get Success: b
		B> g c
		B< 1 Lock Get Success: c
		B> sg a
		B< 0 Shared Lock Get Failure: a
		A> sr b
		A< 1 Shared Lock Release Success: b
		A> g c
		A< 0 Lock Get Failure: c
		A> g d
		A< 1 Lock Get Success: d
	`, limited(locks.Limits{SessionHolds: 2}))
}

func TestFailuresOfLimitsAreCountedByReason(t *testing.T) {
	s := start(t, limited(locks.Limits{SessionHolds: 2}))
	c := s.connect("tcp4")
	other := s.connect("tcp4")
	other.ask("g held", "1 Lock Get Success: held\n")
	c.send("g a\ng held\ng b\ng held\ng c\nsg c\ng d\n")
	c.want("1 Lock Get Success: a\n0 Lock Get Failure: held\n1 Lock Get Success: b\n0 Lock Get Failure: held\n" +
		"0 Lock Get Failure: c\n0 Shared Lock Get Failure: c\n0 Lock Get Failure: d\n")
	s.table.SetLimits(locks.Limits{Bytes: 1})
	c.send("g c\nsg c\n")
	c.want("0 Lock Get Failure: c\n0 Shared Lock Get Failure: c\n")
	limited := s.Stats().Limited
	if n := counterOf(t, limited, "locks_per_connection"); n != 3 {
		t.Errorf("locks_per_connection: %d, want 3", n)
	}
	if n := counterOf(t, limited, "table_bytes"); n != 2 {
		t.Errorf("table_bytes: %d, want 2", n)
	}
}

func TestTheTableIsFullAndThenNot(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, limited(locks.Limits{Bytes: 64 << 10}))
		c := s.connect(transport)
		taken := 0
		for {
			c.send(fmt.Sprintf("g n%d\n", taken))
			if line := c.line(); line == fmt.Sprintf("0 Lock Get Failure: n%d\n", taken) {
				break
			}
			taken++
		}
		if taken < 100 || taken > 64<<10 {
			t.Fatalf("%d locks fit", taken)
		}
		other := s.connect(transport)
		other.ask("sg x", "0 Shared Lock Get Failure: x\n")
		other.ask("r n1", "0 Lock Release Failure: n1\n")
		c.ask("r n1", "1 Lock Release Success: n1\n")
		other.ask("g n1", "1 Lock Get Success: n1\n")
		other.ask("g x", "0 Lock Get Failure: x\n")
		for _, name := range []string{"n2", "n3", "n4"} { // a shared lock is larger
			c.ask("r "+name, "1 Lock Release Success: "+name+"\n")
		}
		other.ask("sg x", "1 Shared Lock Get Success: x\n")
	})
}

// fill puts n locks of each mode with long names into the table, held by nobody
// who is connected, and returns their listing by d and sd.
func (s *service) fill(n int) (listing string) {
	holder := locks.NewSession("nobody", nil)
	s.Cleanup(func() { s.table.Leave(holder, 0) })
	var text strings.Builder
	for i := range n {
		name := fmt.Appendf(nil, "%06d %s", i, bytes.Repeat([]byte("x"), 90))
		s.table.Get(holder, locks.Request{Mode: locks.Exclusive, Name: name})
		s.table.Get(holder, locks.Request{Mode: locks.Shared, Name: name})
		fmt.Fprintf(&text, "%s: nobody\n", name)
	}
	return text.String()
}

func TestListingsTakeTurnsForTheirMemory(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.SnapshotBytes, set.ReplyBacklogBytes = 1, 1<<10 }))
	listing := s.fill(20_000)
	// A Unix socket, as the kernel takes little of it.
	first, second := s.connect("unix"), s.connect("unix")
	first.send("d\n") // larger than the budget, and goes
	first.want(listing[:100])
	second.send("sd\n")
	second.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := second.conn.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("the second listing did not wait for the first")
	}
	// Nobody else waits.
	third := s.connect("tcp4")
	third.ask("g foo", "1 Lock Get Success: foo\n")
	third.ask("d foo", "foo: "+third.addr+"\n")
	third.ask("r foo", "1 Lock Release Success: foo\n")
	first.want(listing[100:])
	second.want(listing)
	first.ask("sd", listing)
	// A budget that fits both, again.
	first.send("d\n")
	first.want(listing[:100])
	s.change(func(set *server.Settings) { set.SnapshotBytes = 1 << 30 })
	second.ask("sd", listing)
	first.want(listing[100:])
}

// A client that takes a little of its listing now and then is never given up for
// itself, but it must not keep others from theirs, who wait holding locks.
func TestASlowListingEndsWhenOthersWaitForItsMemory(t *testing.T) {
	s := start(t, smallKernel, userTimeout(500*time.Millisecond),
		with(func(set *server.Settings) { set.SnapshotBytes, set.ReplyBacklogBytes = 1, 1<<10 }))
	listing := s.fill(20_000)
	slow, other := s.connect("unix"), s.connect("unix")
	slow.send("d\n")
	slow.want(listing[:100])
	stop := make(chan struct{})
	reading := async(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if _, err := slow.conn.Read(make([]byte, 512)); err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	})
	other.ask("sd", listing)
	close(stop)
	<-reading
}

// Names may be as long as lines: who is a listing like the others.
func TestWhoKeepsToTheBacklog(t *testing.T) {
	const limit = 256 << 10
	s := start(t, smallKernel, backlogBytes(limit))
	name := strings.Repeat("n", 60_000)
	asks := s.connect("tcp4")
	for range 100 {
		s.connect("unix").ask("iam "+name, "1 ok\n")
	}
	asks.send("who\n")
	eventually(t, "the backlog is full", func() bool { return s.Backlog(asks.addr) >= limit })
	if n := s.Backlog(asks.addr); n > limit+256<<10 {
		t.Errorf("%d bytes wait, the limit is %d", n, limit)
	}
	for i := range 100 {
		asks.want(fmt.Sprintf("unix:%d: %s\n", i+1, name))
	}
}

func TestAWaitingListingEndsWithDestroy(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.SnapshotBytes, set.ReplyBacklogBytes = 1, 1<<10 }))
	listing := s.fill(20_000)
	first, second := s.connect("unix"), s.connect("unix")
	first.send("d\n")
	first.want(listing[:100])
	second.send("d\n")
	eventually(t, "the second has been read", func() bool { return counterOf(t, s.Stats().Commands, "d") == 2 })
	soon(t, "the server is destroyed", async(s.Destroy))
	second.wantEnd()
}

const metricsURL = "http://metrics.example:9996/metrics"

// httpAnswer wants an HTTP refusal next, and then the end.
func (c *client) httpAnswer() {
	c.Helper()
	c.arm()
	all, err := io.ReadAll(c.in)
	answer := string(all)
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 400 Bad Request\r\n") || !strings.Contains(answer, metricsURL) ||
		strings.Count(answer, "HTTP/1.1 ") != 1 {
		c.Fatalf("the answer is %q, %v", answer, err)
	}
}

// No limit on connections counts those who were refused, and they have descriptors.
func TestFewRefusedClientsHaveAMomentToGo(t *testing.T) {
	const lingering, more = 4, 40
	s := start(t, with(func(set *server.Settings) { set.MaxConnections = 4 }))
	before := openFiles(t)
	for range lingering + more {
		c, err := net.Dial("tcp", s.addresses["tcp4"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(c, "GET / HTTP/1.1\r\n") // and is not over
		if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	const closing = 4 // are seen closed a moment before they are
	if n := openFiles(t) - before - (lingering + more); n > lingering+closing {
		t.Errorf("the server has %d descriptors of refused clients", n)
	}
	eventually(t, "all are closed", func() bool { return openFiles(t) <= before+lingering+more })
}

// openFiles returns how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestHTTPAtALockPortIsRefused(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, request := range map[string]string{
		"GET":          "GET / HTTP/1.1\r\nHost: localhost:9999\r\n\r\n",
		"1.0, no CR":   "GET /metrics HTTP/1.0\ng foo\n",
		"POST":         "POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\ng foo\n",
		"WebSocket":    "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\ng foo\n",
		"OPTIONS":      "OPTIONS * HTTP/1.1\r\n\r\ng foo\r\n",
		"absolute":     "GET http://127.0.0.1:9999/ HTTP/1.1\r\n\r\ng foo\r\n",
		"odd method":   "X-LOCK / HTTP/1.1\ng foo\n",
		"too long":     "GET /" + long + " HTTP/1.1\r\n\r\ng foo\n",
		"too long, no": "POST /" + long,
		"much body":    "POST / HTTP/1.1\r\n\r\n" + strings.Repeat("g foo\n", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			forEachStream(t, func(t *testing.T, transport string) {
				s := start(t, with(func(set *server.Settings) { set.MetricsURL = metricsURL }))
				c := s.connect(transport)
				c.write(request)
				c.httpAnswer()
				c.conn.Close()
				s.wantHTTPRefused(1)
			})
		})
	}
}

// wantHTTPRefused wants so many to have been refused and nothing to have run.
func (s *service) wantHTTPRefused(n uint64) {
	s.Helper()
	if got := counterOf(s, s.Stats().Refused, "http_request"); got != n {
		s.Fatalf("%d HTTP requests are counted as refused, want %d", got, n)
	}
	q, _ := s.connect("tcp4").counters()
	s.wantCountersIgnoringConnections(q)
}

func (s *service) wantCountersIgnoringConnections(q map[string]uint64) {
	s.Helper()
	for key, n := range q {
		if n != 0 && key != "command_q" && key != "connections" {
			s.Fatalf("%s is %d", key, n)
		}
	}
}

func TestHTTPWithoutLFIsRefusedAtHalfClose(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t, with(func(set *server.Settings) { set.MetricsURL = metricsURL }))
		c := s.connect(transport)
		c.send("GET / HTTP/1.1")
		c.halfClose()
		c.httpAnswer()
		s.wantHTTPRefused(1)
	})
}

func TestHTTPByteByByteIsRefused(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t, with(func(set *server.Settings) { set.MetricsURL = metricsURL }))
		c := s.connect(transport)
		for _, b := range []byte("PUT /x HTTP/1.1\r") {
			c.send(string([]byte{b}))
			s.readBy(c)
		}
		c.send("\ng foo\n")
		c.httpAnswer()
		s.wantHTTPRefused(1)
	})
}

func TestOnlyAFirstLineIsHTTP(t *testing.T) {
	talkOverStreams(t, `
		A> i foo
		A> GET / HTTP/1.1
		A< 0 Lock Not Locked: foo
		A> i bar
		A< 0 Lock Not Locked: bar
		# these are no request lines
		B> GET /
		B> i b
		B< 0 Lock Not Locked: b
		C> get / HTTP/1.1
		C> i c
		C< 0 Lock Not Locked: c
		D> GET / HTTP/2.0
		D> i d
		D< 0 Lock Not Locked: d
		E> g / HTTP/1.1
		E< 1 Lock Get Success: / HTTP/1.1
		F> GET / / HTTP/1.1
		F> i f
		F< 0 Lock Not Locked: f
		G> GET  HTTP/1.1
		G> i g
		G< 0 Lock Not Locked: g
	`)
}

func TestAWebSocketMaySayHTTP(t *testing.T) {
	start(t).talk(`
		A> GET / HTTP/1.1
		A> i foo
		A< 0 Lock Not Locked: foo
	`, "ws")
}

// docs/protocol.md, "Connections": connections falls, only then the stream ends.
func TestARefusedHTTPClientIsUncountedBeforeItsStreamEnds(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t, with(func(set *server.Settings) { set.MetricsURL = metricsURL }))
		c := s.connect(transport)
		c.send("GET / HTTP/1.1\r\n\r\n")
		c.httpAnswer()
		if n := s.Stats().Connections(); n != 0 {
			t.Fatalf("its stream has ended, and %d connections are counted", n)
		}
	})
}
