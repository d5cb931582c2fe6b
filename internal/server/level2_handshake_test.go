package server_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockd/internal/server"
)

func TestHandshake(t *testing.T) {
	talkEverywhere(t, `
		A> me lockd/2
		A< 2 {A} {A}
		# plain me answers 1 and changes nothing
		A> me
		A< 1 {A} {A}
		A> xyzzy
		A< 0 unknown command: xyzzy
		A> iam alpha
		A< 1 ok
		A> me lockd/99
		A< 2 {A} alpha
		A> me  lockd/2147483647 
		A< 2 {A} alpha
		# and back
		A> me lockd/1
		A< 1 {A} alpha
		A> xyzzy
		A> me
		A< 1 {A} alpha
		# each connection has its own level
		B> xyzzy
		B> me lockd/2
		B< 2 {B} {B}
		B> xyzzy
		B< 0 unknown command: xyzzy
		A> xyzzy
		A> i foo
		A< 0 Lock Not Locked: foo
	`)
}

func TestWhatIsNoHandshakeIsPlainMe(t *testing.T) {
	for _, no := range []string{
		"", "lockd/0", "lockd/x", "lockd/", "lockd", "lockd/-2", "lockd/+2", "lockd/2.0", "lockd/2x", "lockd/2 3", "lockd /2",
		"Lockd/2", "lockd/\x00", "http/2", "2",
	} {
		t.Run(strconv.Quote(no), func(t *testing.T) {
			c := start(t).connect("tcp4")
			c.ask("me "+no, "1 "+c.addr+" "+c.addr+"\n")
			c.send("xyzzy\n") // no reply
			c.ask("me lockd/2", "2 "+c.addr+" "+c.addr+"\n")
			c.ask("me "+no, "1 "+c.addr+" "+c.addr+"\n")
			c.ask("xyzzy", "0 unknown command: xyzzy\n")
		})
	}
}

func TestHandshakeWithTheRegistryOff(t *testing.T) {
	talkEverywhere(t, `
		A> iam alpha
		A< 0 disabled
		A> me lockd/2
		A< 2 {A} {A}
		# only listings end with an empty line
		A> iam alpha
		A< 0 disabled
		A> who
		A< 0 disabled
		A<
	`, with(func(s *server.Settings) { s.Registry = false }))
}

func TestUnknownCommandsAreToldToWhoHasShakenHands(t *testing.T) {
	talkEverywhere(t, `
		A> xyzzy a b
		A> me lockd/2
		A< 2 {A} {A}
		A> xyzzy a b
		A< 0 unknown command: xyzzy
		A> "  G \t foo"
		A< 0 unknown command: G
		A> "g\tfoo bar"
		A< "0 unknown command: g\tfoo"
		A> "\x00\xff x"
		A< "0 unknown command: \x00\xff"
		A> auth secret
		A< 0 unknown command: auth
		A> GET / HTTP/1.1
		A< 0 unknown command: GET
		# an empty line is nothing at any level
		A> " \t "
		A> ""
		A>> "foo\nbar\n\nme\n"
		A< 0 unknown command: foo
		A< 0 unknown command: bar
		A< 1 {A} {A}
		A> me lockd/1
		A< 1 {A} {A}
		A> xyzzy
	`)
}

func TestUnknownCommandsAreCountedAtEachLevel(t *testing.T) {
	c := start(t).connect("tcp4")
	c.send("xyzzy\nme lockd/2\nxyzzy\ngx\nping\n")
	c.want("2 " + c.addr + " " + c.addr + "\n0 unknown command: xyzzy\n0 unknown command: gx\n1 pong\n")
	if values, _ := c.counters(); values["invalid_commands"] != 3 {
		t.Errorf("invalid_commands is %d, want 3", values["invalid_commands"])
	}
}

func TestALineTooLongIsToldToWhoHasShakenHands(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, lineBytes(100))
		c := s.connect(transport)
		long := strings.Repeat("g foo ", 40_000)
		c.send(long + "\n")
		c.ask("me lockd/2", "2 "+c.addr+" "+c.addr+"\n")
		c.send("i a\n" + long + "\ni b\n" + strings.Repeat("x", 101) + "\n" + strings.Repeat("x", 100) + "\n")
		c.want("0 Lock Not Locked: a\n0 line too long\n0 Lock Not Locked: b\n0 line too long\n" +
			"0 unknown command: " + strings.Repeat("x", 100) + "\n")
		c.ask("me lockd/1", "1 "+c.addr+" "+c.addr+"\n")
		c.send(long + "\n")
		values, _ := c.counters()
		if values["invalid_commands"] != 5 || values["command_g"] != 0 {
			t.Errorf("the counters are %v", values)
		}
	})
}

func TestListingsEndWithAnEmptyLineForWhoHasShakenHands(t *testing.T) {
	talkEverywhere(t, `
		B> g foo
		B< 1 Lock Get Success: foo
		B> sg bar
		B< 1 Shared Lock Get Success: bar
		B> iam beta
		B< 1 ok
		A> me lockd/2
		A< 2 {A} {A}
		A> d
		A< foo: beta
		A<
		A> d foo
		A< foo: beta
		A<
		A> d bar
		A<
		A> sd
		A< bar: beta
		A<
		A> sd bar
		A< bar: beta
		A<
		A> sd foo
		A<
		A> who
		A< {B}: beta
		A<
		A> who beta
		A< {B}: beta
		A<
		A> who nobody
		A<
		# dump is a line, not a listing
		A> dump
		A< map[foo:{B}]
		A> dump shared
		A< map[bar:[{B}]]
		# others are answered as ever
		B> d
		B< foo: beta
		B> sd nothing
		B> who
		B< {B}: beta
		A> me lockd/1
		A< 1 {A} {A}
		A> d
		A< foo: beta
		A> sd foo
		A> who nobody
		A> i foo
		A< 1 Lock Is Locked: foo
	`)
}

func TestListingsThatAreDisabledEndWithAnEmptyLine(t *testing.T) {
	talkEverywhere(t, `
		A> me lockd/2
		A< 2 {A} {A}
		A> d
		A< 0 disabled
		A<
		A> d foo
		A< 0 disabled
		A<
		A> sd
		A< 0 disabled
		A<
		A> sd foo
		A< 0 disabled
		A<
		A> who
		A< 0 disabled
		A<
		A> who foo
		A< 0 disabled
		A<
		A> dump
		A< 0 disabled
		A> dump shared
		A< 0 disabled
		A> watch
		A< 0 disabled
		# at every level
		A> ls
		A< 0 disabled
		A<
		A> me lockd/1
		A< 1 {A} {A}
		A> ls x foo
		A< 0 disabled
		A<
		A> d
		A< 0 disabled
		A> watch foo
		A< 0 disabled
		A> unwatch
		A< 1 ok
		A> ls nothing
		A< 0 bad arguments: ls
	`, with(func(s *server.Settings) { s.Dump = false }))
}

func TestLevelTwoCommandsNeedNoHandshake(t *testing.T) {
	talkEverywhere(t, `
		A> ping
		A< 1 pong
		A> ping ignores this
		A< 1 pong
		A> gw 0 foo
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		A> sgw 0 0 foo
		A~ 1 Shared Lock Get Success: token={t2} max=0 waited=0 name=foo
		A> cancel
		A< 0 nothing to cancel
		A> ls
		A~ "{\"name\":\"foo\",\"mode\":\"exclusive\",\"state\":\"held\",\"addr\":\"{A}\",\"who\":\"\",\"token\":\"{t1}\",\"since\":\"{time}\",\"ms\":{ms}}"
		A~ "{\"name\":\"foo\",\"mode\":\"shared\",\"state\":\"held\",\"addr\":\"{A}\",\"who\":\"\",\"token\":\"{t2}\",\"since\":\"{time}\",\"ms\":{ms}}"
		A<
		A> watch other
		A< 1 ok
		A> unwatch
		A< 1 ok
		A> fr x 0 nothing
		A< 0 denied
		A> kick nobody
		A< 0 denied
		# and what changes the answers of level 1 does not hold
		A> xyzzy
		A> d nothing
		A> me
		A< 1 {A} {A}
	`)
}

func TestInfo(t *testing.T) {
	for transport, word := range map[string]string{"tcp4": "tcp", "tcp6": "tcp", "unix": "unix", "ws": "websocket"} {
		t.Run(transport, func(t *testing.T) {
			s := start(t, lineBytes(1234))
			c := s.connect(transport)
			c.ask("iam web 1", "1 ok\n")
			c.send("info whatever\ni end\n")
			lines := map[string]string{}
			var keys []string
			for line := c.line(); line != "\n"; line = c.line() {
				key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
				if !ok {
					t.Fatalf("%q is no line of info", line)
				}
				lines[key] = value
				keys = append(keys, key)
			}
			c.want("0 Lock Not Locked: end\n")
			uptime, err := strconv.Atoi(lines["uptime_seconds"])
			if err != nil || uptime < 0 || uptime > int(patience.Seconds()) {
				t.Errorf("uptime_seconds is %q", lines["uptime_seconds"])
			}
			delete(lines, "uptime_seconds")
			want := map[string]string{
				"address": c.addr, "dead_peer_seconds": "20", "dump": "on", "level": "2", "line_bytes": "1234", "name": "web 1",
				"registry": "on", "transport": word, "version": lines["version"],
			}
			if !maps.Equal(lines, want) || len(slices.Compact(slices.Sorted(slices.Values(keys)))) != len(want)+1 || len(keys) != len(want)+1 {
				t.Errorf("info is %v in the order %v, want %v", lines, keys, want)
			}
		})
	}
}

var levelTwoKeys = []string{
	"command_cancel", "command_fr", "command_gw", "command_info", "command_kick", "command_ls", "command_ping",
	"command_sgw", "command_unwatch", "command_watch",
}

// countersToTheEnd asks q and wants an empty line behind it.
func (c *client) countersToTheEnd() (values map[string]uint64, keys []string) {
	c.Helper()
	values, keys = c.counters()
	c.want("\n")
	return values, keys
}

func TestCountersOfLevelTwoAreForWhoHasShakenHands(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		c, other := s.connect(transport), s.connect(transport)
		c.send("ping\nping\ngw 0 foo\ngw nonsense\nsgw 0 0 foo\ncancel\nls\nwatch\nunwatch\nfr\nkick\ninfo\n")
		c.until("version: ")
		c.want("\n")
		if _, keys := c.counters(); !slices.Equal(keys, classicKeys) {
			t.Errorf("the keys before the handshake are %v", keys)
		}
		c.ask("me lockd/2", "2 "+c.addr+" "+c.addr+"\n")
		values, keys := c.countersToTheEnd()
		want := append(append(slices.Clone(classicKeys), levelTwoKeys...), "command_me")
		slices.Sort(want)
		if !slices.Equal(keys, want) {
			t.Errorf("the keys are %v, want %v", keys, want)
		}
		s.wantCounters(values, map[string]uint64{
			"command_ping": 2, "command_gw": 2, "command_sgw": 1, "command_cancel": 1, "command_ls": 1, "command_watch": 1,
			"command_unwatch": 1, "command_fr": 1, "command_kick": 1, "command_info": 1, "command_me": 1, "command_q": 2,
		})
		want = append(slices.Clone(classicKeys), "command_me")
		slices.Sort(want)
		if _, keys := other.counters(); !slices.Equal(keys, want) {
			t.Errorf("the keys for another are %v", keys)
		}
		other.send("who nobody\niam x\n")
		other.want("1 ok\n")
		if _, keys := c.countersToTheEnd(); !slices.IsSorted(keys) || len(keys) != 16+3+len(levelTwoKeys) {
			t.Errorf("the keys are %v", keys)
		}
		c.ask("me lockd/1", "1 "+c.addr+" "+c.addr+"\n")
		if _, keys := c.counters(); len(keys) != 16+3 {
			t.Errorf("the keys back at level 1 are %v", keys)
		}
		c.ask("i end", "0 Lock Not Locked: end\n")
	})
}

// until reads to the end of the first line that begins so.
func (c *client) until(begin string) {
	c.Helper()
	for !strings.HasPrefix(c.line(), begin) {
	}
}

// Nothing is done, and the command counts.
func TestBadArguments(t *testing.T) {
	for command, bad := range map[string][]string{
		"gw": {
			"", "foo", "foo 0", "-2 foo", "-0 foo", "+1 foo", "1.5 foo", "1e3 foo", "0x10 foo", "1_000 foo", "10ms foo", "- foo",
			"9223372036855 foo", "9223372036854775808 foo", "18446744073709551616 foo", strings.Repeat("9", 500) + " foo",
		},
		"sgw": {
			"", "0", "-1", "0 foo", "foo 0 0", "0 -1 foo", "0 +1 foo", "0 1.5 foo", "0 0x1 foo", "0 2147483648 foo",
			"0 9223372036854775808 foo", "-2 1 foo", "+1 1 foo", "1.5 1 foo", "9223372036855 1 foo",
		},
		"fr": {
			"", "x", "s", "foo", "x foo", "0 foo", "- 0 foo", "X 0 foo", "xs 0 foo", "x -1 foo", "x +1 foo", "x 1.5 foo", "x 0x1 foo",
			"x 9223372036854775808 foo", "s 18446744073709551617 foo",
		},
		"kick": {""},
		"ls":   {"foo", "xs", "X", "* foo", "x,s", "0"},
	} {
		t.Run(command, func(t *testing.T) {
			s := start(t, adminsAreAll)
			c := s.connect("tcp4")
			c.ask("me lockd/2", "2 "+c.addr+" "+c.addr+"\n")
			for _, arg := range bad {
				c.ask(command+" "+arg, "0 bad arguments: "+command+"\n")
			}
			values, _ := c.countersToTheEnd()
			if values["command_"+command] != uint64(len(bad)) || values["invalid_commands"] != 0 {
				t.Errorf("the counters are %v", values)
			}
			if st := s.Stats().Locks; st.Exclusive.Locks+st.Shared.Locks+st.Exclusive.Waiters+st.Shared.Waiters != 0 {
				t.Errorf("something was done: %+v", st)
			}
		})
	}
}

func TestLevelTwoCommandsInEveryCut(t *testing.T) {
	const commands = "me lockd/2\r\ngw  0 \t a  b\r\nsgw -1 0 a b\nping\ncancel\n\nxyzzy\nr a b\nls\nd\ni end\n"
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t)
		token := 0
		for cut := range len(commands) {
			c := s.connect(transport)
			c.send(commands[:cut])
			s.readBy(c)
			c.send(commands[cut:])
			c.want(fmt.Sprintf("2 %s %s\n1 Lock Get Success: token=%d waited=0 name=a b\n"+
				"1 Shared Lock Get Success: token=%d max=0 waited=0 name=a b\n1 pong\n0 nothing to cancel\n"+
				"0 unknown command: xyzzy\n1 Lock Release Success: a b\n{\"name\":\"a b\",", c.addr, c.addr, token+1, token+2))
			c.line()
			c.want("\n\n0 Lock Not Locked: end\n")
			c.leave()
			token += 2
		}
	})
}
