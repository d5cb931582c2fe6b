package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkGetRelease measures a server beside a bare one that sends back what it
// gets, under the same load, so that their ratio says what the protocol and the
// table cost. Clients and server share the processors.
func BenchmarkGetRelease(b *testing.B) {
	for _, kind := range []struct {
		name string
		open func(b *testing.B) (address string)
	}{
		{"lockd", func(b *testing.B) string { return start(b).addresses["tcp4"] }},
		{"echo", echoServer},
	} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/conns=50/depth=%d", kind.name, depth), func(b *testing.B) {
				benchmarkPipelines(b, kind.open(b), 50, depth)
			})
		}
	}
}

// echoServer starts a server that sends back what it gets.
func echoServer(b *testing.B) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				buf := make([]byte, 16<<10)
				for {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					if _, err := conn.Write(buf[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	b.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// benchmarkPipelines has each connection send depth commands and await their
// replies, again and again. An operation is one command.
func benchmarkPipelines(b *testing.B, address string, conns, depth int) {
	var turns atomic.Int64
	turns.Store(int64(b.N/depth) + 1)
	var clients sync.WaitGroup
	begin := make(chan struct{})
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		pair := fmt.Sprintf("g lock%d\nr lock%d\n", i, i)
		commands := []byte(strings.Repeat(pair, max(depth/2, 1)))
		half := len(commands)
		if depth == 1 {
			half = len(commands) / 2 // one command each turn
		}
		clients.Go(func() {
			defer conn.Close()
			buf := make([]byte, 4<<10)
			<-begin
			for at := 0; turns.Add(-1) >= 0; at = (at + half) % len(commands) {
				if err := pipeline(conn, commands[at:at+half], buf, depth); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	close(begin)
	clients.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// pipeline sends commands and reads so many replies.
func pipeline(conn net.Conn, commands, buf []byte, replies int) error {
	if _, err := conn.Write(commands); err != nil {
		return err
	}
	for lines := 0; lines < replies; {
		n, err := conn.Read(buf)
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		lines += bytes.Count(buf[:n], []byte("\n"))
	}
	return nil
}
