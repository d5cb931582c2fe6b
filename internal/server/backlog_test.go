package server_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockd/internal/server"
)

// forFew leaves IPv6 out, which is the same to these tests, as they take long.
func forFew(t *testing.T, f func(t *testing.T, transport string)) {
	for _, transport := range []string{"tcp4", "unix", "ws"} {
		t.Run(transport, func(t *testing.T) { f(t, transport) })
	}
}

func backlogBytes(n int) func(*setup) {
	return with(func(s *server.Settings) { s.ReplyBacklogBytes = n })
}

// A flood is commands without end, in the form of a transport, and knows its
// replies.
type flood struct {
	*client
	asked int // commands made
	rest  string
}

// reply is the size of one, on a stream.
const floodReply = len("0 Lock Not Locked: 0000000\n")

func (s *service) flood(transport string) *flood {
	s.Helper()
	s.dialer.Control = smallSocket
	defer func() { s.dialer.Control = nil }()
	return &flood{client: s.connect(transport)}
}

// smallSocket keeps a client's kernel from taking many megabytes, and makes
// packets as small as on a real network, whose windows open in small steps.
func smallSocket(network, _ string, c syscall.RawConn) (err error) {
	if network == "unix" {
		return nil
	}
	control := c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1400),
		)
	})
	return errors.Join(control, err)
}

// next returns what is to be sent next.
func (f *flood) next() string {
	if f.rest != "" {
		return f.rest
	}
	var text strings.Builder
	for range 1000 {
		fmt.Fprintf(&text, "i %07d\n", f.asked)
		f.asked++
	}
	if f.ws != nil {
		return frame(lastPart|textPart, text.String())
	}
	return text.String()
}

// stuck is how long a server reads nothing before a test takes it to have
// stopped reading.
const stuck = 400 * time.Millisecond

// untilStuck sends until the server reads no more, or the connection fails.
func (f *flood) untilStuck(s *service) error {
	read := -1
	for {
		p := f.next()
		f.conn.SetWriteDeadline(time.Now().Add(stuck))
		n, err := f.conn.Write([]byte(p))
		f.rest = p[n:]
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		now := s.inspected()
		if now == read {
			return nil
		}
		read = now
	}
}

// finish sends the rest of what was begun, and checks all replies.
func (f *flood) finish() {
	f.Helper()
	f.conn.SetWriteDeadline(time.Now().Add(patience))
	sent := async(func() { f.conn.Write([]byte(f.rest)) })
	for i := range f.asked {
		f.want(fmt.Sprintf("0 Lock Not Locked: %07d\n", i))
	}
	soon(f, "all is sent", sent)
	f.rest = ""
}

func (s *service) inspected() int {
	s.Helper()
	return int(counterOf(s, s.Stats().Commands, "i"))
}

func TestAClientThatDoesNotReadStopsOnlyItself(t *testing.T) {
	forFew(t, func(t *testing.T, transport string) {
		t.Parallel()
		s := start(t, smallKernel, backlogBytes(256<<10))
		f := s.flood(transport)
		if err := f.untilStuck(s); err != nil {
			t.Fatal(err)
		}
		read := s.inspected()
		if read < 256<<10/floodReply {
			t.Errorf("it was read no more after %d commands, whose replies fit into the backlog", read)
		}
		// A megabyte is more than the kernel takes from one and gives to the other.
		if read*floodReply > 256<<10+1<<20 {
			t.Errorf("it was read on for %d commands", read)
		}
		for _, transport := range everyTransport {
			other := s.connect(transport)
			other.ask("g other", "1 Lock Get Success: other\n")
			other.leave()
		}
		if now := s.inspected(); now != read {
			t.Errorf("%d commands more were read", now-read)
		}
		f.finish()
		f.ask("i after", "0 Lock Not Locked: after\n")
		f.leave()
	})
}

func TestReadingStopsWhenTheBacklogIsFull(t *testing.T) {
	const kernel = 512 << 10 // at most, whatever it counts with a packet
	for _, limit := range []int{16 << 10, 1 << 20} {
		for _, transport := range []string{"tcp4", "unix"} {
			t.Run(fmt.Sprint(limit, transport), func(t *testing.T) {
				t.Parallel()
				s := start(t, smallKernel, backlogBytes(limit))
				f := s.flood(transport)
				if err := f.untilStuck(s); err != nil {
					t.Fatal(err)
				}
				if replies := s.inspected() * floodReply; replies < limit || replies > limit+kernel {
					t.Errorf("%d bytes of replies were made, with a backlog of %d", replies, limit)
				}
				if got := s.Backlog(f.addr); got < limit || got > limit+128<<10 {
					t.Errorf("the backlog has %d bytes, its limit is %d", got, limit)
				}
				f.finish()
				f.leave()
			})
		}
	}
}

// shortTimeout is a UserTimeout for tests.
const shortTimeout = 300 * time.Millisecond

func TestAClientThatDoesNotReadIsGivenUp(t *testing.T) {
	forFew(t, func(t *testing.T, transport string) {
		t.Parallel()
		s := start(t, smallKernel, backlogBytes(64<<10), userTimeout(shortTimeout))
		f := s.flood(transport)
		f.ask("g foo", "1 Lock Get Success: foo\n")
		begun := time.Now()
		ended := async(func() {
			for f.untilStuck(s) == nil {
			}
		})
		other := s.connect("unix")
		eventually(t, "its lock is free", func() bool {
			other.send("g foo\n")
			return other.line() == "1 Lock Get Success: foo\n"
		})
		if after := time.Since(begun); after < shortTimeout {
			t.Errorf("it was given up after %v", after)
		}
		soon(t, "its connection has ended", ended)
		eventually(t, "it is counted no more", func() bool { return s.Stats().Connections() == 1 })
	})
}

func TestWritesWorkAfterTheBacklogHasDrained(t *testing.T) {
	forFew(t, func(t *testing.T, transport string) {
		t.Parallel()
		const timeout = time.Second / 2
		s := start(t, smallKernel, backlogBytes(16<<20), userTimeout(timeout))
		listing := s.fill(10_000) // which is more than the kernel takes
		f := s.flood(transport)
		f.ask("d", listing)
		drained := time.Now()
		eventually(t, "the deadline of the last write has passed", func() bool { return time.Since(drained) > timeout+timeout/10 })
		f.ask("g foo", "1 Lock Get Success: foo\n")
		f.ask("sd", listing)
		f.leave()
	})
}

// A client that takes some of its replies all the time is alive, however little
// that is. Its kernel reports room to write only when a third of a TCP buffer, and
// three quarters of a Unix socket's, are free: at this pace, later than allowed.
//
// The pace is one that the kernels show: a Unix socket's counts whole packets of
// up to 32 kB, and TCP_USER_TIMEOUT wants a window for a whole packet of 64 kB.
func TestAClientThatReadsSlowlyIsNotGivenUp(t *testing.T) {
	for transport, step := range map[string]int{"tcp4": 4000, "unix": 1000, "ws": 4000} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := start(t, backlogBytes(64<<20), userTimeout(time.Second))
			listing := s.fill(20_000)
			f := s.flood(transport)
			f.ask("g ~", "1 Lock Get Success: ~\n")
			listing += "~: " + f.addr + "\n"
			f.send("d\nd\nd\n")
			listing += listing + listing
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for range 220 {
				<-tick.C
				f.want(listing[:step])
				listing = listing[step:]
			}
			f.want(listing)
			f.ask("r ~", "1 Lock Release Success: ~\n")
		})
	}
}

// docs/protocol.md, "Connections": a peer is dead when its window stays closed
// for user_timeout while replies wait for it, also when it sends nothing more.
func TestAClientThatStopsAndDoesNotReadIsGivenUp(t *testing.T) {
	forFew(t, func(t *testing.T, transport string) {
		t.Parallel()
		s := start(t, smallKernel, backlogBytes(16<<20), userTimeout(shortTimeout))
		f := s.flood(transport)
		f.ask("g foo", "1 Lock Get Success: foo\n")
		s.fill(10_000)
		f.send("d\n")
		other := s.connect("unix")
		eventually(t, "its lock is free", func() bool {
			other.send("g foo\n")
			return other.line() == "1 Lock Get Success: foo\n"
		})
	})
}
