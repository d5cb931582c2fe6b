package server_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"lockd/internal/locks"
	"lockd/internal/server"
)

func admins(allowed func(netip.Addr) bool) func(*setup) {
	return with(func(s *server.Settings) { s.Admin = allowed })
}

func adminsAreAll(s *setup) { admins(func(netip.Addr) bool { return true })(s) }

func TestBreakEndsTheConnectionThatHoldsTheLock(t *testing.T) {
	talkEverywhere(t, `
		A> gw 0 foo
		A~ 1 Lock Get Success: token={t1} waited=0 name=foo
		A>> "g bar\nsg baz\niam alpha\n"
		A< 1 Lock Get Success: bar
		A< 1 Shared Lock Get Success: baz
		A< 1 ok
		# all that it held is free when that is said
		B>> "fr x 0 foo\ng foo\ng bar\nsi baz\nwho\ni end\n"
		B< 1 ok count=1
		B< 1 Lock Get Success: foo
		B< 1 Lock Get Success: bar
		B< 0 Shared Lock Not Locked: baz
		B< 0 Lock Not Locked: end
		A eof
		# and it is counted no more
		B> q
		B< command_d: 0
		B< command_dump: 0
		B< command_g: 3
		B< command_i: 1
		B< command_iam: 1
		B< command_q: 1
		B< command_r: 0
		B< command_sd: 0
		B< command_sg: 1
		B< command_si: 1
		B< command_sr: 0
		B< command_who: 1
		B< connections: 1
		B< invalid_commands: 0
		B< locks: 2
		B< orphans: 2
		B< shared_locks: 0
		B< shared_orphans: 1
		B> fr x 0 baz
		B< 0 not held: baz
		B> fr s 0 foo
		B< 0 not held: foo
	`, adminsAreAll)
}

func TestBreakByToken(t *testing.T) {
	talkEverywhere(t, `
		A> gw 0 a b
		A~ 1 Lock Get Success: token={t1} waited=0 name=a b
		B> gw 0 other
		B~ 1 Lock Get Success: token={t2} waited=0 name=other
		# a token of another lock, one that never was, one that is over
		B> fr x {t2} a b
		B< 0 not held: a b
		B> fr x 9223372036854775807 a b
		B< 0 not held: a b
		A> r a b
		A< 1 Lock Release Success: a b
		A> gw 0 a b
		A~ 1 Lock Get Success: token={t3} waited=0 name=a b
		B> fr x {t1} a b
		B< 0 not held: a b
		A> i a b
		A< 1 Lock Is Locked: a b
		B> "fr  x   {t3} \t a   b"
		B< 1 ok count=1
		A eof
		B> fr x {t3} a b
		B< 0 not held: a b
		# of a shared lock, only who has the token
		C> sgw 0 0 foo
		C~ 1 Shared Lock Get Success: token={t4} max=0 waited=0 name=foo
		D> sgw 0 0 foo
		D~ 2 Shared Lock Get Success: token={t5} max=0 waited=0 name=foo
		E> sg foo
		E< 3 Shared Lock Get Success: foo
		B> fr x {t5} foo
		B< 0 not held: foo
		B>> "fr s {t5} foo\nsi foo\n"
		B< 1 ok count=1
		B< 2 Shared Lock Is Locked: foo
		D eof
		C> si foo
		C< 2 Shared Lock Is Locked: foo
		E> si foo
		E< 2 Shared Lock Is Locked: foo
	`, adminsAreAll)
}

func TestBreakOfASharedLockEndsAllItsHolders(t *testing.T) {
	talkEverywhere(t, `
		A> sg foo
		A< 1 Shared Lock Get Success: foo
		B> sg foo
		B< 2 Shared Lock Get Success: foo
		C> sg foo
		C< 3 Shared Lock Get Success: foo
		D> g foo
		D< 1 Lock Get Success: foo
		E>> "fr s 0 foo\nsi foo\ni foo\n"
		E< 1 ok count=3
		E< 0 Shared Lock Not Locked: foo
		E< 1 Lock Is Locked: foo
		A eof
		B eof
		C eof
		D> r foo
		D< 1 Lock Release Success: foo
		E> fr s 0 foo
		E< 0 not held: foo
	`, adminsAreAll)
}

func TestBreakOfTheEmptyNameAndOfBytes(t *testing.T) {
	talkEverywhere(t, `
		A> g
		A< "1 Lock Get Success: "
		B> fr x 0
		B< 1 ok count=1
		A eof
		B> "fr x 0 "
		B< "0 not held: "
		C> "g \x00\xff"
		C< "1 Lock Get Success: \x00\xff"
		B> "fr x 0 \x00\xfe"
		B< "0 not held: \x00\xfe"
		B> "fr x 0 \x00\xff"
		B< 1 ok count=1
		C eof
	`, adminsAreAll)
}

func TestBreakPassesTheLockToWhoWaits(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B> gw -1 foo
		B waits
		C> gw -1 foo
		C waits
		D> fr x 0 foo
		D< 1 ok count=1
		A eof
		B~ 1 Lock Get Success: token={t1} waited={ms} name=foo
		# one who waits does not hold
		D> fr x 0 foo
		D< 1 ok count=1
		B eof
		C~ 1 Lock Get Success: token={t2} waited={ms} name=foo
		# one who waits for another lock
		E> g bar
		E< 1 Lock Get Success: bar
		E> gw -1 foo
		E waits
		F> gw -1 foo
		F waits
		D> fr x 0 bar
		D< 1 ok count=1
		E eof
		C> r foo
		C< 1 Lock Release Success: foo
		F~ 1 Lock Get Success: token={t3} waited={ms} name=foo
	`, adminsAreAll)
}

func TestKickEndsTheConnectionWithTheAddress(t *testing.T) {
	talkEverywhere(t, `
		A>> "g foo\nsg bar\niam alpha\n"
		A< 1 Lock Get Success: foo
		A< 1 Shared Lock Get Success: bar
		A< 1 ok
		# a name is no address
		B> kick alpha
		B< 0 no such connection: alpha
		B> kick 127.0.0.1
		B< 0 no such connection: 127.0.0.1
		B> kick {A} x
		B< 0 no such connection: {A} x
		B> kick unix:0
		B< 0 no such connection: unix:0
		B>> "kick {A}\ng foo\nsg bar\nwho\ni end\n"
		B< 1 ok count=1
		B< 1 Lock Get Success: foo
		B< 1 Shared Lock Get Success: bar
		B< 0 Lock Not Locked: end
		A eof
		# one who waits
		C> gw -1 foo
		C waits
		D> gw -1 foo
		D waits
		B> "kick  {C} "
		B< 1 ok count=1
		C eof
		B> r foo
		B< 1 Lock Release Success: foo
		D~ 1 Lock Get Success: token={t1} waited={ms} name=foo
	`, adminsAreAll)
}

// Who has seen the end of a connection finds it gone.
func TestKickOfOneThatIsGone(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, adminsAreAll)
		admin := s.connect(transport)
		for range 20 {
			c := s.connect(transport)
			c.leave()
			admin.send("kick " + c.addr + "\n")
			if line := admin.line(); line != "0 no such connection: "+c.addr+"\n" {
				t.Fatalf("the kick of one that is gone is answered %q", line)
			}
		}
	})
}

// By fr or kick, one's own connection ends like others, and says nothing more.
func TestBreakOfOnesOwn(t *testing.T) {
	for _, command := range []string{"fr x 0 foo", "fr s 0 foo", "kick {A}"} {
		talkEverywhere(t, `
			B> sg foo
			B< 1 Shared Lock Get Success: foo
			A>> "g foo\nsg foo\ng bar\n"
			A< 1 Lock Get Success: foo
			A< 2 Shared Lock Get Success: foo
			A< 1 Lock Get Success: bar
			A>> "`+command+`\ng never\n"
			A eof
			C> g foo
			C< 1 Lock Get Success: foo
			C> g bar
			C< 1 Lock Get Success: bar
			C> i never
			C< 0 Lock Not Locked: never
			B reset
		`, adminsAreAll)
	}
}

func TestBreakIsForAdmins(t *testing.T) {
	onlyUnix := func(ip netip.Addr) bool { return !ip.IsValid() }
	s := start(t, admins(onlyUnix))
	var there []*client
	for _, transport := range everyTransport {
		c := s.connect(transport)
		c.ask("sg foo", fmt.Sprintf("%d Shared Lock Get Success: foo\n", len(there)+1))
		there = append(there, c)
	}
	tcp4, tcp6, unix, ws := there[0], there[1], there[2], there[3]
	for _, c := range []*client{tcp4, tcp6, ws} {
		c.ask("fr s 0 foo", "0 denied\n")
		c.ask("fr s 0 nothing", "0 denied\n")
		c.ask("kick "+unix.addr, "0 denied\n")
		c.ask("kick "+c.addr, "0 denied\n")
	}
	unix.ask("kick "+tcp4.addr, "1 ok count=1\n")
	tcp4.wantEOF()
	tcp6.ask("si foo", "3 Shared Lock Is Locked: foo\n")
	// It may change while clients are there.
	s.change(func(set *server.Settings) {
		set.Admin = func(ip netip.Addr) bool { return ip == netip.MustParseAddr("127.0.0.1") }
	})
	for _, c := range []*client{tcp6, unix} {
		c.ask("kick "+ws.addr, "0 denied\n")
	}
	ws.ask("kick "+unix.addr, "1 ok count=1\n")
	unix.wantEOF()
	s.change(func(set *server.Settings) { set.Admin = nil })
	s.connect("unix").ask("kick "+ws.addr, "0 denied\n")
	ws.ask("fr s 0 foo", "0 denied\n")
	tcp6.ask("si foo", "2 Shared Lock Is Locked: foo\n")
}

// Each breaks what the other holds, at the same time.
func TestTwoThatBreakEachOther(t *testing.T) {
	s := start(t, adminsAreAll)
	for i := range 120 {
		one := s.connect(everyTransport[i%4])
		two := s.connect(everyTransport[i/4%4])
		one.ask("g one", "1 Lock Get Success: one\n")
		two.ask("g two", "1 Lock Get Success: two\n")
		commands := [2]string{"fr x 0 two\n", "fr x 0 one\n"}
		if i%2 == 1 {
			commands = [2]string{"kick " + two.addr + "\n", "kick " + one.addr + "\n"}
		}
		s.breakAtOnce([]*client{one, two}, commands[:])
	}
}

// breakAtOnce sends each client's command, which breaks another of them. Each is gone
// without a word or told that another is, and may be the next then.
func (s *service) breakAtOnce(clients []*client, commands []string) {
	s.Helper()
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() { c.write(commands[i]) })
	}
	soon(s, "all is sent", async(all.Wait))
	gone := 0
	for _, c := range clients {
		c.arm()
		line, err := c.in.ReadString('\n')
		switch {
		case err != nil && line == "":
			gone++
		case line == "1 ok count=1\n" || strings.HasPrefix(line, "0 no"): // it had gone before
		default:
			s.Fatalf("%s got %q, %v", c.name, line, err)
		}
	}
	if gone == 0 {
		s.Fatalf("nobody is gone")
	}
	for _, c := range clients {
		c.conn.Close()
	}
	eventually(s, "all are gone", func() bool { return s.Stats().Connections() == 0 })
	if st := s.table.Stats(); st.Bytes != 0 {
		s.Fatalf("when all are gone, the table is %+v", st)
	}
}

func TestARingOfThoseWhoBreakEachOther(t *testing.T) {
	s := start(t, adminsAreAll)
	for range 40 {
		var clients []*client
		var commands []string
		for i := range 8 {
			c := s.connect(everyTransport[i%4])
			c.ask(fmt.Sprint("g lock", i), fmt.Sprintf("1 Lock Get Success: lock%d\n", i))
			clients = append(clients, c)
			commands = append(commands, fmt.Sprintf("fr x 0 lock%d\n", (i+1)%8))
		}
		s.breakAtOnce(clients, commands)
	}
}

// Two admins who want the same are both told so, or one that there is nothing.
func TestTwoThatBreakTheSame(t *testing.T) {
	s := start(t, adminsAreAll)
	one, two := s.connect("tcp4"), s.connect("ws")
	for i := range 60 {
		c := s.connect(everyTransport[i%4])
		c.ask("g foo", "1 Lock Get Success: foo\n")
		var both sync.WaitGroup
		for _, admin := range []*client{one, two} {
			both.Go(func() { admin.write("fr x 0 foo\ni foo\n") })
		}
		soon(t, "both have sent", async(both.Wait))
		told := 0
		for _, admin := range []*client{one, two} {
			switch line := admin.line(); line {
			case "1 ok count=1\n":
				told++
			case "0 not held: foo\n":
			default:
				t.Fatalf("%s got %q", admin.name, line)
			}
			admin.want("0 Lock Not Locked: foo\n")
		}
		if told == 0 {
			t.Fatal("neither was told that it is gone")
		}
		c.wantEOF()
	}
}

// Whatever a connection is busy with, it goes.
func TestBreakOfAClientThatDoesNotRead(t *testing.T) {
	forFew(t, func(t *testing.T, transport string) {
		t.Parallel()
		for _, how := range []string{"fr x 0 held\n", "kick {A}\n"} {
			s := start(t, smallKernel, backlogBytes(32<<10), adminsAreAll)
			f := s.flood(transport)
			f.ask("g held", "1 Lock Get Success: held\n")
			if err := f.untilStuck(s); err != nil {
				t.Fatal(err)
			}
			admin := s.connect("tcp4")
			admin.send(strings.ReplaceAll(how, "{A}", f.addr) + "g held\n")
			admin.want("1 ok count=1\n1 Lock Get Success: held\n")
		}
	})
}

func TestBreakOfAClientInAListing(t *testing.T) {
	forFew(t, func(t *testing.T, transport string) {
		t.Parallel()
		s := start(t, smallKernel, backlogBytes(32<<10), adminsAreAll)
		listing := s.fill(10_000)
		f := s.flood(transport)
		f.ask("g held", "1 Lock Get Success: held\n")
		f.send("sd\n")
		f.want(listing[:100])
		admin := s.connect("tcp4")
		admin.ask("kick "+f.addr, "1 ok count=1\n")
		admin.ask("g held", "1 Lock Get Success: held\n")
	})
}

// Nor does one go later because others take their time.
func TestBreakOfAClientWhoseListingWaitsForOthers(t *testing.T) {
	s := start(t, adminsAreAll, userTimeout(0), smallKernel, backlogBytes(1<<10),
		with(func(set *server.Settings) { set.SnapshotBytes = 1 }))
	listing := s.fill(10_000)
	slow, victim, admin := s.flood("tcp4"), s.connect("tcp4"), s.connect("tcp4")
	slow.send("d\n")
	slow.want(listing[:100])
	victim.ask("g held", "1 Lock Get Success: held\n")
	victim.send("d\n")
	s.readBy(victim)
	admin.send("fr x 0 held\n")
	told := async(func() {
		admin.arm()
		admin.in.Peek(1)
	})
	// As long as its own client does not read, the first listing goes on.
	within(t, "who broke the lock is told so", told)
	admin.want("1 ok count=1\n")
}

func TestOrphansOfBrokenLocks(t *testing.T) {
	s := start(t, adminsAreAll)
	admin := s.connect("unix")
	for i := range 8 {
		c := s.connect(everyTransport[i%4])
		c.take(10)
		admin.ask([]string{"fr x 0 x3", "fr s 0 s3", "kick " + c.addr}[i%3], "1 ok count=1\n")
		c.wantEOF()
		admin.wantAllFree(10, uint64(i+1), 1)
	}
}

// A lock is not taken from a connection that stays: one that is being broken holds
// all it held until it is gone.
func TestBreakAndCloseAtOnce(t *testing.T) {
	for range 20 {
		s := start(t, adminsAreAll)
		admin := s.connect("tcp4")
		for i := range 4 {
			s.connect(everyTransport[i]).ask("sg foo", fmt.Sprintf("%d Shared Lock Get Success: foo\n", i+1))
		}
		admin.send("fr s 0 foo\n")
		soon(t, "Destroy returns", async(s.Destroy))
		if n := s.table.Inspect(locks.Shared, []byte("foo")); n != 0 {
			t.Errorf("%d hold the lock", n)
		}
	}
}
