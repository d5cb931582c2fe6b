package bench

import (
	"fmt"
	"testing"
	"time"

	"lockd/internal/bench"
)

// BenchmarkIdleConnection gives the resident memory of a connection that waits,
// fresh and after it was used.
func BenchmarkIdleConnection(b *testing.B) {
	for _, connections := range []int{10_000, 19_000} {
		for _, server := range contestants() {
			b.Run(fmt.Sprintf("%s/connections=%d", server.name, connections), func(b *testing.B) {
				if most, _, err := bench.MaxConnections(); err != nil || most < connections {
					b.Skipf("the limit on open files leaves %d connections (%v)", most, err)
				}
				for range b.N {
					idle(b, server, connections)
				}
			})
		}
	}
}

// settleTime is how long connections are left alone before they are looked at:
// Redis frees the buffers of those that were idle for two seconds.
const settleTime = 4 * time.Second

func idle(b *testing.B, server contestant, connections int) {
	b.Helper()
	p, ok := server.begin(b)
	if !ok {
		b.SkipNow()
	}
	before := p.residentBytes(b)
	workers := crowdOf(b, p.address, connections, server.getRelease, func(*worker) error { return nil })
	defer disperse(workers)
	p.untilDescriptors(b, func(n int) bool { return n >= connections })
	<-time.After(settleTime)
	fresh := p.residentBytes(b)
	for _, w := range workers {
		ask(b, w)
	}
	<-time.After(settleTime)
	used := p.residentBytes(b)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric((fresh-before)/float64(connections), "B/fresh")
	b.ReportMetric((used-before)/float64(connections), "B/used")
}

// BenchmarkConnectStorm gives how many connections a server takes up in a second
// when 10,000 come at once, and lockd's ratios to the others: the median of rounds
// in turn. Answered is where each of 64 clients opens the next when the first
// request of the last is answered; at-once is where none waits for answers before
// all are open, and the accept queue is full if the server does not keep up. That
// queue has the kernel's length with all of them (net.core.somaxconn).
func BenchmarkConnectStorm(b *testing.B) {
	servers := contestants()
	processes := make([]process, len(servers))
	present := make([]bool, len(servers))
	for i, s := range servers {
		processes[i], present[i] = s.begin(b)
	}
	for _, way := range []struct {
		name         string
		greet, after func(*worker) error
	}{
		{"answered", func(w *worker) error { _, err := w.turn(); return err }, func(*worker) error { return nil }},
		{"at-once", func(w *worker) error { _, err := w.conn.Write(w.batch); return err }, func(w *worker) error { return w.receive(1) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			rates := make([][]float64, len(servers))
			for range b.N * rounds {
				for i, s := range servers {
					if present[i] {
						rates[i] = append(rates[i], storm(b, processes[i], s, way.greet, way.after))
					}
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(rates[0]), "connects/s")
			for i, s := range servers[1:] {
				if present[i+1] {
					b.ReportMetric(medianRatio(rates[0], rates[i+1]), "x-"+s.name)
				}
			}
		})
	}
}

// storm returns the connections per second, and when the server has closed them.
func storm(b *testing.B, p process, s contestant, greet, after func(*worker) error) float64 {
	b.Helper()
	open := p.descriptors(b)
	start := time.Now()
	workers := crowdOf(b, p.address, crowd, s.inspect, greet)
	for _, w := range workers {
		if err := after(w); err != nil {
			b.Fatal(err)
		}
	}
	rate := crowd / time.Since(start).Seconds()
	disperse(workers)
	p.untilDescriptors(b, func(n int) bool { return n <= open })
	return rate
}
