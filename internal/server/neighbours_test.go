package server_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lockd/internal/server"
)

// neighboursVariable has every server of this test binary be shared with clients
// of level 2, of the kind that it names.
const neighboursVariable = "LOCKD_TEST_NEIGHBOURS"

// waiting is the kind of neighbours that wait for a lock of their own, which somebody
// must have for that. Listings and counters show it.
const waiting = "waiting"

// waitingNeighbours are clients, each of whom says its lines again and again or, where
// they end in a blank, once.
var waitingNeighbours = []string{
	"watch\n ",
	"gw -1 neighbours\n ",
	"gw 1 neighbours\ncancel\nping\n",
	"sgw 1 1 neighbours\nsr neighbours\ngw 0 neighbours\nr neighbours\n",
	"sgw 1 2 neighbours\nsr neighbours\nls - n\n",
}

// besideWaiting are the tests of level 1 that must pass beside those as well. Not
// among them is what compares the number of connections or the counters of all
// clients, what measures time or memory, and what lists all locks.
var besideWaiting = []string{
	"TestExclusiveLocksHaveOneHolder", "TestSharedLocksCountTheirHolders", "TestExclusiveAndSharedNeverMeet", "TestNamesOfClients",
	"TestAddressesAreThoseOfTheTransports", "TestRepliesToManyPipelinedCommandsAreInOrder", "TestTheFirstLineTooLong",
	"TestLimitOfLinesChangesMidConnection", "TestLimitOfLinesLoweredBelowWhatCame", "TestTheSameAddressIsAnotherClient",
	"TestFragmentsAreOneMessage", "TestALongMessageIsRunWhileItComes", "TestPingsAreAnswered", "TestLocksPerConnection",
	"TestOnlyAFirstLineIsHTTP", "TestAWebSocketMaySayHTTP",
}

// level1Files have the tests of what level 1 answers, all of which must pass beside
// courteous neighbours.
var level1Files = []string{
	"commands_test.go", "counters_test.go", "end_test.go", "fuzz_test.go", "limits_test.go", "lines_test.go",
	"settings_test.go", "websocket_test.go",
}

// exempt are those that need not, and why.
var exempt = map[string]string{
	"TestTheTableIsFullAndThenNot":                   "who waits takes of limits.table_bytes, by design",
	"TestListingsTakeTurnsForTheirMemory":            "the neighbours' listings take of limits.snapshot_bytes, by design",
	"TestASlowListingEndsWhenOthersWaitForItsMemory": "as above",
	"TestAWaitingListingEndsWithDestroy":             "as above",
}

// level1Tests returns the names of the tests in level1Files.
func level1Tests(t *testing.T) (names []string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, file := range level1Files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				seen[f.Name.Name] = true
				if exempt[f.Name.Name] == "" {
					names = append(names, f.Name.Name)
				}
			}
		}
	}
	for name := range exempt {
		if !seen[name] {
			t.Errorf("%s is exempt, and is not there", name)
		}
	}
	return names
}

// TestLevel1IsTheSameNextToLevel2 runs tests of level 1, as they are, on servers
// where clients of level 2 watch, list, break and wait all the time.
func TestLevel1IsTheSameNextToLevel2(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the tests of level 1 twice more")
	}
	t.Run(courteous, func(t *testing.T) {
		t.Parallel()
		wantTold(t, runBeside(t, courteous, level1Tests(t)))
	})
	t.Run(waiting, func(t *testing.T) {
		t.Parallel()
		out := runBeside(t, waiting, besideWaiting)
		if moved := strings.Count(out, movedIn); moved < len(besideWaiting) {
			t.Errorf("neighbours moved in %d times for %d tests", moved, len(besideWaiting))
		}
	})
}

// runBeside runs tests beside neighbours, and returns what they print.
func runBeside(t *testing.T, kind string, names []string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.count=1", "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.Env = append(os.Environ(), neighboursVariable+"="+kind)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if passed := strings.Count(string(out), "\n--- PASS"); passed != len(names) {
		t.Errorf("%d of %d tests were run:\n%s", passed, len(names), out)
	}
	return string(out)
}

// moveIn has neighbours live on the server until the test ends.
func (s *service) moveIn(kind string) {
	s.Helper()
	s.change(func(set *server.Settings) { set.Admin = func(netip.Addr) bool { return true } })
	if kind == courteous {
		s.moveInCourteously()
		return
	}
	var done atomic.Bool
	for _, lines := range waitingNeighbours {
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
