package bench

import (
	"fmt"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockd/internal/bench"
	"lockd/test/servers"
)

// A contestant is a server with what is asked of it in its language. The answers
// are a line for each request.
type contestant struct {
	name       string
	kind       bench.Kind
	start      func(*testing.B) process
	inspect    func(connection int) []string // a lock that nobody holds
	getRelease func(connection int) []string // a lock of the connection's own
}

// contestants are lockd, the echo server and then servers that many people know.
func contestants() []contestant {
	return []contestant{
		{"lockd", bench.Lockd, startLockd, loads[1].requests, loads[0].requests},
		{"echo", bench.Echo, startEcho, loads[1].requests, loads[0].requests},
		{"redis-server", bench.Redis, started(servers.Redis), func(i int) []string {
			return []string{fmt.Sprintf("EXISTS bench:%06d\r\n", i)}
		}, func(i int) []string {
			return []string{fmt.Sprintf("SET bench:%06d v NX\r\n", i), fmt.Sprintf("DEL bench:%06d\r\n", i)}
		}},
		{"memcached", bench.Memcached, started(servers.Memcached), func(i int) []string {
			return []string{fmt.Sprintf("get bench:%06d\r\n", i)}
		}, func(i int) []string {
			return []string{fmt.Sprintf("add bench:%06d 0 0 1\r\nv\r\n", i), fmt.Sprintf("delete bench:%06d\r\n", i)}
		}},
	}
}

func started(start func(testing.TB) (hostPort string, pid int)) func(*testing.B) process {
	return func(b *testing.B) process {
		address, pid := start(b)
		return process{address: address, pid: pid}
	}
}

// begin starts a contestant. One that is not installed is left out, and that is said.
func (c contestant) begin(b *testing.B) (p process, ok bool) {
	b.Helper()
	if c.kind == bench.Redis || c.kind == bench.Memcached {
		if _, err := exec.LookPath(c.name); err != nil {
			b.Logf("LEFT OUT: %s is not installed", c.name)
			return p, false
		}
	}
	return c.start(b), true
}

// dialers is how many connections are being opened at a time: few enough for any
// accept queue.
const dialers = 64

// crowdOf opens n connections, as fast as a server lets them in, does something
// with each, and returns them.
func crowdOf(b *testing.B, address string, n int, requests func(connection int) []string, greet func(*worker) error) []*worker {
	b.Helper()
	workers := make([]*worker, n)
	var taken atomic.Int64
	var dialing sync.WaitGroup
	for range dialers {
		dialing.Go(func() {
			for i := int(taken.Add(1)) - 1; i < n; i = int(taken.Add(1)) - 1 {
				c, err := dialerOf(i).Dial("tcp", address)
				if err == nil {
					all := requests(i)
					workers[i] = newWorker(c, 512, all, len(all))
					err = greet(workers[i])
				}
				if err != nil {
					b.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	dialing.Wait()
	if b.Failed() {
		disperse(workers)
		b.FailNow()
	}
	return workers
}

// dialerOf has connections come from a hundred addresses of the loopback interface,
// as one has ports for 28,000.
func dialerOf(i int) *net.Dialer {
	return &net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%100))},
		// The port is to be chosen by connect, which looks for one that is free towards
		// the server, and not by bind, which looks for one that nobody has.
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			controlErr := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			})
			if controlErr != nil {
				return controlErr
			}
			return err
		},
	}
}

// disperse resets the connections, as those that are closed keep their ports for a
// minute.
func disperse(workers []*worker) {
	for _, w := range workers {
		if w != nil {
			w.conn.(*net.TCPConn).SetLinger(0) // fails where the connection has ended
			w.conn.Close()
		}
	}
}
