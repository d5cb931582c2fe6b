package server_test

import (
	"strings"
	"testing"

	"lockd/internal/server"
)

func TestExclusiveLocksHaveOneHolder(t *testing.T) {
	talkEverywhere(t, `
		A> i foo
		A< 0 Lock Not Locked: foo
		A> g foo
		A< 1 Lock Get Success: foo
		A> i foo
		A< 1 Lock Is Locked: foo
		B> i foo
		B< 1 Lock Is Locked: foo
		B> g foo
		B< 0 Lock Get Failure: foo
		B> r foo
		B< 0 Lock Release Failure: foo
		# got twice, one r frees it
		A> g foo
		A< 1 Lock Get Success: foo
		A> r foo
		A< 1 Lock Release Success: foo
		A> r foo
		A< 0 Lock Release Failure: foo
		B> g foo
		B< 1 Lock Get Success: foo
		A> g foo
		A< 0 Lock Get Failure: foo
		B leave
		A> g foo
		A< 1 Lock Get Success: foo
	`)
}

func TestSharedLocksCountTheirHolders(t *testing.T) {
	talkEverywhere(t, `
		A> si foo
		A< 0 Shared Lock Not Locked: foo
		A> sr foo
		A< 0 Shared Lock Release Failure: foo
		A> sg foo
		A< 1 Shared Lock Get Success: foo
		B> sg foo
		B< 2 Shared Lock Get Success: foo
		A> sg foo
		A< 2 Shared Lock Get Success: foo
		C> si foo
		C< 2 Shared Lock Is Locked: foo
		C> sr foo
		C< 0 Shared Lock Release Failure: foo
		C> sg foo
		C< 3 Shared Lock Get Success: foo
		A> sr foo
		A< 1 Shared Lock Release Success: foo
		A> sr foo
		A< 0 Shared Lock Release Failure: foo
		A> si foo
		A< 2 Shared Lock Is Locked: foo
		B leave
		A> si foo
		A< 1 Shared Lock Is Locked: foo
		C> sr foo
		C< 1 Shared Lock Release Success: foo
		C> si foo
		C< 0 Shared Lock Not Locked: foo
	`)
}

func TestExclusiveAndSharedNeverMeet(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		B> sg foo
		B< 1 Shared Lock Get Success: foo
		B> r foo
		B< 0 Lock Release Failure: foo
		A> sr foo
		A< 0 Shared Lock Release Failure: foo
		A> r foo
		A< 1 Lock Release Success: foo
		A> si foo
		A< 1 Shared Lock Is Locked: foo
		A> i foo
		A< 0 Lock Not Locked: foo
	`)
}

func TestListingsShowHolders(t *testing.T) {
	talkEverywhere(t, `
		# nothing is held: no output
		A> d
		A> d foo
		A> sd
		A> sd foo
		A> dump
		A< map[]
		A> dump shared
		A< map[]
		A> g b
		A< 1 Lock Get Success: b
		B> g a
		B< 1 Lock Get Success: a
		B> g B
		B< 1 Lock Get Success: B
		C> sg s
		C< 1 Shared Lock Get Success: s
		A> sg s
		A< 2 Shared Lock Get Success: s
		B> sg s
		B< 3 Shared Lock Get Success: s
		B> sg r
		B< 1 Shared Lock Get Success: r
		B> iam worker
		B< 1 ok
		A> d
		A< B: worker
		A< a: worker
		A< b: {A}
		A> d a
		A< a: worker
		A> d b
		A< b: {A}
		A> d nothing
		A> d s
		A> sd a
		A> sd
		A< r: worker
		A< s: {C}
		A< s: {A}
		A< s: worker
		A> sd s
		A< s: {C}
		A< s: {A}
		A< s: worker
		# dump shows addresses, whatever its argument but shared
		A> dump
		A< map[B:{B} a:{B} b:{A}]
		A> dump shares
		A< map[B:{B} a:{B} b:{A}]
		A> dump  shared x
		A< map[B:{B} a:{B} b:{A}]
		A> "dump \t shared "
		A< map[r:[{B}] s:[{C} {A} {B}]]
		C> sr s
		C< 1 Shared Lock Release Success: s
		C> sg s
		C< 3 Shared Lock Get Success: s
		A> dump shared
		A< map[r:[{B}] s:[{A} {B} {C}]]
		B leave
		A> d
		A< b: {A}
		A> sd
		A< s: {A}
		A< s: {C}
	`)
}

func TestNamesOfClients(t *testing.T) {
	talkEverywhere(t, `
		A> me
		A< 1 {A} {A}
		A> me anything at all
		A< 1 {A} {A}
		A> who
		A> iam alpha
		A< 1 ok
		B> iam beta
		B< 1 ok
		A> me
		A< 1 {A} alpha
		B> who
		B< {A}: alpha
		B< {B}: beta
		# the order is that of the last iam
		A> iam alpha
		A< 1 ok
		B> who
		B< {B}: beta
		B< {A}: alpha
		# any number may bear one name
		C> iam beta
		C< 1 ok
		A> who beta
		A< {B}: beta
		A< {C}: beta
		A> who nobody
		A> who {A}
		A> "iam  two \t words "
		A< 1 ok
		B> me
		B< 1 {B} beta
		B> who two words
		B< {A}: two words
		# an empty argument takes the name back
		B> iam
		B< 1 ok
		B> me
		B< 1 {B} {B}
		A> who
		A< {C}: beta
		A< {A}: two words
		C leave
		A> who
		A< {A}: two words
		A> iam
		A< 1 ok
		A> iam
		A< 1 ok
		A> who
	`)
}

func TestNamesAreBytes(t *testing.T) {
	talkEverywhere(t, `
		A> "g a\x00b"
		A< "1 Lock Get Success: a\x00b"
		A> "g \xff\xfe"
		A< "1 Lock Get Success: \xff\xfe"
		A> g ünïcode 🔒
		A< 1 Lock Get Success: ünïcode 🔒
		# the empty name is a name
		A> g
		A< "1 Lock Get Success: "
		B> "g  \t "
		B< "0 Lock Get Failure: "
		B> i
		B< "1 Lock Is Locked: "
		B> r
		B< "0 Lock Release Failure: "
		B> sg
		B< "1 Shared Lock Get Success: "
		A> sg
		A< "2 Shared Lock Get Success: "
		A> si
		A< "2 Shared Lock Is Locked: "
		B> "iam n\x00\xff"
		B< 1 ok
		B> "g \x00"
		B< "1 Lock Get Success: \x00"
		A> d
		A< : {A}
		A< "\x00: n\x00\xff"
		A< "a\x00b: {A}"
		A< ünïcode 🔒: {A}
		A< "\xff\xfe: {A}"
		A> dump
		A< "map[:{A} \x00:{B} a\x00b:{A} ünïcode 🔒:{A} \xff\xfe:{A}]"
		A> dump shared
		A< map[:[{B} {A}]]
		A> sd
		A< "\x3a n\x00\xff"
		A< : {A}
		A> r
		A< "1 Lock Release Success: "
		A> sr
		A< "1 Shared Lock Release Success: "
		A> i
		A< "0 Lock Not Locked: "
		A> who
		A< "{B}: n\x00\xff"
	`)
}

func TestBlanks(t *testing.T) {
	talkEverywhere(t, `
		A> "  \t g \t a  \v\f b \r"
		A< 1 Lock Get Success: a b
		A> "i a b\r"
		A< 1 Lock Is Locked: a b
		A> "i a\tb"
		A< 1 Lock Is Locked: a b
		A> "i a\r\rb"
		A< 1 Lock Is Locked: a b
		# empty lines are nothing
		A> ""
		A> "\r"
		A> " \t\r\v\f "
		A>> "\n\n\r\n \n"
		# only a space separates the command
		A> "g\tx"
		A> "q\v"
		A< command_d: 0
		A< command_dump: 0
		A< command_g: 1
		A< command_i: 3
		A< command_q: 1
		A< command_r: 0
		A< command_sd: 0
		A< command_sg: 0
		A< command_si: 0
		A< command_sr: 0
		A< connections: 1
		A< invalid_commands: 1
		A< locks: 1
		A< orphans: 0
		A< shared_locks: 0
		A< shared_orphans: 0
		A> "\rme\r"
		A< 1 {A} {A}
		# no-break space and NEL are no blanks, nor are they parts of a command
		A> "g \u00a0"
		A< "1 Lock Get Success: \u00a0"
		A> "\u0085me"
		A> "g \x85"
		A< "1 Lock Get Success: \x85"
	`)
}

func TestUnknownCommandsAreSilentAndCounted(t *testing.T) {
	const noCommands = "gx 0 x\nG x\nget x\npong\ninf\nLs\nwatch-\nme\tx\n\x00\n\xff\xfe g\ng\x00 x\nCancel\nQ\ndump\tshared\nsg\vx\n"
	forEachTransport(t, func(t *testing.T, transport string) {
		c := start(t).connect(transport)
		c.send(noCommands)
		values, _ := c.counters()
		if got, want := values["invalid_commands"], uint64(strings.Count(noCommands, "\n")); got != want {
			t.Errorf("invalid_commands is %d, want %d", got, want)
		}
		for key, n := range values {
			if strings.HasPrefix(key, "command_") && key != "command_q" && n != 0 {
				t.Errorf("%s is %d", key, n)
			}
		}
	})
}

func TestDumpOff(t *testing.T) {
	talkEverywhere(t, `
		A> g foo
		A< 1 Lock Get Success: foo
		A> d
		A< 0 disabled
		A> d foo
		A< 0 disabled
		A> sd
		A< 0 disabled
		A> sd foo
		A< 0 disabled
		A> dump
		A< 0 disabled
		A> dump shared
		A< 0 disabled
		A> iam me
		A< 1 ok
		A> who
		A< 0 disabled
		A> who me
		A< 0 disabled
		A> me
		A< 1 {A} me
		A> q
		A< command_d: 2
		A< command_dump: 2
		A< command_g: 1
		A< command_i: 0
		A< command_iam: 1
		A< command_me: 1
		A< command_q: 1
		A< command_r: 0
		A< command_sd: 2
		A< command_sg: 0
		A< command_si: 0
		A< command_sr: 0
		A< command_who: 2
		A< connections: 1
		A< invalid_commands: 0
		A< locks: 1
		A< orphans: 0
		A< shared_locks: 0
		A< shared_orphans: 0
	`, with(func(s *server.Settings) { s.Dump = false }))
}

func TestRegistryOff(t *testing.T) {
	talkEverywhere(t, `
		A> iam me
		A< 0 disabled
		A> iam
		A< 0 disabled
		A> who
		A< 0 disabled
		A> who me
		A< 0 disabled
		A> me
		A< 1 {A} {A}
		A> g foo
		A< 1 Lock Get Success: foo
		A> d
		A< foo: {A}
		A> sg foo
		A< 1 Shared Lock Get Success: foo
		A> sd
		A< foo: {A}
	`, with(func(s *server.Settings) { s.Registry = false }))
}

func TestNamesAreHiddenWhileTheRegistryIsOff(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a := s.connect(transport)
		a.ask("iam alpha", "1 ok\n")
		a.ask("g foo", "1 Lock Get Success: foo\n")
		s.change(func(set *server.Settings) { set.Registry = false })
		b := s.connect(transport)
		b.ask("d", "foo: "+a.addr+"\n")
		b.ask("who", "0 disabled\n")
		s.change(func(set *server.Settings) { set.Registry = true })
		c := s.connect(transport)
		c.ask("d", "foo: alpha\n")
		c.ask("who", a.addr+": alpha\n")
	})
}

func TestAddressesAreThoseOfTheTransports(t *testing.T) {
	s := start(t)
	for _, transport := range everyTransport {
		for range 2 {
			c := s.connect(transport)
			c.ask("me", "1 "+c.addr+" "+c.addr+"\n")
			c.leave()
		}
	}
	if s.unixPeers != 2 {
		t.Fatalf("%d Unix clients", s.unixPeers)
	}
	// An IPv4 client of an IPv6 socket is shown as what it is.
	l := listen(t, "tcp://[::]:0")
	s.serve(l)
	_, port, _ := strings.Cut(l.String(), "]:")
	s.addresses["mapped"] = "127.0.0.1:" + port
	c := s.connect("mapped")
	if !strings.HasPrefix(c.addr, "127.0.0.1:") {
		t.Fatalf("the client's own address is %s", c.addr)
	}
	c.ask("me", "1 "+c.addr+" "+c.addr+"\n")
}
