package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// crowd is how many wait where many do. Their descriptors fit the usual limit.
const crowd = 10_000

// BenchmarkWaiter gives the resident memory of a connection that waits for a lock
// above that of one that is idle.
func BenchmarkWaiter(b *testing.B) {
	var bytes []float64
	for range b.N {
		bytes = append(bytes, waiterBytes(b))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(bytes), "B/waiter")
}

func waiterBytes(b *testing.B) float64 {
	b.Helper()
	p := startLockd(b)
	holder := dial(b, p.address, []string{"g hot\n"}, 1)
	defer holder.conn.Close()
	ask(b, holder)
	waiters := make([]*worker, crowd)
	for i := range waiters {
		waiters[i] = dial(b, p.address, []string{"i hot\n"}, 1)
		defer waiters[i].conn.Close()
		ask(b, waiters[i])
	}
	idle := p.residentBytes(b)
	for _, w := range waiters {
		enqueue(b, w, "hot")
	}
	other := dial(b, p.address, []string{"me\n"}, 1)
	defer other.conn.Close()
	untilWaiting(b, other, crowd)
	return (p.residentBytes(b) - idle) / crowd
}

// ask sends the batch of w and reads the replies.
func ask(b *testing.B, w *worker) {
	b.Helper()
	if _, err := w.turn(); err != nil {
		b.Fatal(err)
	}
}

// enqueue has w wait for a lock.
func enqueue(b *testing.B, w *worker, lock string) {
	b.Helper()
	if _, err := io.WriteString(w.conn, "gw -1 "+lock+"\n"); err != nil {
		b.Fatal(err)
	}
}

// untilWaiting returns when n wait for the lock hot. It asks by a connection that
// does not want it.
func untilWaiting(b *testing.B, asking *worker, n int) {
	b.Helper()
	want := fmt.Appendf(nil, " queue=%d ", n)
	for {
		if _, err := io.WriteString(asking.conn, "gw 0 hot\n"); err != nil {
			b.Fatal(err)
		}
		line, err := asking.replies.ReadSlice('\n')
		if err != nil {
			b.Fatal(err)
		}
		if bytes.Contains(line, want) {
			return
		}
	}
}

// BenchmarkHandOver gives the time from a release to the reply of the next in the
// queue, and its ratio to the round trip of the echo server: on one connection, and
// on many in turn, of which the processor's caches and the kernel have forgotten each
// when its turn comes.
func BenchmarkHandOver(b *testing.B) {
	echo := startEcho(b)
	for _, queue := range []int{1, crowd} {
		b.Run(fmt.Sprintf("queue=%d", queue), func(b *testing.B) {
			lockd := startLockd(b)
			q := newRing(b, lockd.address, queue+1)
			trip := dial(b, echo.address, loads[1].requests(0), 1)
			defer trip.conn.Close()
			trips := crowdOf(b, echo.address, min(queue, crowd/2), loads[1].requests, func(*worker) error { return nil })
			defer disperse(trips)
			var ours, theirs, inTurn []float64
			next := 0
			for range b.N * rounds {
				ours = append(ours, q.handOver(b))
				theirs = append(theirs, latency(b, trip, ""))
				inTurn = append(inTurn, latencyInTurn(b, trips, &next))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ours), "µs")
			b.ReportMetric(medianRatio(ours, theirs), "x-echo")
			b.ReportMetric(medianRatio(ours, inTurn), "x-echo-in-turn")
		})
	}
}

// A ring is a queue whose members enter it again when they have had the lock.
type ring struct {
	members []*worker
	holder  int
}

func newRing(b *testing.B, address string, n int) *ring {
	b.Helper()
	r := &ring{members: make([]*worker, n)}
	for i := range r.members {
		w := dial(b, address, []string{"gw -1 hot\n"}, 1)
		b.Cleanup(func() { w.conn.Close() })
		r.members[i] = w
	}
	ask(b, r.members[0])
	asking := dial(b, address, []string{"me\n"}, 1)
	defer asking.conn.Close()
	for i, w := range r.members[1:] {
		enqueue(b, w, "hot")
		untilWaiting(b, asking, i+1) // so that they stand in the order of the ring
	}
	return r
}

// handOver returns the time of a release until the reply of the next, in
// microseconds: as in latency, the one that a tenth of the samples does not exceed.
func (r *ring) handOver(b *testing.B) float64 {
	b.Helper()
	times := make([]float64, 201)
	for i := range times {
		from, to := r.members[r.holder], r.members[(r.holder+1)%len(r.members)]
		start := time.Now()
		if _, err := io.WriteString(from.conn, "r hot\ngw -1 hot\n"); err != nil {
			b.Fatal(err)
		}
		if _, err := to.replies.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
		times[i] = float64(time.Since(start).Nanoseconds()) / 1000
		// This reply is sent when the one who released stands in the queue again.
		if _, err := from.replies.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
		r.holder = (r.holder + 1) % len(r.members)
	}
	slices.Sort(times)
	return times[len(times)/10]
}

// BenchmarkContended gives how often in a second a lock changes hands that 50
// connections want all the time, beside the round trips of the echo server on one
// connection: each change is at least one.
func BenchmarkContended(b *testing.B) {
	lockd, echo := startLockd(b), startEcho(b)
	contend := load{"contend", func(int) []string { return []string{"gw -1 hot\n", "r hot\n"} }}
	var changes, trips []float64
	for range b.N * rounds {
		changes = append(changes, throughput(b, lockd.address, contend, 50, 1, roundTime)/2)
		trips = append(trips, throughput(b, echo.address, loads[1], 1, 1, roundTime))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(changes), "changes/s")
	b.ReportMetric(medianRatio(changes, trips), "x-echo")
}

// BenchmarkDisturbance gives the 99th percentile of g's round trip at about half
// load, while something else goes on, as a ratio to the same without it: the
// median of rounds in turn.
func BenchmarkDisturbance(b *testing.B) {
	p := startLockd(b)
	all := throughput(b, p.address, loads[0], 50, 1, roundTime)
	for _, d := range []struct {
		name  string
		begin func(b *testing.B, address string) (end func())
	}{
		{"nothing", func(*testing.B, string) func() { return func() {} }},
		{"watchers=100", watchers},
		{"ls=1000000", listing},
	} {
		b.Run(d.name, func(b *testing.B) {
			address := p.address
			if d.name == "ls=1000000" {
				full := startLockd(b)
				defer hold(b, full.address, 1_000_000).Close()
				address = full.address
			}
			var alone, with []float64
			for range b.N * rounds {
				alone = append(alone, pacedP99(b, address, all/2))
				end := d.begin(b, address)
				with = append(with, pacedP99(b, address, all/2))
				end()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(alone), "µs-p99-alone")
			b.ReportMetric(median(with), "µs-p99")
			b.ReportMetric(medianRatio(with, alone), "x-alone")
		})
	}
}

// watchers begins to watch what the load does.
func watchers(b *testing.B, address string) (end func()) {
	b.Helper()
	var reading sync.WaitGroup
	var conns []net.Conn
	for range 100 {
		w := dial(b, address, []string{"watch bench:\n"}, 1)
		ask(b, w)
		conns = append(conns, w.conn)
		reading.Go(func() { io.Copy(io.Discard, w.conn) })
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
		reading.Wait()
	}
}

// listing begins to list all, again and again.
func listing(b *testing.B, address string) (end func()) {
	b.Helper()
	w := dial(b, address, []string{"me\n"}, 1)
	ask(b, w)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, err := io.WriteString(w.conn, "ls\n"); err != nil {
				return
			}
			for {
				line, err := w.replies.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 1 {
					break
				}
			}
		}
	})
	return func() {
		w.conn.Close()
		reading.Wait()
	}
}

// pacedP99 is the 99th percentile of what paced returns, in µs.
func pacedP99(b *testing.B, address string, rate float64) float64 {
	b.Helper()
	return percentile(paced(b, address, rate, 2*roundTime), 99) * 1000
}

// paced has 50 connections get and release locks of their own at a rate, in
// requests per second, and returns the round trips of g.
func paced(b *testing.B, address string, rate float64, d time.Duration) []time.Duration {
	b.Helper()
	const connections = 50
	pause := time.Duration(2 * connections / rate * float64(time.Second))
	samples := make([][]time.Duration, connections)
	var running sync.WaitGroup
	start := time.Now()
	for i := range connections {
		w := dial(b, address, loads[0].requests(i), 1)
		running.Go(func() {
			defer w.conn.Close()
			get, release, _ := bytes.Cut(w.batch, []byte("\n"))
			get = append(bytes.Clone(get), '\n')
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for time.Since(start) < d {
				<-tick.C
				sent := time.Now()
				if w.exchange(get, 1) != nil {
					return
				}
				samples[i] = append(samples[i], time.Since(sent))
				if w.exchange(release, 1) != nil {
					return
				}
			}
		})
	}
	running.Wait()
	return slices.Concat(samples...)
}

// percentile is the one of times that so many of a hundred do not exceed, in ms.
func percentile(times []time.Duration, percent float64) float64 {
	sorted := slices.Sorted(slices.Values(times))
	i := min(int(float64(len(sorted))*percent/100), len(sorted)-1)
	return float64(sorted[i].Nanoseconds()) / 1e6
}
