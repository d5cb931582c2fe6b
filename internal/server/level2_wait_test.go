package server_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockd/internal/server"
)

func TestATryIsAnsweredAtOnce(t *testing.T) {
	talkEverywhere(t, `
		A> gw 0 foo
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		B> gw 0 foo
		B~ 0 Lock Get Failure: reason=held holder={A} held={ms} queue=0 name=foo
		B> gw 0 bar
		B~ 1 Lock Get Success: token={t2} waited=0 name=bar
		A> iam alpha
		A< 1 ok
		# the holder is told by address
		B> gw 0 foo
		B~ 0 Lock Get Failure: reason=held holder={A} held={ms} queue=0 name=foo
		C> gw -1 foo
		C waits
		B> gw 0 foo
		B~ 0 Lock Get Failure: reason=queue holder={A} held={ms} queue=1 name=foo
		D> gw -1 foo
		D waits
		B> gw 0 foo
		B~ 0 Lock Get Failure: reason=queue holder={A} held={ms} queue=2 name=foo
		A> r foo
		A< 1 Lock Release Success: foo
		C~ 1 Lock Get Success: token={t3} waited={ms} name=foo
		B> gw 0 foo
		B~ 0 Lock Get Failure: reason=queue holder={C} held={ms} queue=1 name=foo
		C> r foo
		C< 1 Lock Release Success: foo
		D~ 1 Lock Get Success: token={t4} waited={ms} name=foo
		D> r foo
		D< 1 Lock Release Success: foo
		B> gw 0 foo
		B~ 1 Lock Get Success: token={t5} waited=0 name=foo
	`)
}

func TestATryForASharedLock(t *testing.T) {
	talkEverywhere(t, `
		A> sgw 0 2 foo
		A~ 1 Shared Lock Get Success: token={t1} max=2 waited=0 name=foo
		B> sgw 0 2 foo
		B~ 2 Shared Lock Get Success: token={t2} max=2 waited=0 name=foo
		C> sgw 0 2 foo
		C< 0 Shared Lock Get Failure: reason=limit count=2 max=2 queue=0 name=foo
		C> sgw 0 1 foo
		C< 0 Shared Lock Get Failure: reason=limit count=2 max=1 queue=0 name=foo
		# the limit is that of who asks
		C> sgw 0 3 foo
		C~ 3 Shared Lock Get Success: token={t3} max=3 waited=0 name=foo
		D> sgw 0 0 foo
		D~ 4 Shared Lock Get Success: token={t4} max=0 waited=0 name=foo
		E> sgw 0 2147483647 foo
		E~ 5 Shared Lock Get Success: token={t5} max=2147483647 waited=0 name=foo
		E> sr foo
		E< 1 Shared Lock Release Success: foo
		E> sgw -1 4 foo
		E waits
		# it would fit, and another waits
		F> sgw 0 0 foo
		F< 0 Shared Lock Get Failure: reason=queue count=4 max=0 queue=1 name=foo
		# sg has no limit and passes all that wait
		F> sg foo
		F< 5 Shared Lock Get Success: foo
		A> sr foo
		A< 1 Shared Lock Release Success: foo
		E> cancel
		E< 0 Shared Lock Get Failure: reason=cancelled count=4 max=4 queue=0 name=foo
		E< 1 ok
		B> sr foo
		B< 1 Shared Lock Release Success: foo
		E> sgw 0 4 foo
		E~ 4 Shared Lock Get Success: token={t6} max=4 waited=0 name=foo
	`)
}

func TestAWaitEndsWithTheRelease(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B> gw -1 foo
		B waits
		A> r foo
		A< 1 Lock Release Success: foo
		B~ 1 Lock Get Success: token={t1} waited={ms} name=foo
		A> i foo
		A< 1 Lock Is Locked: foo
		# a wait with an end, and one of 292 years
		A> gw 60000 foo
		A waits
		B> r foo
		B< 1 Lock Release Success: foo
		A~ 1 Lock Get Success: token={t2} waited={ms} name=foo
		B> gw 9223372036854 foo
		B waits
		# whatever way the holder goes
		A leave
		B~ 1 Lock Get Success: token={t3} waited={ms} name=foo
		# all that is only a wait for a lock that is free
		B> gw -1 bar
		B~ 1 Lock Get Success: token={t4} waited=0 name=bar
		B> gw 9223372036854 baz
		B~ 1 Lock Get Success: token={t5} waited=0 name=baz
		B> sgw -1 1 baz
		B~ 1 Shared Lock Get Success: token={t6} max=1 waited=0 name=baz
	`)
}

func TestWaitsForExclusiveAndSharedNeverMeet(t *testing.T) {
	talkEverywhere(t, `
		A> sg foo
		A< 1 Shared Lock Get Success: foo
		B> gw 0 foo
		B~ 1 Lock Get Success: token={t1} waited=0 name=foo
		C> sgw -1 1 foo
		C waits
		D> gw -1 foo
		D waits
		A> gw 0 foo
		A~ 0 Lock Get Failure: reason=queue holder={B} held={ms} queue=1 name=foo
		A> sr foo
		A< 1 Shared Lock Release Success: foo
		C~ 1 Shared Lock Get Success: token={t2} max=1 waited={ms} name=foo
		B> r foo
		B< 1 Lock Release Success: foo
		D~ 1 Lock Get Success: token={t3} waited={ms} name=foo
	`)
}

func TestNamesOfLocksThatAreWaitedFor(t *testing.T) {
	for _, name := range []string{"", "a b", "=", "name=x", "0", "-1", "\x00\xff", "ünï 🔒", strings.Repeat("x", 60_000)} {
		forEachTransport(t, func(t *testing.T, transport string) {
			s := start(t)
			a, b := s.connect(transport), s.connect(transport)
			a.ask("gw 0 "+name, "1 Lock Get Success: token=1 waited=0 name="+name+"\n")
			b.send("gw -1 " + name + "\n")
			s.waits(b)
			a.ask("r "+name, "1 Lock Release Success: "+name+"\n")
			b.wantGranted(name)
			a.ask("sgw 0 1 "+name, "1 Shared Lock Get Success: token=3 max=1 waited=0 name="+name+"\n")
			b.ask("sgw 0 1 "+name, "0 Shared Lock Get Failure: reason=limit count=1 max=1 queue=0 name="+name+"\n")
			b.send("sgw -1 1 " + name + "\n")
			s.waits(b)
			b.ask("cancel", "0 Shared Lock Get Failure: reason=cancelled count=1 max=1 queue=0 name="+name+"\n1 ok\n")
			a.send("gw 0 " + name + "\n")
			a.valued("0 Lock Get Failure").is("reason", "held").is("holder", b.addr).is("name", name)
		})
	}
	talkEverywhere(t, `
		A> "gw  0 \t a \v\f b \r"
		A~ 1 Lock Get Success: token={t1} waited=0 name=a b
		A> "gw 0"
		A~ "1 Lock Get Success: token={t2} waited=0 name="
		B> "gw 0 \t "
		B~ "0 Lock Get Failure: reason=held holder={A} held={ms} queue=0 name="
		A> "sgw 0 5 "
		A~ "1 Shared Lock Get Success: token={t3} max=5 waited=0 name="
		B> sgw 0 1
		B< "0 Shared Lock Get Failure: reason=limit count=1 max=1 queue=0 name="
		B> i
		B< "1 Lock Is Locked: "
	`)
}

// A valued line is one of level 2: a text, and values.
type valued struct {
	*client
	text   string
	values map[string]string
}

// valued reads a line that begins so.
func (c *client) valued(begin string) valued {
	c.Helper()
	line := strings.TrimSuffix(c.line(), "\n")
	text, rest, ok := strings.Cut(line, ": ")
	if !ok || text != begin {
		c.Fatalf("%s got %s, want %s: ...", c.name, brief(line), begin)
	}
	a := valued{c, line, make(map[string]string)}
	for rest != "" {
		key, value, ok := strings.Cut(rest, "=")
		if !ok {
			c.Fatalf("%s got %s, in which %q has no value", c.name, brief(line), rest)
		}
		rest = ""
		if key != "name" {
			value, rest, _ = strings.Cut(value, " ")
		}
		a.values[key] = value
	}
	return a
}

// is wants a value.
func (a valued) is(key, want string) valued {
	a.Helper()
	if got, there := a.values[key]; !there || got != want {
		a.Fatalf("%s is answered %s; want %s=%s", a.name, brief(a.text), key, want)
	}
	return a
}

// number returns a value that is one.
func (a valued) number(key string) int {
	a.Helper()
	n, err := strconv.Atoi(a.values[key])
	if err != nil {
		a.Fatalf("%s is answered %s, in which %s is no number", a.name, brief(a.text), key)
	}
	return n
}

// wantGranted wants the lock to be granted to who has waited for it.
func (c *client) wantGranted(name string) (token int) {
	c.Helper()
	return c.valued("1 Lock Get Success").is("name", name).number("token")
}

// within wants done to be closed long before anybody is given up.
func within(t failer, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience / 5):
		t.Fatalf("not in %v: %s", patience/5, what)
	}
}

// passed waits until so much time has gone since begun.
func passed(t failer, begun time.Time, d time.Duration) {
	t.Helper()
	eventually(t, fmt.Sprint(d, " have passed"), func() bool { return time.Since(begun) >= d })
}

func TestWaitedIsTheTimeThatWasWaited(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b, c := s.connect(transport), s.connect(transport), s.connect(transport)
		begun := time.Now()
		a.ask("g foo", "1 Lock Get Success: foo\n")
		a.ask("sg foo", "1 Shared Lock Get Success: foo\n")
		b.send("gw -1 foo\n")
		c.send("sgw -1 1 foo\n")
		s.waits(b)
		s.waits(c)
		const least = 30
		passed(t, time.Now(), least*time.Millisecond)
		d := s.connect(transport)
		d.send("gw 0 foo\n")
		held := d.valued("0 Lock Get Failure").number("held")
		a.ask("r foo", "1 Lock Release Success: foo\n")
		a.ask("sr foo", "1 Shared Lock Release Success: foo\n")
		waited := b.valued("1 Lock Get Success").number("waited")
		shared := c.valued("1 Shared Lock Get Success").number("waited")
		most := int(time.Since(begun).Milliseconds())
		for what, n := range map[string]int{"held": held, "waited": waited, "waited for the shared lock": shared} {
			if n < least || n > most {
				t.Errorf("%s is %d, want %d to %d", what, n, least, most)
			}
		}
	})
}

func TestAWaitTimesOut(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect(transport), s.connect(transport)
		a.send("g foo\nsg foo\n")
		a.want("1 Lock Get Success: foo\n1 Shared Lock Get Success: foo\n")
		const limit = 40
		begun := time.Now()
		b.send(fmt.Sprintf("gw %d foo\ni behind\n", limit))
		failed := b.valued("0 Lock Get Failure").is("reason", "timeout").is("holder", a.addr).is("queue", "0").is("name", "foo")
		if took := time.Since(begun); took < limit*time.Millisecond {
			t.Errorf("it timed out after %v", took)
		}
		if held := failed.number("held"); held < limit {
			t.Errorf("held is %d", held)
		}
		b.want("0 Lock Not Locked: behind\n")
		begun = time.Now()
		b.ask(fmt.Sprintf("sgw %d 1 foo", limit), "0 Shared Lock Get Failure: reason=timeout count=1 max=1 queue=0 name=foo\n")
		if took := time.Since(begun); took < limit*time.Millisecond {
			t.Errorf("it timed out after %v", took)
		}
		// It is in the queue no more.
		a.ask("r foo", "1 Lock Release Success: foo\n")
		a.ask("i foo", "0 Lock Not Locked: foo\n")
		a.ask("cancel", "0 nothing to cancel\n")
	})
}

// resetWaiter ends the connection of one who waits, and returns when it does so no
// more.
func TestWhoHoldsTheLockGetsItsOwnTokenAgain(t *testing.T) {
	talkEverywhere(t, `
		A> gw 0 foo
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		B> gw 0 other
		B~ 1 Lock Get Success: token={t2} waited=0 name=other
		A> gw 0 foo
		A< 1 Lock Get Success: token={t1} waited=0 name=foo
		A> gw -1 foo
		A< 1 Lock Get Success: token={t1} waited=0 name=foo
		A> g foo
		A< 1 Lock Get Success: foo
		# waiters or not
		B> gw -1 foo
		B waits
		A> gw 5 foo
		A< 1 Lock Get Success: token={t1} waited=0 name=foo
		# not counted twice, so that one r passes it on
		A> r foo
		A< 1 Lock Release Success: foo
		B~ 1 Lock Get Success: token={t3} waited={ms} name=foo
		B> gw 5 foo
		B< 1 Lock Get Success: token={t3} waited=0 name=foo
		# a lock got by g has a token too
		A> g bar
		A< 1 Lock Get Success: bar
		A> gw 0 bar
		A~ 1 Lock Get Success: token={t4} waited=0 name=bar
		A> r bar
		A< 1 Lock Release Success: bar
		A> gw 0 bar
		A~ 1 Lock Get Success: token={t5} waited=0 name=bar
	`)
}

func TestWhoHoldsASharedLockGetsItsOwnTokenAgain(t *testing.T) {
	talkEverywhere(t, `
		A> sg foo
		A< 1 Shared Lock Get Success: foo
		B> sgw 0 0 foo
		B~ 2 Shared Lock Get Success: token={t2} max=0 waited=0 name=foo
		# whatever MAX says
		B> sgw 0 1 foo
		B< 2 Shared Lock Get Success: token={t2} max=1 waited=0 name=foo
		C> sgw -1 2 foo
		C waits
		B> sgw -1 1 foo
		B< 2 Shared Lock Get Success: token={t2} max=1 waited=0 name=foo
		B> sg foo
		B< 2 Shared Lock Get Success: foo
		A> sr foo
		A< 1 Shared Lock Release Success: foo
		C~ 2 Shared Lock Get Success: token={t3} max=2 waited={ms} name=foo
		C> sgw 0 1 foo
		C< 2 Shared Lock Get Success: token={t3} max=1 waited=0 name=foo
	`)
}

func TestWithDumpOffTheHolderIsNotTold(t *testing.T) {
	talkEverywhere(t, `
		A> gw 0 foo
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		B> gw 0 foo
		B~ 0 Lock Get Failure: reason=held holder=- held={ms} queue=0 name=foo
		B> gw 5 foo
		B~ 0 Lock Get Failure: reason=timeout holder=- held={ms} queue=0 name=foo
		B> gw -1 foo
		B waits
		C> gw 0 foo
		C~ 0 Lock Get Failure: reason=queue holder=- held={ms} queue=1 name=foo
		B> cancel
		B~ 0 Lock Get Failure: reason=cancelled holder=- held={ms} queue=0 name=foo
		B< 1 ok
		B> sgw 0 1 foo
		B~ 1 Shared Lock Get Success: token={t2} max=1 waited=0 name=foo
		C> sgw 0 1 foo
		C< 0 Shared Lock Get Failure: reason=limit count=1 max=1 queue=0 name=foo
	`, with(func(s *server.Settings) { s.Dump = false }))
}

func TestTokensRiseWithEveryGrant(t *testing.T) {
	s := start(t)
	var clients []*client
	for _, transport := range everyTransport {
		clients = append(clients, s.connect(transport))
	}
	last := 0
	for i := range 200 {
		c, name := clients[i%len(clients)], fmt.Sprint("lock", i%7)
		c.send(fmt.Sprintf("g %s\nsg %s\ngw 0 %s\nsgw 0 0 %s\nr %s\nsr %s\n", name, name, name, name, name, name))
		c.want(fmt.Sprintf("1 Lock Get Success: %s\n1 Shared Lock Get Success: %s\n", name, name))
		exclusive := c.valued("1 Lock Get Success").number("token")
		shared := c.valued("1 Shared Lock Get Success").number("token")
		c.want(fmt.Sprintf("1 Lock Release Success: %s\n1 Shared Lock Release Success: %s\n", name, name))
		if exclusive <= last || shared <= exclusive {
			t.Fatalf("the tokens are %d and %d, after %d", exclusive, shared, last)
		}
		last = shared
	}
}
