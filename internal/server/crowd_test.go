package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"lockd/internal/server"
)

// crowd is how many connect at once. With those of a child, one process has
// descriptors for one end only.
const crowd = 10_000

const addressVariable = "LOCKD_TEST_ADDRESS"

// crowdOfClients is a child that has a crowd of connections, and ends them when
// told.
func crowdOfClients() error {
	conns := make([]net.Conn, crowd)
	var workers sync.WaitGroup
	errs := make([]error, 16)
	for w := range errs {
		workers.Go(func() {
			for i := w; i < crowd && errs[w] == nil; i += len(errs) {
				conns[i], errs[w] = oneOfCrowd(i)
			}
		})
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("all are there")
	return answer(func(string) (any, error) {
		for _, conn := range conns {
			conn.Close()
		}
		return "all have gone", nil
	})
}

// oneOfCrowd gets some locks, releases some, and keeps two.
func oneOfCrowd(i int) (net.Conn, error) {
	// From several addresses, so that there are ports for all.
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 78, 0, byte(1+i%8))}}
	conn, err := dialer.Dial("tcp", os.Getenv(addressVariable))
	if err != nil {
		return nil, err
	}
	replies := bufio.NewReaderSize(conn, 128)
	for _, dialogue := range [][2]string{
		{"g n%d\n", "1 Lock Get Success: n%d\n"},
		{"g m%d\n", "1 Lock Get Success: m%d\n"},
		{"r n%d\n", "1 Lock Release Success: n%d\n"},
		{"sg s%d\n", "1 Shared Lock Get Success: s%d\n"},
	} {
		fmt.Fprintf(conn, dialogue[0], i)
		if got, err := replies.ReadString('\n'); got != fmt.Sprintf(dialogue[1], i) {
			return nil, fmt.Errorf("client %d got %q, %w", i, got, err)
		}
	}
	return conn, nil
}

func heap() uint64 {
	debug.FreeOSMemory()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestTenThousandClientsComeAndGo(t *testing.T) {
	s := start(t, with(func(set *server.Settings) { set.MaxConnections = crowd + 1 }))
	other := s.connect("unix")
	other.ask("g other", "1 Lock Get Success: other\n")
	goroutines := runtime.NumGoroutine()
	s.comeAndGo(t, other) // what the runtime and pools keep of the first is there for the next
	files, bytes := descriptors(t), heap()
	s.comeAndGo(t, other)
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "all descriptors are closed", func() bool { return descriptors(t) <= files })
	eventually(t, "the memory is given back", func() bool { return heap() < bytes+1<<20 })
	if st := s.Stats(); st.Locks.Exclusive.Orphans != 2*crowd || st.Locks.Shared.Orphans != 2*crowd || st.Locks.Exclusive.Locks != 1 {
		t.Errorf("with all gone: %+v", st)
	}
}

// comeAndGo has a crowd connect, get locks, and leave.
func (s *service) comeAndGo(t *testing.T, other *client) {
	t.Helper()
	goroutines, bytes := runtime.NumGoroutine(), heap()
	clients := startChild(t, "crowd", addressVariable+"="+s.addresses["tcp4"])
	if got := clients.line(); got != "all are there" {
		t.Fatal(got)
	}
	st := s.Stats()
	if st.Connections() != crowd+1 || st.Locks.Exclusive.Locks != crowd+1 || st.Locks.Shared.Holders != crowd {
		t.Fatalf("with all there: %+v", st)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 10 {
		t.Errorf("%d goroutines more for %d idle connections", n, crowd)
	}
	// What it holds is a part of that.
	if per := (int64(heap()) - int64(bytes)) / crowd; per > 2<<10 {
		t.Errorf("%d bytes of heap for an idle connection: it owns a buffer", per)
	}
	other.ask("i m77", "1 Lock Is Locked: m77\n")
	if got := clients.ask("go"); got != "all have gone" {
		t.Fatal(got)
	}
	clients.end()
	eventually(t, "all connections are gone", func() bool { return s.Stats().Connections() == 1 })
	other.ask("i m77", "0 Lock Not Locked: m77\n")
}
