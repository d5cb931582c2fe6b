package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// neighboursVariable has every server of this test binary be shared with clients
// of level 2, of the kind that it names.
const neighboursVariable = "LOCKD_TEST_NEIGHBOURS"

// neighbours are kinds of clients, each line of which is one client's: what it says
// again and again or, where it ends in a blank, once.
var neighbours = map[string][]string{
	// Those that take no lock, and so change nothing that level 1 can see.
	"onlookers": {
		"watch\n ",
		"ls\nls x a\ninfo\nping\ncancel\ngw\nls y\n",
		"fr x 4611686018427387904 foo\nfr s 4611686018427387904 foo\nkick 192.0.2.1:1\n",
		"watch f\nunwatch\nwatch a\n",
	},
	// Those that wait, which somebody must have a lock for. Listings show it.
	"waiting": {
		"watch\n ",
		"gw -1 neighbours\n ",
		"gw 1 neighbours\ncancel\nping\n",
		"sgw 1 1 neighbours\nsr neighbours\ngw 0 neighbours\nr neighbours\n",
		"sgw 1 2 neighbours\nsr neighbours\nls - n\n",
	},
}

// level1 are the tests of level 1 that servers with such clients must pass as well,
// as they are. Not among them is what compares the number of connections or the
// counters of all clients, what measures time or memory and, next to those who
// wait, what lists all locks: there, level 2 shows by design.
var level1 = map[string][]string{
	"onlookers": {
		"TestExclusiveLocksHaveOneHolder", "TestSharedLocksCountTheirHolders", "TestExclusiveAndSharedNeverMeet",
		"TestListingsShowHolders", "TestNamesOfClients", "TestNamesAreBytes", "TestUnknownCommandsAreSilentAndCounted",
		"TestRegistryOff", "TestNamesAreHiddenWhileTheRegistryIsOff", "TestAddressesAreThoseOfTheTransports",
		"TestEveryCutOfAStreamIsAnsweredTheSame", "TestByteByByteIsAnsweredTheSame", "TestWebSocketMessagesHoldLines",
		"TestRepliesToManyPipelinedCommandsAreInOrder", "TestNoPartOfALongLineIsRun", "TestTheFirstLineTooLong",
		"TestLimitOfLinesChangesMidConnection", "TestLimitOfLinesLoweredBelowWhatCame", "TestOthersKeepTheirLocks",
		"TestTheSameAddressIsAnotherClient", "TestRepliesThatAreNotUTF8AreBinary", "TestALongListingIsOneMessage",
		"TestFragmentsAreOneMessage", "TestALongMessageIsRunWhileItComes", "TestPingsAreAnswered",
		"TestWritesWorkAfterTheBacklogHasDrained", "TestLocksPerConnection", "TestHTTPWithoutLFIsRefusedAtHalfClose",
		"TestHTTPByteByByteIsRefused", "TestOnlyAFirstLineIsHTTP", "TestAWebSocketMaySayHTTP",
	},
	"waiting": {
		"TestExclusiveLocksHaveOneHolder", "TestSharedLocksCountTheirHolders", "TestExclusiveAndSharedNeverMeet", "TestNamesOfClients",
		"TestAddressesAreThoseOfTheTransports", "TestRepliesToManyPipelinedCommandsAreInOrder", "TestTheFirstLineTooLong",
		"TestLimitOfLinesChangesMidConnection", "TestLimitOfLinesLoweredBelowWhatCame", "TestTheSameAddressIsAnotherClient",
		"TestFragmentsAreOneMessage", "TestALongMessageIsRunWhileItComes", "TestPingsAreAnswered", "TestLocksPerConnection",
		"TestOnlyAFirstLineIsHTTP", "TestAWebSocketMaySayHTTP",
	},
}

// TestLevel1IsTheSameNextToLevel2 runs tests of level 1, as they are, on servers
// where clients of level 2 watch, list, break and wait all the time.
func TestLevel1IsTheSameNextToLevel2(t *testing.T) {
	for kind, names := range level1 {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.v", "-test.count=1", "-test.run", "^("+strings.Join(names, "|")+")$")
			cmd.Env = append(os.Environ(), neighboursVariable+"="+kind)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if passed := strings.Count(string(out), "\n--- PASS"); passed != len(names) {
				t.Errorf("%d of %d tests were run:\n%s", passed, len(names), out)
			}
			if moved := strings.Count(string(out), movedIn); moved < len(names) {
				t.Errorf("neighbours moved in %d times for %d tests", moved, len(names))
			}
		})
	}
}

// moveIn has neighbours live on the server until the test ends.
func (s *service) moveIn(kind string) {
	s.Helper()
	s.settings.Admin = func(netip.Addr) bool { return true }
	s.Apply(s.settings)
	var done atomic.Bool
	for _, lines := range neighbours[kind] {
		text, once := strings.CutSuffix(lines, " ")
		s.neighbour(&done, once, text)
	}
	eventually(s, "the neighbours live there", func() bool { return counterOf(s, s.Stats().Commands, "ping") > 0 })
	fmt.Println(movedIn)
	s.Cleanup(func() { done.Store(true) })
}

// movedIn is printed for each server that has neighbours.
const movedIn = "neighbours have moved in"

// neighbour says its lines again and again, or once.
func (s *service) neighbour(done *atomic.Bool, once bool, lines string) {
	s.Helper()
	conn, err := net.Dial("tcp", s.addresses["tcp4"])
	if err != nil {
		s.Fatalf("%v", err)
	}
	read := async(func() { io.Copy(io.Discard, bufio.NewReader(conn)) })
	said := async(func() {
		tick := time.NewTicker(500 * time.Microsecond) // the test needs a processor, too
		defer tick.Stop()
		for {
			if _, err := fmt.Fprint(conn, lines); err != nil || once || done.Load() {
				return
			}
			<-tick.C
		}
	})
	s.Cleanup(func() {
		conn.Close()
		<-read
		<-said
	})
}
