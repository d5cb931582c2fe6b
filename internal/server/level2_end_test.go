package server_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestHalfCloseDuringAWaitEndsIt(t *testing.T) {
	talkOverStreams(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B> gw -1 foo
		B waits
		B half
		B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		B eof
		# what was sent behind it runs, and no wait waits any more
		C> gw -1 foo
		C waits
		C>> "i foo\ngw -1 foo\ngw 60000 foo\ngw 0 foo\ngw -1 bar\nsgw -1 1 bar\ncancel\nr bar"
		C half
		C~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		C< 1 Lock Is Locked: foo
		C~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		C~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		C~ 0 Lock Get Failure: reason=held holder={A} held={ms} queue=0 name=foo
		C~ 1 Lock Get Success: token={t1} waited=0 name=bar
		C~ 1 Shared Lock Get Success: token={t2} max=1 waited=0 name=bar
		C< 0 nothing to cancel
		C< 1 Lock Release Success: bar
		C eof
		# the end was there before the wait
		D>> "gw -1 foo\ni foo\n"
		D half
		D~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		D< 1 Lock Is Locked: foo
		D eof
		E>> "gw -1 foo\ncancel\n"
		E half
		E~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		E< 1 ok
		E eof
		A> sg foo
		A< 1 Shared Lock Get Success: foo
		F> sgw -1 1 foo
		F waits
		F half
		F< 0 Shared Lock Get Failure: reason=cancelled count=1 max=1 queue=0 name=foo
		F eof
		A> r foo
		A< 1 Lock Release Success: foo
		A> i foo
		A< 0 Lock Not Locked: foo
	`)
}

func TestALineCutByTheEndBehindAWait(t *testing.T) {
	for _, cut := range []string{"gw 0 bar", "sgw 0 0 bar", "fr x 0 foo", "fr s 0 foo", "kick {A}", "cancel", "ping", "watch", "ls", "info"} {
		talkOverStreams(t, `
			A> gw 0 foo
			A~ 1 Lock Get Success: token={t1} waited=0 name=foo
			A> sg foo
			A< 1 Shared Lock Get Success: foo
			B> gw -1 foo
			B waits
			B>> `+cut+`
			B half
			B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
			B eof
			A> i bar
			A< 0 Lock Not Locked: bar
			A> r foo
			A< 1 Lock Release Success: foo
		`, adminsAreAll)
	}
}

func TestACommandOfLevelTwoCutByTheEndIsNotRun(t *testing.T) {
	for _, cut := range []string{
		"fr x 0 foo", "fr s 0 foo", "fr x {t1} foo\r", " fr x 0 foo ", "kick {A}", "gw 0 bar", "gw -1 bar", "gw -1 foo", "sgw 0 0 bar",
		"sgw -1 1 foo", "cancel", "ping", "ls", "ls - foo", "watch", "unwatch", "info", "gw",
	} {
		for _, hello := range []string{"me", "me lockd/2"} {
			level := 1 + strings.Count(hello, "lockd/2")
			talkOverStreams(t, fmt.Sprintf(`
				A> gw 0 foo
				A~ 1 Lock Get Success: token={t1} waited=0 name=foo
				A> sg foo
				A< 1 Shared Lock Get Success: foo
				B> %s
				B< %d {B} {B}
				B>> "ping\n%s"
				B half
				B< 1 pong
				B eof
				A> me
				A< 1 {A} {A}
				A> gw 0 bar
				A~ 1 Lock Get Success: token={t2} waited=0 name=bar
				A> r foo
				A< 1 Lock Release Success: foo
				A> sr foo
				A< 1 Shared Lock Release Success: foo
			`, hello, level, cut), adminsAreAll)
		}
	}
}

func TestACommandOfLevelOneCutByTheEndIsRunAtLevelTwo(t *testing.T) {
	talkOverStreams(t, `
		A>> "me lockd/2\ng foo"
		A half
		A< 2 {A} {A}
		A< 1 Lock Get Success: foo
		A eof
		B>> "me lockd/2\nsd"
		B half
		B< 2 {B} {B}
		B<
		B eof
		C>> "me lockd/2\nme lockd/2"
		C half
		C< 2 {C} {C}
		C< 2 {C} {C}
		C eof
	`)
}

func TestAWebSocketsMessageNeedsNoLF(t *testing.T) {
	s := start(t, adminsAreAll)
	s.talk(`
		A>> gw 0 foo
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		B>> gw -1 foo
		B waits
		B>> cancel
		B~ 0 Lock Get Failure: reason=cancelled holder={A} held={ms} queue=0 name=foo
		B< 1 ok
		B>> fr x {t1} foo
		B< 1 ok count=1
		A eof
		C>> ping
		C< 1 pong
		B>> kick {C}
		B< 1 ok count=1
		C eof
	`, "ws")
}

func TestTheEndOfOneWhoWaitsPassesOn(t *testing.T) {
	for how, end := range map[string]func(c *client){
		"half-close": (*client).halfClose,
		"close":      func(c *client) { c.conn.Close() },
		"reset":      (*client).reset,
	} {
		t.Run(how, func(t *testing.T) {
			forEachTransport(t, func(t *testing.T, transport string) {
				s := start(t)
				a, b, c := s.connect("tcp4"), s.connect(transport), s.connect("unix")
				a.ask("g foo", "1 Lock Get Success: foo\n")
				b.ask("g held", "1 Lock Get Success: held\n")
				b.send("gw -1 foo\n")
				s.waits(b)
				b.send("i behind\ng behind") // which hides the end from who only peeks
				c.send("gw -1 foo\n")
				s.waits(c)
				end(b)
				eventually(t, "it waits no more", func() bool { return !s.inQueue(b) })
				eventually(t, "it is gone", func() bool { return s.Stats().Connections() == 2 })
				a.ask("i held", "0 Lock Not Locked: held\n")
				if !s.inQueue(c) {
					t.Error("the one behind it waits no more")
				}
				a.ask("r foo", "1 Lock Release Success: foo\n")
				c.wantGranted("foo")
				if n := s.Stats().Locks.Exclusive.Orphans; n > 2 {
					t.Errorf("%d orphans", n)
				}
			})
		})
	}
}

func TestAnEndInTheMomentOfTheGrantPassesOn(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a := s.connect("tcp4")
		for range 25 {
			a.ask("g foo", "1 Lock Get Success: foo\n")
			b, c := s.connect(transport), s.connect(transport)
			b.send("gw -1 foo\n")
			s.waits(b)
			c.send("gw -1 foo\n")
			s.waits(c)
			reset := async(b.reset)
			a.ask("r foo", "1 Lock Release Success: foo\n")
			c.wantGranted("foo")
			soon(t, "b is reset", reset)
			c.ask("r foo", "1 Lock Release Success: foo\n")
			c.leave()
		}
	})
}
