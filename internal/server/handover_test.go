package server_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// slowLeaving is a table in which a session that leaves gives up the lock first, and
// then takes until it is told to go on.
type slowLeaving struct {
	*locks.Table
	goOn chan struct{}
}

func (t *slowLeaving) Leave(s *locks.Session, now time.Duration) int {
	if s.Holds() <= 1 {
		return t.Table.Leave(s, now)
	}
	t.Release(s, locks.Exclusive, []byte("first"), now)
	<-t.goOn
	return t.Table.Leave(s, now)
}

func TestAGrantIsToldBeforeWhoLeavesMuchHasLeft(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		table := &slowLeaving{goOn: make(chan struct{})}
		s := start(t, func(set *setup) {
			set.around = func(whole *locks.Table) server.Table {
				table.Table = whole
				return table
			}
		})
		defer close(table.goOn)
		a, b := s.connect("tcp4"), s.connect(transport)
		a.ask("g first", "1 Lock Get Success: first\n")
		for i := range 10 {
			a.ask("g "+strconv.Itoa(i), "1 Lock Get Success: "+strconv.Itoa(i)+"\n")
		}
		b.send("gw -1 first\n")
		s.waits(b)
		a.conn.Close()
		b.wantGranted("first")
	})
}

// The end of a connection that the server ends loses no reply, over WebSocket as
// little as otherwise, where replies are gathered.
func TestRepliesBeforeAPileUpAreSent(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t, lineBytes(piledUp))
		a, b := s.connect("tcp4"), s.connect(transport)
		a.ask("g bar", "1 Lock Get Success: bar\n")
		b.send("g foo\ngw -1 bar\n" + strings.Repeat("i x\n", piledUp/4+10))
		b.want("1 Lock Get Success: foo\n")
	})
}
