package server_test

import (
	"fmt"
	"testing"
	"time"
)

func TestEachReplyAndEventOfLevelTwoIsOneMessage(t *testing.T) {
	s := start(t)
	a, b := s.connect("ws"), s.connect("tcp4")
	a.send("me lockd/2\nd\nls\nwho\nxyzzy\n\nping\ncancel\ngw 0 foo\ngw x\nwatch \xff\nd\ng \xff\n")
	a.message("2 " + a.addr + " " + a.addr + "\n")
	a.message("\n")
	a.message("\n")
	a.message("\n")
	a.message("0 unknown command: xyzzy\n")
	a.message("1 pong\n")
	a.message("0 nothing to cancel\n")
	a.message("1 Lock Get Success: token=1 waited=0 name=foo\n")
	a.message("0 bad arguments: gw\n")
	a.message("1 ok\n")
	a.message("foo: " + a.addr + "\n\n")
	a.message("1 Lock Get Success: \xff\n")
	a.message("* granted mode=exclusive token=2 addr=" + a.addr + " name=\xff\n") // which is binary
	b.ask("g \xff2", "1 Lock Get Success: \xff2\n")
	b.ask("r \xff2", "1 Lock Release Success: \xff2\n")
	a.message("* granted mode=exclusive token=3 addr=" + b.addr + " name=\xff2\n")
	a.message("* released mode=exclusive token=3 addr=" + b.addr + " name=\xff2\n")
	a.send("unwatch\nwatch foo\nr foo\nq")
	a.message("1 ok\n")
	a.message("1 ok\n")
	a.message("1 Lock Release Success: foo\n")
	a.message("command_cancel: 1\ncommand_d: 2\ncommand_dump: 0\ncommand_fr: 0\ncommand_g: 2\ncommand_gw: 2\ncommand_i: 0\n" +
		"command_info: 0\ncommand_kick: 0\ncommand_ls: 1\ncommand_me: 1\ncommand_ping: 1\ncommand_q: 1\ncommand_r: 2\n" +
		"command_sd: 0\ncommand_sg: 0\ncommand_sgw: 0\ncommand_si: 0\ncommand_sr: 0\ncommand_unwatch: 1\ncommand_watch: 2\n" +
		"command_who: 1\nconnections: 2\ninvalid_commands: 1\nlocks: 1\norphans: 0\nshared_locks: 0\nshared_orphans: 0\n\n")
	a.message("* released mode=exclusive token=1 addr=" + a.addr + " name=foo\n") // which is text
}

func TestEachReplyAroundAWaitIsOneMessage(t *testing.T) {
	s := start(t)
	a, b := s.connect("tcp4"), s.connect("ws")
	a.ask("sg foo", "1 Shared Lock Get Success: foo\n")
	b.send("g bar\nsgw -1 1 foo\ncancel\nme")
	b.message("1 Lock Get Success: bar\n")
	b.message("0 Shared Lock Get Failure: reason=cancelled count=1 max=1 queue=0 name=foo\n")
	b.message("1 ok\n")
	b.message("1 " + b.addr + " " + b.addr + "\n")
	b.send("sgw -1 1 foo")
	s.waits(b)
	b.send("i x\ni y")
	b.send("i z")
	a.ask("sr foo", "1 Shared Lock Release Success: foo\n")
	b.valued("1 Shared Lock Get Success").is("max", "1").is("name", "foo")
	for _, name := range []string{"x", "y", "z"} {
		b.message("0 Lock Not Locked: " + name + "\n")
	}
}

// wantFrame wants these bytes of a frame next, of one that no reply is in.
func (c *client) wantFrame(want string) {
	c.Helper()
	got := make([]byte, len(want))
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.conn.Read(got); err != nil || string(got[:n]) != want {
		c.Fatalf("%s got the frame %q, %v; want %q", c.name, got[:n], err, want)
	}
	c.conn.SetReadDeadline(time.Time{})
}

func TestPingFramesAreAnsweredDuringAWait(t *testing.T) {
	s := start(t)
	a, b := s.connect("tcp4"), s.connect("ws")
	a.ask("g foo", "1 Lock Get Success: foo\n")
	b.send("gw -1 foo\ni behind")
	s.waits(b)
	for i := range 20 {
		b.raw(frame(pingFrame, fmt.Sprintf("ping %02d", i)))
		b.wantFrame(fmt.Sprintf("\x8a\x07ping %02d", i))
	}
	// Between the parts of a message too, of which the lines that are there count.
	b.raw(frame(textPart, "\n \ncan"), frame(pingFrame, "between"))
	b.wantFrame("\x8a\x07between")
	if !s.inQueue(b) {
		t.Fatal("it waits no more")
	}
	a.ask("r foo", "1 Lock Release Success: foo\n")
	b.wantGranted("foo")
	b.want("0 Lock Not Locked: behind\n")
	b.raw(frame(lastPart, "cel"))
	b.want("0 nothing to cancel\n")
}

func TestCancelInAMessageThatGoesOn(t *testing.T) {
	s := start(t)
	a, b := s.connect("tcp4"), s.connect("ws")
	a.ask("g foo", "1 Lock Get Success: foo\n")
	b.raw(frame(textPart, "gw -1 foo\n"))
	s.waits(b)
	b.raw(frame(continued, "can"), frame(continued, ""), frame(continued, "cel\ni a"))
	b.valued("0 Lock Get Failure").is("reason", "cancelled")
	b.want("1 ok\n")
	b.raw(frame(continued, "\ngw -1 foo\ncanc"), frame(lastPart, "el")) // which ends a line
	b.want("0 Lock Not Locked: a\n")
	b.valued("0 Lock Get Failure").is("reason", "cancelled")
	b.want("1 ok\n")
}

// Nothing is said before, as nobody listens.
func TestACloseFrameDuringAWaitIsAnsweredWhenAllIsFree(t *testing.T) {
	s := start(t)
	a := s.connect("unix")
	for range 40 {
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b, c := s.connect("ws"), s.connect("tcp4")
		for c.addr == b.addr { // they are of two ports of the server, so they may have one of their own
			c.leave()
			c = s.connect("tcp4")
		}
		b.take(50)
		b.send("gw -1 foo\ni behind")
		s.waits(b)
		c.send("gw -1 foo\n")
		s.waits(c)
		b.halfClose()
		b.conn.SetReadDeadline(time.Now().Add(patience))
		first := make([]byte, 1)
		if _, err := b.conn.Read(first); err != nil || first[0] != closeFrame[0] {
			t.Fatalf("the close frame is answered with %q, %v", first, err)
		}
		// At once, by whoever asks first.
		if s.inQueue(b) {
			t.Fatalf("%s waits, and %s does", b.addr, c.addr)
		}
		a.send("d x1\nsd s1\nwho\nd foo\n")
		a.want("foo: " + a.addr + "\n")
		if n := s.Stats().Connections(); n != 2 {
			t.Fatalf("%d connections are counted", n)
		}
		a.ask("r foo", "1 Lock Release Success: foo\n")
		c.wantGranted("foo")
		c.ask("r foo", "1 Lock Release Success: foo\n")
		c.leave()
	}
}

func TestAWebSocketCutInAMessageBehindAWaitRunsNothingOfIt(t *testing.T) {
	for _, command := range []string{"fr x 0 foo", "kick {A}", "cancel", "g cut"} {
		s := start(t, adminsAreAll)
		a, b := s.connect("tcp4"), s.connect("ws")
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b.send("gw -1 foo")
		s.waits(b)
		// A text frame of more than comes.
		b.raw("\x81\xa0\x00\x00\x00\x00" + command)
		b.reset()
		eventually(t, "it is gone", func() bool { return s.Stats().Connections() == 1 })
		a.ask("i foo", "1 Lock Is Locked: foo\n")
		if n := s.Stats().Locks.Exclusive.Orphans; n != 0 {
			t.Errorf("%d orphans", n)
		}
	}
}

func TestAWebSocketThatIsWrongDuringAWaitIsGone(t *testing.T) {
	for name, bytes := range map[string]string{
		"unmasked": "\x81\x05g foo", "reserved bits": frame(0xf1, "cancel"), "unknown code": frame(0x83, "cancel"),
		"close of one byte": frame(0x88, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			a, b := s.connect("tcp4"), s.connect("ws")
			a.ask("g foo", "1 Lock Get Success: foo\n")
			b.ask("g held", "1 Lock Get Success: held\n")
			b.send("gw -1 foo")
			s.waits(b)
			b.raw(bytes)
			eventually(t, "it is gone", func() bool { return s.Stats().Connections() == 1 })
			a.ask("g held", "1 Lock Get Success: held\n")
			a.ask("r foo", "1 Lock Release Success: foo\n")
			a.ask("i foo", "0 Lock Not Locked: foo\n")
		})
	}
}
