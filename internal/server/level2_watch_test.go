package server_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestWatchTellsWhatHappensToLocks(t *testing.T) {
	talkEverywhere(t, `
		A> watch
		A< 1 ok
		B> g foo
		B< 1 Lock Get Success: foo
		A~ * granted mode=exclusive token={t1} addr={B} name=foo
		B> sg foo
		B< 1 Shared Lock Get Success: foo
		A~ * granted mode=shared token={t2} addr={B} name=foo
		# nothing happens
		B>> "g foo\nsg foo\ngw -1 foo\nsgw -1 1 foo\ni foo\nr nothing\nsr nothing\niam beta\n"
		B< 1 Lock Get Success: foo
		B< 1 Shared Lock Get Success: foo
		B< 1 Lock Get Success: token={t1} waited=0 name=foo
		B< 1 Shared Lock Get Success: token={t2} max=1 waited=0 name=foo
		B< 1 Lock Is Locked: foo
		B< 0 Lock Release Failure: nothing
		B< 0 Shared Lock Release Failure: nothing
		B< 1 ok
		C> g foo
		C< 0 Lock Get Failure: foo
		C> gw 5 foo
		C~ 0 Lock Get Failure: reason=timeout holder={B} held={ms} queue=0 name=foo
		C> gw -1 foo
		C waits
		# a release, and the grant that comes of it
		B> r foo
		B< 1 Lock Release Success: foo
		A< * released mode=exclusive token={t1} addr={B} name=foo
		C~ 1 Lock Get Success: token={t3} waited={ms} name=foo
		A< * granted mode=exclusive token={t3} addr={C} name=foo
		B> sr foo
		B< 1 Shared Lock Release Success: foo
		A< * released mode=shared token={t2} addr={B} name=foo
		# the end of a connection
		B> gw 0 a b
		B~ 1 Lock Get Success: token={t4} waited=0 name=a b
		A< * granted mode=exclusive token={t4} addr={B} name=a b
		B> sgw 0 1
		B~ "1 Shared Lock Get Success: token={t5} max=1 waited=0 name="
		A< "* granted mode=shared token={t5} addr={B} name="
		D> gw -1 a b
		D waits
		B leave
		A< * orphaned mode=exclusive token={t4} addr={B} name=a b
		D~ 1 Lock Get Success: token={t6} waited={ms} name=a b
		A< * granted mode=exclusive token={t6} addr={D} name=a b
		A< "* orphaned mode=shared token={t5} addr={B} name="
		# one who waits in vain is not told of
		E> gw -1 a b
		E waits
		E> cancel
		E~ 0 Lock Get Failure: reason=cancelled holder={D} held={ms} queue=0 name=a b
		E< 1 ok
		A> unwatch
		A< 1 ok
	`)
}

func TestForcedIsWhatHappensToTheBrokenLockOnly(t *testing.T) {
	talkEverywhere(t, `
		A> watch
		A< 1 ok
		B> gw 0 bar
		B~ 1 Lock Get Success: token={t1} waited=0 name=bar
		A< * granted mode=exclusive token={t1} addr={B} name=bar
		B> gw 0 foo
		B~ 1 Lock Get Success: token={t2} waited=0 name=foo
		A< * granted mode=exclusive token={t2} addr={B} name=foo
		B> sgw 0 0 foo
		B~ 1 Shared Lock Get Success: token={t3} max=0 waited=0 name=foo
		A< * granted mode=shared token={t3} addr={B} name=foo
		C> sgw 0 0 foo
		C~ 2 Shared Lock Get Success: token={t4} max=0 waited=0 name=foo
		A< * granted mode=shared token={t4} addr={C} name=foo
		D> fr x 0 foo
		D< 1 ok count=1
		A< * orphaned mode=exclusive token={t1} addr={B} name=bar
		A< * forced mode=exclusive token={t2} addr={B} name=foo
		A< * orphaned mode=shared token={t3} addr={B} name=foo
		D> sgw 0 0 foo
		D~ 2 Shared Lock Get Success: token={t5} max=0 waited=0 name=foo
		A< * granted mode=shared token={t5} addr={D} name=foo
		D> fr s {t4} foo
		D< 1 ok count=1
		A< * forced mode=shared token={t4} addr={C} name=foo
		# kick names no lock
		A> kick {D}
		A< 1 ok count=1
		A< * orphaned mode=shared token={t5} addr={D} name=foo
		A> unwatch
		A< 1 ok
		B reset
		C reset
		D reset
	`, adminsAreAll)
}

func TestWatchTellsOfNamesWithThePrefix(t *testing.T) {
	talkEverywhere(t, `
		A> "watch  a  b "
		A< 1 ok
		B>> "g a b\ng a bc\ng a\ng ab\ng A b\ng\nsg a c\nsg a b\nr ab\nr a bc\n"
		B< 1 Lock Get Success: a b
		B< 1 Lock Get Success: a bc
		B< 1 Lock Get Success: a
		B< 1 Lock Get Success: ab
		B< 1 Lock Get Success: A b
		B< "1 Lock Get Success: "
		B< 1 Shared Lock Get Success: a c
		B< 1 Shared Lock Get Success: a b
		B< 1 Lock Release Success: ab
		B< 1 Lock Release Success: a bc
		A~ * granted mode=exclusive token={t1} addr={B} name=a b
		A~ * granted mode=exclusive token={t2} addr={B} name=a bc
		A~ * granted mode=shared token={t3} addr={B} name=a b
		A< * released mode=exclusive token={t2} addr={B} name=a bc
		A> i end
		A< 0 Lock Not Locked: end
		# another watcher has another prefix
		C> watch a
		C< 1 ok
		D> "watch \xff"
		D< 1 ok
		B>> "r a b\nr a\nr A b\n"
		B< 1 Lock Release Success: a b
		B< 1 Lock Release Success: a
		B< 1 Lock Release Success: A b
		A< * released mode=exclusive token={t1} addr={B} name=a b
		C< * released mode=exclusive token={t1} addr={B} name=a b
		C<< "* released mode=exclusive token="
		C<< 3
		C< " addr={B} name=a"
		B> "g \xff\x00"
		B< "1 Lock Get Success: \xff\x00"
		D<< "* granted mode=exclusive token="
		D<< 9
		D< " addr={B} name=\xff\x00"
		A> unwatch
		A< 1 ok
		C> unwatch
		C< 1 ok
		D> unwatch
		D< 1 ok
	`)
}

func TestWatchTellsOfOnesOwn(t *testing.T) {
	talkEverywhere(t, `
		A> watch foo
		A< 1 ok
		A> gw 0 foo
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		A< * granted mode=exclusive token={t1} addr={A} name=foo
		A>> "g bar\nr foo\nsg foo\n"
		A< 1 Lock Get Success: bar
		A< 1 Lock Release Success: foo
		A< 1 Shared Lock Get Success: foo
		A< * released mode=exclusive token={t1} addr={A} name=foo
		A<< "* granted mode=shared token="
		A<< 3
		A< " addr={A} name=foo"
		# replies come first, also to what came with the watch
		B>> "watch\ngw 0 b\nr b\ni x\n"
		B< 1 ok
		B~ 1 Lock Get Success: token={t2} waited=0 name=b
		B< 1 Lock Release Success: b
		B< 0 Lock Not Locked: x
		B< * granted mode=exclusive token={t2} addr={B} name=b
		B< * released mode=exclusive token={t2} addr={B} name=b
		A> unwatch
		A< 1 ok
		B> unwatch
		B< 1 ok
	`)
}

func TestASecondWatchReplacesTheFirst(t *testing.T) {
	talkEverywhere(t, `
		A> watch a
		A< 1 ok
		A> watch b
		A< 1 ok
		B>> "gw 0 a1\ngw 0 b1\n"
		B~ 1 Lock Get Success: token={t1} waited=0 name=a1
		B~ 1 Lock Get Success: token={t2} waited=0 name=b1
		A< * granted mode=exclusive token={t2} addr={B} name=b1
		# the same once more is not told twice
		A> watch b
		A< 1 ok
		B> r b1
		B< 1 Lock Release Success: b1
		A< * released mode=exclusive token={t2} addr={B} name=b1
		A> watch
		A< 1 ok
		B> r a1
		B< 1 Lock Release Success: a1
		A< * released mode=exclusive token={t1} addr={B} name=a1
		A> unwatch
		A< 1 ok
		# as many as it likes
		A> unwatch
		A< 1 ok
		B>> "g a\nr a\ng b\nr b\n"
		B<< "1 Lock Get Success: a\n1 Lock Release Success: a\n1 Lock Get Success: b\n1 Lock Release Success: b\n"
		A> watch a
		A< 1 ok
		B> gw 0 a
		B~ 1 Lock Get Success: token={t3} waited=0 name=a
		A< * granted mode=exclusive token={t3} addr={B} name=a
		A> unwatch
		A< 1 ok
	`)
}

// What happened until then is told before it is said that nothing more will be.
func TestUnwatchStops(t *testing.T) {
	talkEverywhere(t, `
		C> watch
		C< 1 ok
		A> watch
		A< 1 ok
		A>> "gw 0 foo\nunwatch\nr foo\n"
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		A< * granted mode=exclusive token={t1} addr={A} name=foo
		A< 1 ok
		A< 1 Lock Release Success: foo
		C< * granted mode=exclusive token={t1} addr={A} name=foo
		C< * released mode=exclusive token={t1} addr={A} name=foo
		A> i foo
		A< 0 Lock Not Locked: foo
		C> unwatch
		C< 1 ok
	`)
}

func TestNothingFromBeforeTheWatchIsTold(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		for _, c := range []*client{s.connect("tcp4"), s.connect("unix")} {
			c.ask("watch", "1 ok\n") // so that events are gathered at all
			go io.Copy(io.Discard, c.in)
		}
		a, b := s.connect(transport), s.connect("tcp4")
		token := 0
		for i := range 10 {
			b.ask(fmt.Sprint("g before", i), fmt.Sprintf("1 Lock Get Success: before%d\n", i))
			a.ask("watch", "1 ok\n")
			b.ask(fmt.Sprint("g after", i), fmt.Sprintf("1 Lock Get Success: after%d\n", i))
			token += 2
			a.want(fmt.Sprintf("* granted mode=exclusive token=%d addr=%s name=after%d\n", token, b.addr, i))
			a.ask("unwatch", "1 ok\n")
		}
	})
}

func TestAWatcherThatWaitsIsToldMeanwhile(t *testing.T) {
	talkEverywhere(t, `
		B> g foo
		B< 1 Lock Get Success: foo
		A> watch bar
		A< 1 ok
		A> gw -1 foo
		A waits
		B> gw 0 bar
		B~ 1 Lock Get Success: token={t1} waited=0 name=bar
		A< * granted mode=exclusive token={t1} addr={B} name=bar
		A> i behind
		B> r bar
		B< 1 Lock Release Success: bar
		A< * released mode=exclusive token={t1} addr={B} name=bar
		A waits
		B> r foo
		B< 1 Lock Release Success: foo
		A~ 1 Lock Get Success: token={t2} waited={ms} name=foo
		A< 0 Lock Not Locked: behind
		A> sgw 0 1 bar
		A~ 1 Shared Lock Get Success: token={t3} max=1 waited=0 name=bar
		A< * granted mode=shared token={t3} addr={A} name=bar
		# and afterwards
		B> gw 0 bar
		B~ 1 Lock Get Success: token={t4} waited=0 name=bar
		A< * granted mode=exclusive token={t4} addr={B} name=bar
		A> unwatch
		A< 1 ok
	`)
}

// Of what it waits for it is told as well, between its replies.
func TestAWatcherIsToldOfWhatItWaitsFor(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect(transport), s.connect(transport)
		b.ask("g foo", "1 Lock Get Success: foo\n")
		a.ask("watch foo", "1 ok\n")
		a.send("gw -1 foo\ni behind\n")
		s.waits(a)
		b.ask("r foo", "1 Lock Release Success: foo\n")
		var replies, events []string
		for range 4 {
			line := a.line()
			if strings.HasPrefix(line, "* ") {
				events = append(events, line)
			} else {
				replies = append(replies, line)
			}
		}
		want := fmt.Sprintf("* released mode=exclusive token=1 addr=%s name=foo\n* granted mode=exclusive token=2 addr=%s name=foo\n", b.addr, a.addr)
		if got := strings.Join(events, ""); got != want {
			t.Errorf("it was told %q, want %q", got, want)
		}
		if len(replies) != 2 || !strings.HasPrefix(replies[0], "1 Lock Get Success: token=2 waited=") || replies[1] != "0 Lock Not Locked: behind\n" {
			t.Errorf("it was answered %q", replies)
		}
	})
}

// storm has c get and release locks until stop is closed, and returns what is
// closed when it has got all replies.
// eventsBefore reads events up to a reply, and returns their number.
// Of one lock, events come in the order in which it changed hands.
// A watcher's locks are free when it is gone, and another is told of them.
