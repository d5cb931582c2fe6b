package server_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"lockd/internal/server"
)

// wantCounters wants q and Stats to show these, and all other commands to be 0.
func (s *service) wantCounters(q map[string]uint64, want map[string]uint64) {
	s.Helper()
	for key, n := range q {
		if strings.HasPrefix(key, "command_") && n != want[key] || key == "invalid_commands" && n != want[key] {
			s.Fatalf("q has %s: %d, want %d", key, n, want[key])
		}
	}
	st := s.Stats()
	for _, c := range st.Commands {
		if n := want["command_"+c.Name]; c.Value != n {
			s.Fatalf("Stats has command %s: %d, want %d", c.Name, c.Value, n)
		}
	}
	for key, n := range map[string]uint64{
		"invalid_commands": st.InvalidCommands, "connections": st.Connections(),
		"locks": st.Locks.Exclusive.Locks, "orphans": st.Locks.Exclusive.Orphans,
		"shared_locks": st.Locks.Shared.Locks, "shared_orphans": st.Locks.Shared.Orphans,
	} {
		if q[key] != n {
			s.Fatalf("%s is %d by q and %d by Stats", key, q[key], n)
		}
	}
}

func TestCountersEqualWhatWasSent(t *testing.T) {
	s := start(t)
	times := map[string]int{ // per client and round
		"g a": 3, "r a": 2, "i a": 5, "sg b": 4, "sr b": 1, "si b": 6, "d": 1, "sd": 2, "dump": 1, "dump shared": 1,
		"me": 2, "iam x": 1, "who": 1, "nothing": 7, "": 3, " \t": 2,
	}
	var round strings.Builder
	for line, n := range times {
		round.WriteString(strings.Repeat(line+"\n", n))
	}
	const clients, rounds = 24, 20
	var all sync.WaitGroup
	for i := range clients {
		c := s.connect(everyTransport[i%len(everyTransport)])
		all.Go(func() {
			for range rounds {
				c.write(round.String())
			}
			c.write("i all done\n")
			for c.line() != "0 Lock Not Locked: all done\n" {
			}
			c.leave()
		})
	}
	soon(t, "all clients are done", async(all.Wait))
	q, _ := s.connect("tcp4").counters()
	const n = clients * rounds
	s.wantCounters(q, map[string]uint64{
		"command_g": 3 * n, "command_r": 2 * n, "command_i": 5*n + clients, "command_sg": 4 * n, "command_sr": n,
		"command_si": 6 * n, "command_d": n, "command_sd": 2 * n, "command_dump": 2 * n, "command_me": 2 * n,
		"command_iam": n, "command_who": n, "command_q": 1, "invalid_commands": 7 * n,
	})
	if q["connections"] != 1 || q["locks"] != 0 || q["shared_locks"] != 0 {
		t.Errorf("what is left: %v", q)
	}
}

var classicKeys = []string{
	"command_d", "command_dump", "command_g", "command_i", "command_q", "command_r", "command_sd", "command_sg",
	"command_si", "command_sr", "connections", "invalid_commands", "locks", "orphans", "shared_locks", "shared_orphans",
}

func TestKeysOfQ(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		c := s.connect(transport)
		want := slices.Clone(classicKeys)
		wantKeys := func() {
			t.Helper()
			if _, keys := c.counters(); !slices.Equal(keys, want) {
				t.Fatalf("the keys are %v, want %v", keys, want)
			}
		}
		wantKeys()
		for _, command := range []string{"who", "me", "iam"} { // by anybody
			other := s.connect(transport)
			other.send(command + "\n")
			other.leaveUnread()
			want = append(want, "command_"+command)
			slices.Sort(want)
			wantKeys()
		}
	})
}

// leaveUnread ends the connection when what was sent is answered, and drops the
// answers.
func (c *client) leaveUnread() {
	c.Helper()
	c.send("i last\n")
	for c.line() != "0 Lock Not Locked: last\n" {
	}
	c.leave()
}

func TestLocksAndOrphansOfQ(t *testing.T) {
	talkEverywhere(t, `
		A> g a
		A< 1 Lock Get Success: a
		A> sg a
		A< 1 Shared Lock Get Success: a
		A> sg b
		A< 1 Shared Lock Get Success: b
		A> sg c
		A< 1 Shared Lock Get Success: c
		B> sg c
		B< 2 Shared Lock Get Success: c
		B> q
		B<< "command_d: 0\ncommand_dump: 0\ncommand_g: 1\ncommand_i: 0\ncommand_q: 1\ncommand_r: 0\ncommand_sd: 0\ncommand_sg: 4\ncommand_si: 0\ncommand_sr: 0\nconnections: 2\ninvalid_commands: 0\nlocks: 1\norphans: 0\nshared_locks: 3\nshared_orphans: 0\n"
		A leave
		B> q
		B<< "command_d: 0\ncommand_dump: 0\ncommand_g: 1\ncommand_i: 0\ncommand_q: 2\ncommand_r: 0\ncommand_sd: 0\ncommand_sg: 4\ncommand_si: 0\ncommand_sr: 0\nconnections: 1\ninvalid_commands: 0\nlocks: 0\norphans: 1\nshared_locks: 1\nshared_orphans: 3\n"
	`)
}

func TestThreeConnectionsAreCountedAtOnce(t *testing.T) {
	for _, transport := range []string{"tcp4", "tcp6", "unix", "ws"} {
		t.Run(transport, func(t *testing.T) {
			s := start(t)
			for range 300 {
				s.askThree(transport)
			}
		})
	}
}

// askThree opens three connections, asks the last or, where that speaks no lines
// yet, another one, and closes them.
func (s *service) askThree(transport string) {
	s.Helper()
	conns := []net.Conn{s.dial(transport), s.dial(transport), s.dial(transport)}
	want := uint64(len(conns))
	c := &client{failer: s, name: transport, conn: conns[2]}
	if transport == "ws" { // bare connections, before their requests
		c.conn = s.dial("tcp4")
		conns = append(conns, c.conn)
		want++
	}
	c.resetReader()
	values, _ := c.counters()
	if values["connections"] != want {
		s.Fatalf("connections: %d, want %d", values["connections"], want)
	}
	for _, conn := range conns {
		conn.Close()
	}
	eventually(s, "the connections are gone", func() bool { return s.Stats().Connections() == 0 })
}

func TestRefusedConnectionsAreNotCounted(t *testing.T) {
	s := start(t, with(func(set *server.Settings) {
		set.Allow = func(ip netip.Addr) bool { return !ip.Is4() }
	}))
	for range 5 {
		c := s.dial("tcp4")
		(&client{failer: s, name: "refused", conn: c}).resetReader().wantEnd()
		w := s.dial("ws")
		(&client{failer: s, name: "refused", conn: w}).resetReader().wantEnd()
	}
	q, _ := s.connect("tcp6").counters()
	if q["connections"] != 1 {
		t.Errorf("connections: %d, want 1", q["connections"])
	}
	st := s.Stats()
	if n := counterOf(t, st.Refused, "allow_from"); n != 10 {
		t.Errorf("%d refused connections are counted, want 10", n)
	}
	want := []server.TransportStats{{Name: "tcp", Open: 1, Accepted: 1}, {Name: "unix"}, {Name: "websocket"}}
	if !slices.Equal(st.Transports, want) {
		t.Errorf("the transports are %v, want %v", st.Transports, want)
	}
}

func TestStatsTellsTransportsApart(t *testing.T) {
	s := start(t)
	for i, transport := range everyTransport {
		for range i + 1 {
			s.connect(transport).leave()
		}
		s.connect(transport).ask("i x", "0 Lock Not Locked: x\n")
	}
	want := []server.TransportStats{
		{Name: "tcp", Open: 2, Accepted: 5}, {Name: "unix", Open: 1, Accepted: 4}, {Name: "websocket", Open: 1, Accepted: 5},
	}
	if got := s.Stats().Transports; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the transports are %v, want %v", got, want)
	}
}

func TestProbeIsNotCounted(t *testing.T) {
	s := start(t)
	for range 3 {
		if err := s.Probe(); err != nil {
			t.Fatal(err)
		}
	}
	q, _ := s.connect("tcp4").counters()
	s.wantCounters(q, map[string]uint64{"command_q": 1})
}
