package server_test

import (
	"testing"
	"time"

	"lockd/internal/locks"
)

func TestATimeoutInTheMiddleOfTheQueueKeepsTheOrder(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B> gw -1 foo
		B waits
		C> gw 5 foo
		C~ 0 Lock Get Failure: reason=timeout holder={A} held={ms} queue=1 name=foo
		D> gw -1 foo
		D waits
		C> gw -1 foo
		C waits
		A leave
		B~ 1 Lock Get Success: token={t1} waited={ms} name=foo
		B leave
		D~ 1 Lock Get Success: token={t2} waited={ms} name=foo
		D leave
		C~ 1 Lock Get Success: token={t3} waited={ms} name=foo
	`)
}

func TestTheQueueIsFirstComeFirstServed(t *testing.T) {
	s := start(t)
	holder := s.connect("tcp4")
	holder.ask("gw 0 foo", "1 Lock Get Success: token=1 waited=0 name=foo\n")
	var queue []*client
	for i := range 40 {
		c := s.connect(everyTransport[i%len(everyTransport)])
		c.send("gw -1 foo\n")
		s.waits(c)
		queue = append(queue, c)
	}
	// One in the middle leaves, one cancels, one that has been there comes again.
	s.resetWaiter(queue[11])
	queue[17].send("cancel\n")
	queue[17].valued("0 Lock Get Failure").is("reason", "cancelled").is("queue", "38")
	queue[17].want("1 ok\n")
	queue[17].send("gw -1 foo\n")
	s.waits(queue[17])
	queue = append(append(queue[:11:11], queue[12:17]...), append(queue[18:], queue[17])...)
	for i, c := range queue {
		holder.ask("r foo", "1 Lock Release Success: foo\n")
		if token := c.wantGranted("foo"); token != i+2 {
			t.Fatalf("number %d got token %d", i, token)
		}
		other := queue[len(queue)-1]
		if i < len(queue)-1 && !s.inQueue(other) {
			t.Fatalf("with number %d, the last was granted the lock", i)
		}
		holder = c
	}
}

func (s *service) resetWaiter(c *client) {
	s.Helper()
	c.reset()
	eventually(s, c.name+" waits no more", func() bool { return !s.inQueue(c) })
}

func TestNobodyOvertakesTheQueueOfAnExclusiveLock(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B> gw -1 foo
		B waits
		C> g foo
		C< 0 Lock Get Failure: foo
		# the release grants, so that nothing comes between
		A>> "r foo\ng foo\ngw 0 foo\ni foo\n"
		A< 1 Lock Release Success: foo
		A< 0 Lock Get Failure: foo
		A~ 0 Lock Get Failure: reason=held holder={B} held={ms} queue=0 name=foo
		A< 1 Lock Is Locked: foo
		B~ 1 Lock Get Success: token={t1} waited={ms} name=foo
		B> r foo
		B< 1 Lock Release Success: foo
		C> g foo
		C< 1 Lock Get Success: foo
	`)
}

func TestMaxIsJudgedWhenGranting(t *testing.T) {
	talkEverywhere(t, `
		A> sg foo
		A< 1 Shared Lock Get Success: foo
		B> sg foo
		B< 2 Shared Lock Get Success: foo
		# the head does not fit, so nobody behind it is served
		C> sgw -1 1 foo
		C waits
		D> sgw -1 3 foo
		D waits
		E> sgw -1 0 foo
		E waits
		F> sgw -1 4 foo
		F waits
		A> sr foo
		A< 1 Shared Lock Release Success: foo
		# all holders count, those of sg too
		A> sg foo
		A< 2 Shared Lock Get Success: foo
		# it leaves, and all behind it fit
		C> cancel
		C< 0 Shared Lock Get Failure: reason=cancelled count=4 max=1 queue=1 name=foo
		C< 1 ok
		D~ 3 Shared Lock Get Success: token={t1} max=3 waited={ms} name=foo
		E~ 4 Shared Lock Get Success: token={t2} max=0 waited={ms} name=foo
		C> sgw 0 0 foo
		C< 0 Shared Lock Get Failure: reason=queue count=4 max=0 queue=1 name=foo
		# sg can keep it out
		C> sg foo
		C< 5 Shared Lock Get Success: foo
		A> sr foo
		A< 1 Shared Lock Release Success: foo
		B> sr foo
		B< 1 Shared Lock Release Success: foo
		F~ 4 Shared Lock Get Success: token={t3} max=4 waited={ms} name=foo
	`)
}

func TestSharedWaitersAreServedUntilOneDoesNotFit(t *testing.T) {
	talkEverywhere(t, `
		A> sgw 0 1 foo
		A~ 1 Shared Lock Get Success: token={t1} max=1 waited=0 name=foo
		B> sgw -1 1 foo
		B waits
		C> sgw -1 2 foo
		C waits
		D> sgw -1 2 foo
		D waits
		A> sr foo
		A< 1 Shared Lock Release Success: foo
		B~ 1 Shared Lock Get Success: token={t2} max=1 waited={ms} name=foo
		C~ 2 Shared Lock Get Success: token={t3} max=2 waited={ms} name=foo
		A> sgw 0 9 foo
		A< 0 Shared Lock Get Failure: reason=queue count=2 max=9 queue=1 name=foo
		# its end frees the lock for two
		B leave
		D~ 2 Shared Lock Get Success: token={t4} max=2 waited={ms} name=foo
	`)
}

func TestLocksPerConnectionAndWaiting(t *testing.T) {
	talkEverywhere(t, `
		A> g a
		A< 1 Lock Get Success: a
		A> sg b
		A< 1 Shared Lock Get Success: b
		A> gw 0 c
		A< 0 Lock Get Failure: reason=too-many holder=- held=0 queue=0 name=c
		A> gw -1 c
		A< 0 Lock Get Failure: reason=too-many holder=- held=0 queue=0 name=c
		A> sgw -1 3 c
		A< 0 Shared Lock Get Failure: reason=too-many count=0 max=3 queue=0 name=c
		# what it holds it gets
		A> gw -1 a
		A~ 1 Lock Get Success: token={t1} waited=0 name=a
		B> g held
		B< 1 Lock Get Success: held
		B> sg held
		B< 1 Shared Lock Get Success: held
		# nor may it wait, as it may not get it
		A> gw 60000 held
		A~ 0 Lock Get Failure: reason=too-many holder={B} held={ms} queue=0 name=held
		A> sgw 60000 1 held
		A< 0 Shared Lock Get Failure: reason=too-many count=1 max=1 queue=0 name=held
		A> sr b
		A< 1 Shared Lock Release Success: b
		A> gw -1 held
		A waits
		B> r held
		B< 1 Lock Release Success: held
		A~ 1 Lock Get Success: token={t2} waited={ms} name=held
	`, limited(locks.Limits{SessionHolds: 2}))
}

func TestTooManyIsCountedByReason(t *testing.T) {
	s := start(t, limited(locks.Limits{SessionHolds: 1}))
	a, b := s.connect("tcp4"), s.connect("tcp4")
	a.ask("g foo", "1 Lock Get Success: foo\n")
	a.ask("gw -1 bar", "0 Lock Get Failure: reason=too-many holder=- held=0 queue=0 name=bar\n")
	a.ask("sgw 0 0 bar", "0 Shared Lock Get Failure: reason=too-many count=0 max=0 queue=0 name=bar\n")
	s.table.SetLimits(locks.Limits{Bytes: 1})
	b.ask("gw 0 bar", "0 Lock Get Failure: reason=too-many holder=- held=0 queue=0 name=bar\n")
	b.ask("gw -1 bar", "0 Lock Get Failure: reason=too-many holder=- held=0 queue=0 name=bar\n")
	b.send("gw -1 foo\n") // nor is there room for who waits
	b.valued("0 Lock Get Failure").is("reason", "too-many").is("holder", a.addr).is("queue", "0")
	b.send("gw 0 foo\n") // which a try is not
	b.valued("0 Lock Get Failure").is("reason", "held").is("holder", a.addr)
	limited := s.Stats().Limited
	if n := counterOf(t, limited, "locks_per_connection"); n != 2 {
		t.Errorf("locks_per_connection: %d, want 2", n)
	}
	if n := counterOf(t, limited, "table_bytes"); n != 3 {
		t.Errorf("table_bytes: %d, want 3", n)
	}
	s.table.SetLimits(locks.Limits{})
	b.send("gw -1 foo\n")
	s.waits(b)
	a.leave()
	b.wantGranted("foo")
}

// Limits are for who comes; who waits already has its place.
func TestLimitsThatFallDuringAWaitDoNotEndIt(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect(transport), s.connect(transport)
		a.ask("g foo", "1 Lock Get Success: foo\n")
		b.ask("g held", "1 Lock Get Success: held\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		s.table.SetLimits(locks.Limits{SessionHolds: 1, Bytes: 1})
		a.ask("r foo", "1 Lock Release Success: foo\n")
		b.wantGranted("foo")
		b.ask("g more", "0 Lock Get Failure: more\n")
	})
}

func TestStatsTellOfThoseWhoWait(t *testing.T) {
	s := start(t)
	a, b, c := s.connect("tcp4"), s.connect("unix"), s.connect("ws")
	a.send("g foo\nsg foo\n")
	a.want("1 Lock Get Success: foo\n1 Shared Lock Get Success: foo\n")
	if age := s.Stats().OldestWaiter; age != 0 {
		t.Errorf("nobody waits, and the oldest has waited %v", age)
	}
	begun := time.Now()
	b.send("gw -1 foo\n")
	s.waits(b)
	first := time.Now()
	passed(t, first, 20*time.Millisecond)
	c.send("sgw -1 1 foo\n")
	s.waits(c)
	st := s.Stats()
	if age := st.OldestWaiter; age < 20*time.Millisecond || age > time.Since(begun) {
		t.Errorf("the oldest has waited %v", age)
	}
	if n, m := st.Locks.Exclusive.Waiters, st.Locks.Shared.Waiters; n != 1 || m != 1 {
		t.Errorf("%d and %d wait, want 1 and 1", n, m)
	}
	b.send("cancel\n")
	b.valued("0 Lock Get Failure")
	b.want("1 ok\n")
	if age := s.Stats().OldestWaiter; age >= time.Since(first) {
		t.Errorf("when the oldest has given up, the oldest has waited %v", age)
	}
	a.ask("sr foo", "1 Shared Lock Release Success: foo\n")
	c.valued("1 Shared Lock Get Success")
	if st := s.Stats(); st.OldestWaiter != 0 || st.Locks.Exclusive.Waiters+st.Locks.Shared.Waiters != 0 {
		t.Errorf("when nobody waits: %+v", st)
	}
}
