package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// starvingServer is a child: a server that has descriptors for a few clients
// only, and does not know it.
func starvingServer() error {
	logs := new(logBuffer)
	set := server.DefaultSettings()
	set.MaxConnections = 1 << 20
	s := server.New(server.Options{Table: locks.New(locks.Limits{}, locks.NewTokens(0)), Settings: set, Log: slog.New(slog.NewTextHandler(logs, nil))})
	a, err := server.ParseAddress("tcp://127.0.0.1:0")
	if err != nil {
		return err
	}
	l, err := server.Listen(context.Background(), a)
	if err != nil {
		return err
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	few := uint64(len(open) + 8)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: few, Max: few}); err != nil {
		return err
	}
	var served sync.WaitGroup
	served.Go(func() { s.Serve(l) })
	fmt.Println(l)
	err = answer(func(what string) (any, error) {
		switch what {
		case "accepted":
			return s.Stats().Transports[server.TCP].Accepted, nil
		case "starts":
			return logs.count("cannot accept, new clients wait"), nil
		case "ends":
			return logs.count("accepting again"), nil
		case "cpu":
			var used unix.Rusage
			err := unix.Getrusage(unix.RUSAGE_SELF, &used)
			return used.Utime.Nano() + used.Stime.Nano(), err
		}
		return nil, fmt.Errorf("%q is not understood", what)
	})
	s.Destroy()
	served.Wait()
	return err
}

func (c *child) number(what string) int {
	c.Helper()
	n, err := strconv.Atoi(c.ask(what))
	if err != nil {
		c.Fatal(err)
	}
	return n
}

func TestWithoutDescriptorsNewClientsWait(t *testing.T) {
	starving := startChild(t, "starve")
	address := starving.line()[len("tcp://"):]
	var clients []*client
	for range 30 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := (&client{failer: t, name: "client", conn: conn}).resetReader()
		c.send("i foo\n")
		clients = append(clients, c)
	}
	eventually(t, "the server says that it is starving", func() bool { return starving.number("starts") == 1 })
	there := starving.number("accepted")
	if there < 1 || there > 10 {
		t.Fatalf("%d clients were accepted", there)
	}
	for _, c := range clients[:there] {
		c.want("0 Lock Not Locked: foo\n")
	}
	// Nothing changes, and next to nothing is done: a server that asks without end
	// would use most of this second.
	begun, used := time.Now(), starving.number("cpu")
	eventually(t, "a second has passed", func() bool { return time.Since(begun) > time.Second })
	if used := time.Duration(starving.number("cpu") - used); used > 300*time.Millisecond {
		t.Errorf("it used %v of a processor in a second of waiting", used)
	}
	if n := starving.number("starts"); n != 1 {
		t.Errorf("it has said %d times that it is starving", n)
	}
	if n := starving.number("accepted"); n != there {
		t.Errorf("%d clients are accepted now", n)
	}
	// Each who leaves lets one in, in order.
	for i, c := range clients {
		c.leave()
		if next := i + there; next < len(clients) {
			clients[next].want("0 Lock Not Locked: foo\n")
		}
	}
	eventually(t, "it says that it accepts again", func() bool { return starving.number("ends") >= 1 })
}
