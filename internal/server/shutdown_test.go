package server_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// descriptors returns how many this process has open.
func descriptors(t failer) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatalf("%v", err)
	}
	return len(open)
}

func TestCloseServesThoseWhoAreThereUntilTheyLeave(t *testing.T) {
	s := start(t)
	var there []*client
	for _, transport := range everyTransport {
		c := s.connect(transport)
		c.ask("g "+transport, "1 Lock Get Success: "+transport+"\n")
		there = append(there, c)
	}
	if s.Closing() {
		t.Error("it says that it is closing")
	}
	var err error
	closed := async(func() { err = s.Close(context.Background()) })
	eventually(t, "it says that it is closing", s.Closing)
	for _, transport := range everyTransport {
		network, address := s.address(transport)
		if c, err := net.Dial(network, address); err == nil {
			c.Close()
			t.Errorf("%s: a new client connects", transport)
		}
	}
	for i, transport := range everyTransport {
		there[i].ask("g new", "1 Lock Get Success: new\n")
		there[i].ask("r new", "1 Lock Release Success: new\n")
		there[i].ask("i "+transport, "1 Lock Is Locked: "+transport+"\n")
		select {
		case <-closed:
			t.Fatal("Close has returned, and clients are there")
		default:
		}
		there[i].leave()
	}
	soon(t, "Close returns", closed)
	if err != nil {
		t.Errorf("Close: %v", err)
	}
	soon(t, "Serve returns", async(s.served.Wait))
}

func TestCloseWithoutClientsReturnsAtOnce(t *testing.T) {
	s := start(t)
	for range 3 {
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Serve(listen(t, "tcp://127.0.0.1:0")); err != nil {
		t.Errorf("Serve on a closed server: %v", err)
	}
}

func TestCloseDestroysWhenItsTimeIsOver(t *testing.T) {
	s := start(t)
	var there []*client
	for _, transport := range everyTransport {
		c := s.connect(transport)
		c.ask("g "+transport, "1 Lock Get Success: "+transport+"\n")
		there = append(there, c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	closed := async(func() { err = s.Close(ctx) })
	eventually(t, "it says that it is closing", s.Closing)
	there[0].ask("g foo", "1 Lock Get Success: foo\n")
	cancel()
	soon(t, "Close returns", closed)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	if st := s.Stats(); st.Connections() != 0 || st.Locks.Bytes != 0 {
		t.Errorf("after Close: %+v", st)
	}
	for _, c := range there {
		c.wantEnd()
	}
	if err := s.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Close again: %v", err)
	}
}

// crowdOf connects clients in every state that Destroy may find one in.
func (s *service) crowdOf() {
	s.fill(5_000)
	for _, transport := range everyTransport {
		idle := s.connect(transport)
		idle.ask("iam idle", "1 ok\n")
		idle.ask("g "+transport, "1 Lock Get Success: "+transport+"\n")
		partial := s.connect(transport)
		partial.send("i part")
		listing := s.connect(transport) // never reads
		listing.send("d\nsd\ndump\nd\nsd\n")
		stalled := s.flood(transport)
		stalled.send("g stalled" + transport + "\n")
		if err := stalled.untilStuck(s); err != nil {
			s.Fatalf("%v", err)
		}
		s.busy(transport)
	}
	s.dial("ws")
	halfOpen := s.dial("ws")
	io.WriteString(halfOpen, "GET / HTTP/1.1\r\nHost: x\r\nUpgra")
	asked := s.dial("ws")
	io.WriteString(asked, "GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n")
	http := s.dial("tcp4") // lingers after its refusal
	io.WriteString(http, "GET / HTTP/1.1\r\n\r\n")
}

// busy connects a client that asks and reads without end.
func (s *service) busy(transport string) {
	c := s.connect(transport)
	var both sync.WaitGroup
	both.Go(func() {
		for c.write("g busy\nr busy\nsg busy\n") == nil {
		}
	})
	both.Go(func() { io.Copy(io.Discard, c.in) })
	s.Cleanup(both.Wait)
}

func TestDestroyLeavesNothing(t *testing.T) {
	start(t).connect("ws").leave() // what the runtime opens once is open
	goroutines := goleak.IgnoreCurrent()
	before := descriptors(t)
	t.Run("destroy", func(t *testing.T) {
		s := start(t, smallKernel, backlogBytes(32<<10))
		s.crowdOf()
		begun := time.Now()
		var all sync.WaitGroup
		for range 4 {
			all.Go(s.Destroy)
		}
		soon(t, "all calls of Destroy return", async(all.Wait))
		soon(t, "Serve returns", async(s.served.Wait))
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("Destroy took %v", took)
		}
		if n := len(s.Conns()); n != 0 {
			t.Errorf("%d connections are there", n)
		}
		s.Destroy()
	})
	eventually(t, "all descriptors are closed", func() bool { return descriptors(t) <= before })
	if err := goleak.Find(goroutines); err != nil {
		t.Error(err)
	}
}

func TestDestroyBeforeServe(t *testing.T) {
	s := start(t)
	l := listen(t, "tcp://127.0.0.1:0")
	s.Destroy()
	if err := s.Serve(l); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if c, err := net.Dial("tcp", l.String()[len("tcp://"):]); err == nil {
		c.Close()
		t.Error("Serve has left the listener open")
	}
}

// Clients that come while the server goes are served or not, but never forgotten.
func TestDestroyWhileClientsCome(t *testing.T) {
	for range 30 {
		s := start(t)
		var clients sync.WaitGroup
		for i := range 8 {
			network, address := s.address(everyTransport[i%len(everyTransport)])
			clients.Go(func() {
				for {
					c, err := net.Dial(network, address)
					if err != nil {
						return
					}
					io.WriteString(c, "g foo\n")
					c.Close()
				}
			})
		}
		eventually(t, "some have been there", func() bool { return counterOf(t, s.Stats().Commands, "g") > 20 })
		soon(t, "the server is destroyed", async(s.Destroy))
		soon(t, "the clients give up", async(clients.Wait))
		s.stop()
	}
}

// Clients between their request and their upgrade when Close comes are neither
// waited for in a circle nor looked at while they are being upgraded.
func TestCloseWhileWebSocketsUpgrade(t *testing.T) {
	for range 60 {
		s := start(t)
		var clients sync.WaitGroup
		for range 16 {
			c := s.dial("ws")
			clients.Go(func() {
				io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"+upgradeHeader+"\r\n")
				c.Read(make([]byte, 1))
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c)
				c.Close()
			})
		}
		soon(t, "Close returns", async(func() { s.Close(context.Background()) }))
		soon(t, "Serve returns", async(s.served.Wait))
		soon(t, "the clients are gone", async(clients.Wait))
	}
}
