package embedded_test

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lockd/embedded"
)

// A session is a connection that a test speaks the protocol on itself.
type session struct {
	*testing.T
	conn    net.Conn
	replies *bufio.Reader
}

func speak(t *testing.T, srv *embedded.Server) *session {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.Addrs()[0], "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &session{t, conn, bufio.NewReader(conn)}
}

func (s *session) ask(line, reply string) {
	s.Helper()
	fmt.Fprintln(s.conn, line)
	s.want(reply)
}

// want wants a reply that begins like this.
func (s *session) want(reply string) {
	s.Helper()
	got, err := s.replies.ReadString('\n')
	if err != nil || !strings.HasPrefix(got, reply) {
		s.Fatalf("got %q, %v; want %q", got, err, reply)
	}
}

func TestWhoWaitsIsCountedAndGetsTheLockThatAnAdminBreaks(t *testing.T) {
	srv := listen(t, embedded.Options{Admin: func(a netip.Addr) bool { return a.IsLoopback() }})
	holder, waiter, admin := speak(t, srv), speak(t, srv), speak(t, srv)
	holder.ask("g foo", "1 Lock Get Success")
	fmt.Fprintln(waiter.conn, "gw -1 foo")
	for !strings.Contains(admin.line("gw 0 foo"), " queue=1 ") {
	}
	if st := srv.Stats(); st.Waiters != 1 || st.SharedWaiters != 0 {
		t.Errorf("%d and %d wait, want 1 and 0", st.Waiters, st.SharedWaiters)
	}
	admin.ask("fr x 0 foo", "1 ok count=1")
	waiter.want("1 Lock Get Success: token=")
}

func (s *session) line(ask string) string {
	s.Helper()
	fmt.Fprintln(s.conn, ask)
	line, err := s.replies.ReadString('\n')
	if err != nil {
		s.Fatal(err)
	}
	return line
}

func TestWithoutAnAdminNobodyBreaksLocks(t *testing.T) {
	c := speak(t, listen(t, embedded.Options{}))
	c.ask("g foo", "1 Lock Get Success")
	c.ask("fr x 0 foo", "0 denied")
	c.ask("kick 127.0.0.1:1", "0 denied")
	c.ask("i foo", "1 Lock Is Locked")
}
