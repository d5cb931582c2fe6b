package server_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockd/internal/server"
)

func TestAppliedSettingsHoldFromTheNextBatchOn(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		c := s.connect(transport)
		c.ask("d", "")
		c.ask("g foo", "1 Lock Get Success: foo\n")
		s.change(func(set *server.Settings) { set.Dump = false })
		c.ask("d", "0 disabled\n")
		s.change(func(set *server.Settings) { set.Dump = true })
		c.ask("d", "foo: "+c.addr+"\n")
		s.change(func(set *server.Settings) { set.Registry = false })
		c.ask("iam x", "0 disabled\n")
		s.change(func(set *server.Settings) { set.LineBytes = 8 })
		c.send("i 0123456789\n")
		c.ask("i x", "0 Lock Not Locked: x\n")
		c.leave()
	})
}

func TestKeepaliveIsSetOnEveryConnection(t *testing.T) {
	s := start(t)
	for _, k := range []server.Keepalive{
		server.DefaultSettings().Keepalive,
		{Idle: 7 * time.Second, Interval: 3 * time.Second, Count: 9, UserTimeout: 1234 * time.Millisecond},
	} {
		s.change(func(set *server.Settings) { set.Keepalive = k })
		for _, transport := range []string{"tcp4", "tcp6", "ws"} {
			c := s.connect(transport)
			c.ask("i x", "0 Lock Not Locked: x\n")
			for _, option := range []struct {
				name                string
				level, option, want int
			}{
				{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
				{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(k.Idle.Seconds())},
				{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(k.Interval.Seconds())},
				{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, k.Count},
				{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(k.UserTimeout.Milliseconds())},
				{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
				{"SO_PROTOCOL", unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_TCP}, // not MPTCP
			} {
				got, err := s.SocketOption(c.addr, option.level, option.option)
				if err != nil || got != option.want {
					t.Errorf("%s: %s is %d, %v; want %d", transport, option.name, got, err, option.want)
				}
			}
			c.leave()
		}
	}
	if n := s.logs.count("keepalive not set"); n != 0 {
		t.Errorf("%d warnings about keepalive", n)
	}
}

func TestInfoTellsOfTheKeepaliveThatTheConnectionHas(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		c := s.connect(transport)
		c.ask("i x", "0 Lock Not Locked: x\n") // it is accepted
		s.change(func(set *server.Settings) { set.Keepalive.UserTimeout = time.Minute })
		later := s.connect(transport)
		for _, of := range []struct {
			client *client
			want   string
		}{{c, "dead_peer_seconds: 20\n"}, {later, "dead_peer_seconds: 60\n"}} {
			of.client.send("info\n")
			of.client.line() // the address
			of.client.want(of.want)
		}
	})
}
