package server_test

import (
	"fmt"
	"strings"
	"testing"

	"lockd/internal/locks"
)

// take makes c hold n locks of each mode and bear a name.
func (c *client) take(n int) {
	c.Helper()
	var commands, replies strings.Builder
	for i := range n {
		fmt.Fprintf(&commands, "g x%d\nsg s%d\n", i, i)
		fmt.Fprintf(&replies, "1 Lock Get Success: x%d\n1 Shared Lock Get Success: s%d\n", i, i)
	}
	commands.WriteString("iam leaver\n")
	replies.WriteString("1 ok\n")
	c.send(commands.String())
	c.want(replies.String())
}

// wantAllFree wants other to find nothing left of one that held n locks of each
// mode, at once.
func (c *client) wantAllFree(n int, leavers, connections uint64) {
	c.Helper()
	c.send("who\nd\nsd\ndump\ndump shared\n")
	c.want("map[]\nmap[]\n")
	values, _ := c.counters()
	orphans := uint64(n) * leavers
	if values["connections"] != connections || values["locks"] != 0 || values["shared_locks"] != 0 ||
		values["orphans"] != orphans || values["shared_orphans"] != orphans {
		c.Fatalf("%d connections, %d and %d locks, %d and %d orphans; want %d, 0, 0, %d, %d",
			values["connections"], values["locks"], values["shared_locks"],
			values["orphans"], values["shared_orphans"], connections, orphans, orphans)
	}
}

func TestWhoSeesTheEndFindsTheLocksFree(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		watcher := s.connect("tcp4")
		for i := range uint64(50) {
			c := s.connect(transport)
			c.take(200)
			c.leave()
			if st := s.Stats(); st.Connections() != 1 || st.Locks.Exclusive.Locks != 0 || st.Locks.Bytes != 0 {
				t.Fatalf("after the end: %+v", st)
			}
			watcher.wantAllFree(200, i+1, 1)
		}
	})
}

func TestHalfCloseBehindCommandsAnswersThemFirst(t *testing.T) {
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t)
		watcher := s.connect("unix")
		c := s.connect(transport)
		const n = 3000
		var commands, replies strings.Builder
		for i := range n {
			fmt.Fprintf(&commands, "g lock%d\n", i)
			fmt.Fprintf(&replies, "1 Lock Get Success: lock%d\n", i)
		}
		c.send(commands.String())
		c.halfClose()
		c.want(replies.String())
		c.wantEOF()
		if values, _ := watcher.counters(); values["locks"] != 0 || values["orphans"] != n || values["connections"] != 1 {
			t.Fatalf("after the end: %v", values)
		}
	})
}

func TestACloseFreesTheLocks(t *testing.T) {
	ways := map[string]func(c *client){
		"close":       func(c *client) { c.conn.Close() },
		"reset":       (*client).reset,
		"with unread": func(c *client) { c.send("i never read"); c.conn.Close() },
	}
	for way, end := range ways {
		t.Run(way, func(t *testing.T) {
			forEachTransport(t, func(t *testing.T, transport string) {
				s := start(t)
				watcher := s.connect("tcp4")
				watcher.ask("i free", "0 Lock Not Locked: free\n") // accepted, and counted
				c := s.connect(transport)
				c.take(100)
				end(c)
				// Nobody but the server sees this end. As connections fall last,
				// who finds them fallen finds all else done.
				eventually(t, "the connection is gone", func() bool { return s.Stats().Connections() == 1 })
				watcher.wantAllFree(100, 1, 1)
			})
		})
	}
}

func TestDestroyFreesTheLocksBeforeAStreamEnds(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		for range 20 {
			s := start(t)
			c := s.connect(transport)
			c.take(200)
			destroyed := async(s.Destroy)
			c.wantEnd()
			if st := s.Stats(); st.Connections() != 0 || st.Locks.Exclusive.Orphans != 200 || st.Locks.Shared.Orphans != 200 || st.Locks.Bytes != 0 {
				t.Fatalf("after the end: %+v", st)
			}
			soon(t, "the server is destroyed", destroyed)
		}
	})
}

func TestOthersKeepTheirLocks(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		stays, leaves := s.connect(transport), s.connect(transport)
		stays.send("g mine\nsg both\niam me\n")
		stays.want("1 Lock Get Success: mine\n1 Shared Lock Get Success: both\n1 ok\n")
		leaves.send("g mine\nsg both\niam me\n")
		leaves.want("0 Lock Get Failure: mine\n2 Shared Lock Get Success: both\n1 ok\n")
		leaves.leave()
		if got := s.table.Inspect(locks.Shared, []byte("both")); got != 1 {
			t.Fatalf("%d hold the shared lock", got)
		}
		stays.send("d\nsd\nwho\n")
		stays.want("mine: me\nboth: me\n" + stays.addr + ": me\n")
	})
}

func TestTheSameAddressIsAnotherClient(t *testing.T) {
	s := start(t)
	for range 20 {
		c := s.connectFrom("127.77.0.1:0") // which nobody else uses
		eventually(t, "the lock is free", func() bool {
			c.send("g foo\n")
			return c.line() == "1 Lock Get Success: foo\n"
		})
		c.ask("iam old", "1 ok\n")
		local := c.conn.LocalAddr().String()
		c.reset() // no TIME_WAIT: the port is free at once
		again := s.connectFrom(local)
		again.ask("me", "1 "+local+" "+local+"\n")
		again.ask("r foo", "0 Lock Release Failure: foo\n")
		again.reset()
	}
}
