package server_test

import (
	"strings"
	"testing"

	"lockd/internal/server"
)

// sample is a stream of commands with everything in it that cutting could break.
const sample = "g foo\r\n\n \t\ng  a \t b\nsg x\ng\tx\nzz\ng \x00\xff\nr foo\nd\nsd\ndump\ndump shared\n" +
	"i foo\nsi x\nsr x\niam n m\nwho n m\nme\ng " + "0123456789012345678901234567890123456789" + "\nr \x00\xff\ni end\n"

// sampleReplies are what the sample is answered with, {A} being the client.
const sampleReplies = "1 Lock Get Success: foo\n1 Lock Get Success: a b\n1 Shared Lock Get Success: x\n" +
	"1 Lock Get Success: \x00\xff\n1 Lock Release Success: foo\n\x00\xff: {A}\na b: {A}\nx: {A}\n" +
	"map[\x00\xff:{A} a b:{A}]\nmap[x:[{A}]]\n0 Lock Not Locked: foo\n1 Shared Lock Is Locked: x\n" +
	"1 Shared Lock Release Success: x\n1 ok\n{A}: n m\n1 {A} n m\n" +
	"1 Lock Get Success: 0123456789012345678901234567890123456789\n1 Lock Release Success: \x00\xff\n0 Lock Not Locked: end\n"

func (c *client) wantSampleReplies() {
	c.Helper()
	c.want(strings.ReplaceAll(sampleReplies, "{A}", c.addr))
}

// settleCut makes the server read what was sent before the rest comes: it asks
// for the count of bytes read, which the server's system calls show.
func TestEveryCutOfAStreamIsAnsweredTheSame(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t)
		for cut := 0; cut <= len(sample); cut++ {
			c := s.connect(transport)
			c.send(sample[:cut])
			s.readBy(c)
			c.send(sample[cut:])
			c.wantSampleReplies()
			c.leave()
		}
	})
}

func TestByteByByteIsAnsweredTheSame(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t)
		c := s.connect(transport)
		for i := range len(sample) {
			c.send(sample[i : i+1])
			s.readBy(c)
		}
		c.wantSampleReplies()
		c.leave()
	})
}

func TestWebSocketMessagesHoldLines(t *testing.T) {
	s := start(t)
	whole := s.connect("ws")
	whole.send(sample)
	whole.wantSampleReplies()
	whole.leave()
	lines := s.connect("ws")
	for line := range strings.Lines(sample) {
		lines.send(line)
	}
	lines.wantSampleReplies()
	lines.leave()
	// The end of a message ends a line as well as an LF does.
	bare := s.connect("ws")
	for line := range strings.Lines(sample) {
		bare.send(strings.TrimSuffix(line, "\n"))
	}
	bare.wantSampleReplies()
	bare.leave()
}

func TestRepliesToManyPipelinedCommandsAreInOrder(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		c := start(t).connect(transport)
		const n = 20000
		var commands, replies strings.Builder
		for i := range n {
			name := "n" + string(rune('a'+i%26)) + strings.Repeat("x", i%7)
			commands.WriteString("i " + name + "\n")
			replies.WriteString("0 Lock Not Locked: " + name + "\n")
		}
		sent := async(func() { c.write(commands.String()) })
		c.want(replies.String())
		soon(t, "all is sent", sent)
	})
}

func lineBytes(n int) func(*setup) {
	return with(func(s *server.Settings) { s.LineBytes = n })
}

func TestLinesUpToTheLimitAreRun(t *testing.T) {
	for _, limit := range []int{16, 1000, 16 << 10, 64 << 10, 100_000, 1 << 20} {
		forEachTransport(t, func(t *testing.T, transport string) {
			c := start(t, lineBytes(limit)).connect(transport)
			fits := strings.Repeat("x", limit-2)
			c.ask("g "+fits, "1 Lock Get Success: "+fits+"\n")
			c.send("g y" + fits + "\n")             // one byte too long
			c.send("g " + fits[:limit-3] + "\r \n") // blanks count
			c.ask("r "+fits, "1 Lock Release Success: "+fits+"\n")
			c.send(strings.Repeat("x", limit) + "\n")
			c.ask("i z", "0 Lock Not Locked: z\n")
			values, _ := c.counters()
			if values["invalid_commands"] != 3 || values["command_g"] != 1 {
				t.Errorf("%d invalid commands, %d g, want 3 and 1", values["invalid_commands"], values["command_g"])
			}
			c.leave()
		})
	}
}

func TestNoPartOfALongLineIsRun(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		c := start(t).connect(transport)
		long := strings.Repeat("g foo ", 5<<20/6) // ends where it ends
		c.send(long + "\n" + long + "g bar\ng last\n")
		c.want("1 Lock Get Success: last\n")
		values, _ := c.counters()
		if values["invalid_commands"] != 2 || values["command_g"] != 1 || values["locks"] != 1 {
			t.Errorf("the counters are %v", values)
		}
		c.leave()
	})
}

func TestALongLineBeforeTheEndIsNotRun(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t, lineBytes(8))
		c := s.connect(transport)
		c.send("g 123456789")
		c.leave()
		other := s.connect(transport)
		if values, _ := other.counters(); values["invalid_commands"] != 1 || values["command_g"] != 0 || values["orphans"] != 0 {
			t.Errorf("the counters are %v", values)
		}
	})
}

func TestTheFirstLineTooLong(t *testing.T) {
	for _, first := range []string{"g ", "get / ", "Xyz /", "GET ", ""} {
		forEachTransport(t, func(t *testing.T, transport string) {
			c := start(t).connect(transport)
			c.send(first + strings.Repeat("x", 1<<20) + "\ni foo\n")
			c.want("0 Lock Not Locked: foo\n")
			c.leave()
		})
	}
}

func TestALastLineWithoutLFRunsAtHalfClose(t *testing.T) {
	talkOverStreams(t, `
		A>> "g foo\ng bar"
		A< 1 Lock Get Success: foo
		A half
		A< 1 Lock Get Success: bar
		A eof
		B>> g foo
		B half
		B< 1 Lock Get Success: foo
		B eof
		# nothing there, blanks, and what is no command
		C half
		C eof
		D>> "\r \t"
		D half
		D eof
		E>> gx
		E half
		E eof
		F>> "q\r"
		F half
		F< command_d: 0
		F< command_dump: 0
		F< command_g: 3
		F< command_i: 0
		F< command_q: 1
		F< command_r: 0
		F< command_sd: 0
		F< command_sg: 0
		F< command_si: 0
		F< command_sr: 0
		F< connections: 1
		F< invalid_commands: 1
		F< locks: 0
		F< orphans: 3
		F< shared_locks: 0
		F< shared_orphans: 0
		F eof
	`)
}

func TestAWebSocketCutInAMessageRunsNothingOfIt(t *testing.T) {
	s := start(t)
	c := s.connect("ws")
	c.ask("i foo", "0 Lock Not Locked: foo\n")
	// A text frame of 8 bytes, masked with zeros, of which 5 come.
	if _, err := c.conn.Write([]byte("\x81\x88\x00\x00\x00\x00g foo")); err != nil {
		t.Fatal(err)
	}
	c.reset()
	other := s.connect("tcp4")
	eventually(t, "the client is gone", func() bool { return s.Stats().Connections() == 1 })
	if values, _ := other.counters(); values["command_g"] != 0 || values["orphans"] != 0 || values["invalid_commands"] != 0 {
		t.Errorf("the counters are %v", values)
	}
}

func TestLimitOfLinesChangesMidConnection(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		c := s.connect(transport)
		c.ask("i 0123456789", "0 Lock Not Locked: 0123456789\n")
		s.change(func(set *server.Settings) { set.LineBytes = 8 })
		c.ask("i foo", "0 Lock Not Locked: foo\n") // its next batch
		c.send("i 0123456789\n")
		c.ask("i 123456", "0 Lock Not Locked: 123456\n")
		s.change(func(set *server.Settings) { set.LineBytes = 64 })
		c.ask("i foo", "0 Lock Not Locked: foo\n")
		c.ask("i 0123456789", "0 Lock Not Locked: 0123456789\n")
		c.leave()
	})
}

func TestLimitOfLinesLoweredBelowWhatCame(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t)
		c := s.connect(transport)
		c.send("i " + strings.Repeat("x", 5000))
		s.readBy(c)
		s.change(func(set *server.Settings) { set.LineBytes = 8 })
		c.send("y")
		s.readBy(c)
		c.send("\ni foo\n")
		c.want("0 Lock Not Locked: foo\n")
		c.leave()
	})
}
