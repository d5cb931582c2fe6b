package server_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestCancelEndsAWait(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B> gw -1 foo
		B waits
		B> cancel
		B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		B< 1 ok
		# once
		B> cancel
		B< 0 nothing to cancel
		# in one packet
		B>> "gw -1 foo\ncancel\n"
		B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		B< 1 ok
		B>> "i x\ngw 60000 foo\n  cancel whatever \r\ncancel\ni y\n"
		B< 0 Lock Not Locked: x
		B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		B< 1 ok
		B< 0 nothing to cancel
		B< 0 Lock Not Locked: y
		A> sg foo
		A< 1 Shared Lock Get Success: foo
		B> sgw -1 1 foo
		B waits
		B> cancel
		B< 0 Shared Lock Get Failure: reason=cancelled count=1 max=1 queue=0 name=foo
		B< 1 ok
		# it is in no queue any more
		A> r foo
		A< 1 Lock Release Success: foo
		A> i foo
		A< 0 Lock Not Locked: foo
	`)
}

func TestBlankLinesMayStandBeforeCancel(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B>> "gw -1 foo\n\n \t\r\n\r\n\n\v\f\ncancel\n"
		B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		B< 1 ok
		B> gw -1 foo
		B waits
		B> ""
		B> " \t "
		B>> "\n\n\r\n"
		B> " cancel"
		B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		B< 1 ok
	`)
}

func TestCancelInPieces(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect(transport), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		const text = "gw -1 foo\n\ncancel\ni foo\n"
		for cut := range len(text) {
			b.send(text[:cut])
			s.readBy(b)
			b.send(text[cut:])
			b.valued("0 Lock Get Failure").is("reason", "cancelled")
			b.want("1 ok\n1 Lock Is Locked: foo\n")
		}
		for i := range len(text) {
			b.send(text[i : i+1])
			s.readBy(b)
		}
		b.valued("0 Lock Get Failure").is("reason", "cancelled")
		b.want("1 ok\n1 Lock Is Locked: foo\n")
	})
}

func TestCancelIsNothingElsewhere(t *testing.T) {
	talkEverywhere(t, `
		A> cancel
		A< 0 nothing to cancel
		# behind a try, and behind what is granted at once
		A>> "g foo\ncancel\ngw 0 foo\ncancel\ngw -1 bar\ncancel\nsgw -1 0 bar\ncancel\ngw x\ncancel\n"
		A< 1 Lock Get Success: foo
		A< 0 nothing to cancel
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		A< 0 nothing to cancel
		A~ 1 Lock Get Success: token={t2} waited=0 name=bar
		A< 0 nothing to cancel
		A~ 1 Shared Lock Get Success: token={t3} max=0 waited=0 name=bar
		A< 0 nothing to cancel
		A< 0 bad arguments: gw
		A< 0 nothing to cancel
		B>> "gw 0 foo\ncancel\ngw 5 foo\ni x\ncancel\n"
		B~ 0 Lock Get Failure: reason=held holder={A} held={ms} queue=0 name=foo
		B< 0 nothing to cancel
		B~ 0 Lock Get Failure: reason=timeout holder={A} held={ms} queue=0 name=foo
		B< 0 Lock Not Locked: x
		B< 0 nothing to cancel
		# after the wait has ended
		B> gw 5 foo
		B~ 0 Lock Get Failure: reason=timeout holder={A} held={ms} queue=0 name=foo
		B> cancel
		B< 0 nothing to cancel
		B> gw -1 foo
		B waits
		A> r foo
		A< 1 Lock Release Success: foo
		B~ 1 Lock Get Success: token={t4} waited={ms} name=foo
		B> cancel
		B< 0 nothing to cancel
		B> i foo
		B< 1 Lock Is Locked: foo
		B> r foo
		B< 1 Lock Release Success: foo
	`)
}

// Whichever comes first, both lines are answered alike.
func TestCancelInTheMomentOfTheGrant(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect("tcp4"), s.connect(transport)
		for range 50 {
			a.ask("g foo", "1 Lock Get Success: foo\n")
			b.send("gw -1 foo\n")
			s.waits(b)
			canceled := async(func() { b.write("cancel\nr foo\n") })
			a.ask("r foo", "1 Lock Release Success: foo\n")
			soon(t, "the cancel is sent", canceled)
			if strings.HasPrefix(b.line(), "1 ") {
				b.want("0 nothing to cancel\n1 Lock Release Success: foo\n")
			} else {
				b.want("1 ok\n0 Lock Release Failure: foo\n")
			}
		}
	})
}

// Not the next line, it is a line like others.
func TestCancelBehindAnotherLineEndsNoWait(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B>> "gw -1 foo\ni x\ncancel\n"
		B waits
		A> ping
		A< 1 pong
		C>> "gw -1 foo\nxyzzy\ncancel\n"
		C waits
		D>> "gw -1 foo\ncancel x y\n"
		D~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=2 name=foo
		D< 1 ok
		E>> "gw -1 foo\ncance\n"
		E waits
		F>> "gw -1 foo\ncancel\tx\n"
		F waits
		G>> "gw -1 foo\ngw -1 foo\ncancel\n"
		G waits
		A leave
		B~ 1 Lock Get Success: token={t1} waited={ms} name=foo
		B< 0 Lock Not Locked: x
		B< 0 nothing to cancel
		B leave
		C~ 1 Lock Get Success: token={t2} waited={ms} name=foo
		C< 0 nothing to cancel
		C leave
		E~ 1 Lock Get Success: token={t3} waited={ms} name=foo
		E leave
		F~ 1 Lock Get Success: token={t4} waited={ms} name=foo
		F leave
		# which holds it then, so that the second does not wait
		G~ 1 Lock Get Success: token={t5} waited={ms} name=foo
		G< 1 Lock Get Success: token={t5} waited=0 name=foo
		G< 0 nothing to cancel
	`)
}

func TestCancelEndsTheWaitBeforeIt(t *testing.T) {
	talkEverywhere(t, `
		A>> "g a\ng b\n"
		A< 1 Lock Get Success: a
		A< 1 Lock Get Success: b
		B>> "gw -1 a\ngw -1 b\ncancel\ngw -1 b\n"
		B waits
		A> r a
		A< 1 Lock Release Success: a
		B~ 1 Lock Get Success: token={t1} waited={ms} name=a
		B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=b
		B< 1 ok
		B waits
		A> r b
		A< 1 Lock Release Success: b
		B~ 1 Lock Get Success: token={t2} waited={ms} name=b
	`)
}

func TestLinesBehindAWaitAreAnsweredWhenItEnds(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		# what came before it is answered at once
		B>> "g bar\ni foo\ngw -1 foo\nr bar\nme\ngw 0 foo\nsgw 0 0 foo\ng baz\n\nxyzzy\nr foo\n"
		B< 1 Lock Get Success: bar
		B< 1 Lock Is Locked: foo
		B waits
		# and what came behind has not run
		A> i bar
		A< 1 Lock Is Locked: bar
		B> i more
		A> i baz
		A< 0 Lock Not Locked: baz
		A> r foo
		A< 1 Lock Release Success: foo
		B~ 1 Lock Get Success: token={t1} waited={ms} name=foo
		B< 1 Lock Release Success: bar
		B< 1 {B} {B}
		B< 1 Lock Get Success: token={t1} waited=0 name=foo
		B~ 1 Shared Lock Get Success: token={t2} max=0 waited=0 name=foo
		B< 1 Lock Get Success: baz
		B< 1 Lock Release Success: foo
		B< 0 Lock Not Locked: more
	`)
}

func TestALineThatIsHalfThereWhenAWaitEndsIsKept(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		for _, end := range []string{"granted", "timeout"} {
			s := start(t)
			a, b := s.connect(transport), s.connect(transport)
			a.ask("g foo", "1 Lock Get Success: foo\n")
			long := strings.Repeat("x", 40_000)
			if end == "granted" {
				b.send("gw -1 foo\ni " + long)
				s.waits(b)
				s.readBy(b)
				a.ask("r foo", "1 Lock Release Success: foo\n")
				b.wantGranted("foo")
			} else {
				b.send("gw 20 foo\ni " + long)
				b.valued("0 Lock Get Failure").is("reason", end)
			}
			b.send(long[:20_000] + "\nping\n")
			b.want("0 Lock Not Locked: " + long + long[:20_000] + "\n1 pong\n")
		}
	})
}

func TestManyWaitsInOnePacket(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect(transport), s.connect(transport)
		var commands strings.Builder
		const n = 60
		for i := range n {
			a.ask(fmt.Sprint("g lock", i), fmt.Sprintf("1 Lock Get Success: lock%d\n", i))
			fmt.Fprintf(&commands, "gw -1 lock%d\ni lock%d\n", i, i)
		}
		b.send(commands.String())
		for i := range n {
			s.waits(b)
			a.ask(fmt.Sprint("r lock", i), fmt.Sprintf("1 Lock Release Success: lock%d\n", i))
			b.wantGranted(fmt.Sprint("lock", i))
			b.want(fmt.Sprintf("1 Lock Is Locked: lock%d\n", i))
		}
	})
}

// piledUp is what a client may send behind a wait at a limit of 1000.
const piledUp = 1000

func TestAsMuchAsALineMayBeSentBehindAWait(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, lineBytes(piledUp))
		a, b := s.connect(transport), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		lines := strings.Repeat("i x\n", piledUp/4-1) + "i y"
		if transport == "ws" { // whose message's end is an LF
			b.send(lines)
		} else {
			b.send(lines + "\n")
			s.readBy(b)
		}
		a.ask("r foo", "1 Lock Release Success: foo\n")
		b.wantGranted("foo")
		b.want(strings.Repeat("0 Lock Not Locked: x\n", piledUp/4-1) + "0 Lock Not Locked: y\n")
	})
}

// wantFreed wants what b held to be free, and its wait to be over, as its
// connection was closed.
func (s *service) wantFreed(a, b *client) {
	s.Helper()
	b.wantEnd()
	if s.inQueue(b) {
		s.Fatalf("%s is in the queue", b.name)
	}
	a.ask("g held", "1 Lock Get Success: held\n")
	a.ask("r foo", "1 Lock Release Success: foo\n")
	a.ask("i foo", "0 Lock Not Locked: foo\n")
}

func TestMoreThanALineBehindAWaitEndsTheConnection(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, lineBytes(piledUp))
		a, b := s.connect("tcp4"), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b.ask("g held", "1 Lock Get Success: held\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		b.send(strings.Repeat("i x\n", piledUp/4) + "i")
		s.wantFreed(a, b)
	})
}

func TestALineTooLongBehindAWaitEndsTheConnection(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect("tcp4"), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b.ask("g held", "1 Lock Get Success: held\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		flooded := async(func() { b.write(strings.Repeat("x", 1<<20)) })
		s.wantFreed(a, b)
		b.conn.Close()
		soon(t, "its sending ends", flooded)
	})
}

// It makes no difference that all came at once.
func TestMoreThanALineBehindAWaitInOnePacketEndsTheConnection(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, lineBytes(piledUp))
		a, b := s.connect("tcp4"), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b.ask("g held", "1 Lock Get Success: held\n")
		b.send("gw -1 foo\n" + strings.Repeat("i x\n", piledUp/4) + "i")
		s.wantFreed(a, b)
	})
}

// A cut name might be another lock's.
// One of level 1 is, as existing clients rely on that.
// The end of a message ends a line.
// Whether the grant or the end comes first, the lock goes on.
