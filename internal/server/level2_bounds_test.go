package server_test

import (
	"fmt"
	"strings"
	"testing"

	"lockd/internal/server"
)

// A line over the limit is never taken for the cancel that it begins with.
func TestALineOverTheLimitBehindAWaitIsNoCancel(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.LineBytes = 512 }))
	holder, c := s.connect("unix"), s.connect("unix")
	holder.ask("g foo", "1 Lock Get Success: foo\n")
	c.send("gw -1 foo\ncancel" + strings.Repeat(" ", 600) + "x\n")
	c.wantEnd()
	holder.ask("gw 0 foo", "1 Lock Get Success: token=1 waited=0 name=foo\n")
}

// A prefix may be long, but not so long that looking for it costs others much.
func TestAPrefixHasALimit(t *testing.T) {
	c := start(t).connect("tcp4")
	c.ask("watch "+strings.Repeat("x", 1024), "1 ok\n")
	c.ask("watch "+strings.Repeat("x", 1025), "0 bad arguments: watch\n")
	c.ask("g "+strings.Repeat("x", 1024), "1 Lock Get Success: "+strings.Repeat("x", 1024)+"\n")
	c.want("* granted mode=exclusive token=1 addr=" + c.addr + " name=" + strings.Repeat("x", 1024) + "\n")
}

// Long names of clients make a listing much longer than the names of the locks:
// a reply that is built whole must not take more memory than there is for it.
func TestAListingThatMustBeWholeHasALimit(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.SnapshotBytes = 4 << 20 }))
	named := s.connect("tcp4")
	named.ask("iam "+strings.Repeat("\xff", 60_000), "1 ok\n")
	for i := range 100 {
		named.ask(fmt.Sprintf("g %d", i), fmt.Sprintf("1 Lock Get Success: %d\n", i))
	}
	ws := s.connect("ws")
	ws.send("ls\n") // 100 times 440 KB
	ws.wantEnd()
	stream := s.connect("unix")
	stream.send("ls\nping\n")
	for range 100 {
		if line := stream.line(); len(line) < 400_000 {
			t.Fatalf("a line of %d bytes: %s", len(line), brief(line))
		}
	}
	stream.want("\n1 pong\n")
	if got := s.logs.count("connection"); got != 0 {
		t.Errorf("%d lines are logged", got)
	}
}
