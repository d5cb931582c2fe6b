package bench

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"
)

const million = 1_000_000

// BenchmarkMillionListed gives the time until a listing of a million locks has
// arrived, and the waits of another client meanwhile.
func BenchmarkMillionListed(b *testing.B) {
	lockd, echo := startLockd(b), startEcho(b)
	defer hold(b, lockd.address, million).Close()
	for _, listing := range []struct{ command, end string }{{"d", "\n\n"}, {"ls", "\n\n"}, {"dump", "]\n"}} {
		b.Run(listing.command, func(b *testing.B) {
			reader := dial(b, lockd.address, []string{"me lockd/2\n"}, 1)
			defer reader.conn.Close()
			ask(b, reader)
			var arrived []float64
			w := waitsDuring(b, lockd, echo, func() {
				arrived = append(arrived, arrival(b, reader, listing.command, listing.end).Seconds()*1000)
			})
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(arrived), "ms-arrived")
			w.report(b)
		})
	}
}

// arrival returns the time until all of a listing has arrived.
func arrival(b *testing.B, w *worker, command, end string) time.Duration {
	b.Helper()
	buffer := make([]byte, 1<<20)
	start := time.Now()
	if _, err := io.WriteString(w.conn, command+"\n"); err != nil {
		b.Fatal(err)
	}
	for kept := 0; ; {
		n, err := w.conn.Read(buffer[kept:])
		if err != nil {
			b.Fatal(err)
		}
		got := buffer[:kept+n]
		if bytes.HasSuffix(got, []byte(end)) {
			return time.Since(start)
		}
		kept = copy(buffer, got[max(0, len(got)-len(end)):]) // the end may come in pieces
	}
}

// BenchmarkMillionLeft gives the time until all locks are free when the client that
// holds a million leaves, and the waits of another client meanwhile.
func BenchmarkMillionLeft(b *testing.B) {
	lockd, echo := startLockd(b), startEcho(b)
	asking := dial(b, lockd.address, []string{"i " + heldName(million-1) + "\n"}, 1) // they leave in the order they came
	defer asking.conn.Close()
	holder := hold(b, lockd.address, million)
	var free []float64
	w := waitsDuring(b, lockd, echo, func() {
		start := time.Now()
		holder.Close()
		untilFree(b, asking)
		free = append(free, time.Since(start).Seconds()*1000)
	}, func() { holder = hold(b, lockd.address, million) })
	holder.Close()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(free), "ms-free")
	w.report(b)
}

// untilFree returns when the lock that the worker inspects is free. It asks every
// millisecond.
func untilFree(b *testing.B, asking *worker) {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		if _, err := asking.conn.Write(asking.batch); err != nil {
			b.Fatal(err)
		}
		line, err := asking.replies.ReadSlice('\n')
		if err != nil {
			b.Fatal(err)
		}
		if bytes.HasPrefix(line, []byte("0 ")) {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("not free after %v", patience)
		}
	}
}

// BenchmarkMillionMemory gives the resident memory before a million locks are held,
// with them, and when they were left.
func BenchmarkMillionMemory(b *testing.B) {
	for range b.N {
		lockd := startLockd(b)
		b.ReportMetric(lockd.residentBytes(b)/1e6, "MB-before")
		holder := hold(b, lockd.address, million)
		b.ReportMetric(lockd.residentBytes(b)/1e6, "MB-held")
		holder.Close()
		start := time.Now()
		for _, after := range []time.Duration{time.Second, 15 * time.Second} {
			<-time.After(after - time.Since(start))
			b.ReportMetric(lockd.residentBytes(b)/1e6, "MB-after-"+after.String())
		}
	}
	b.ReportMetric(0, "ns/op")
}

// waits are how long a client of lockd and one of the echo server waited for
// answers, at the same time, with something else going on at lockd and without.
type waits struct{ lockd, echo, lockdAlone, echoAlone []time.Duration }

// waitsDuring collects the waits while lockd does something, in rounds. Around them
// it may have to be brought to where that can be done again.
func waitsDuring(b *testing.B, lockd, echo process, something func(), again ...func()) waits {
	b.Helper()
	var w waits
	for range b.N * rounds {
		ours, theirs := beginBystander(b, lockd), beginBystander(b, echo)
		<-time.After(2 * roundTime)
		w.lockdAlone, w.echoAlone = append(w.lockdAlone, ours.end(b)...), append(w.echoAlone, theirs.end(b)...)
		ours, theirs = beginBystander(b, lockd), beginBystander(b, echo)
		something()
		<-time.After(roundTime / 4) // for what it leaves to be done
		w.lockd, w.echo = append(w.lockd, ours.end(b)...), append(w.echo, theirs.end(b)...)
		for _, f := range again {
			f()
		}
	}
	return w
}

func (w waits) report(b *testing.B) {
	b.Helper()
	for _, x := range []struct {
		name  string
		times []time.Duration
	}{{"", w.lockd}, {"-echo", w.echo}, {"-alone", w.lockdAlone}, {"-echo-alone", w.echoAlone}} {
		b.ReportMetric(percentile(x.times, 99.9), "ms-p99.9"+x.name)
		b.ReportMetric(float64(slices.Max(x.times).Nanoseconds())/1e6, "ms-longest"+x.name)
	}
}

// A bystander is a client that wants little, a thousand times a second, and notes
// how long it waits.
type bystander struct {
	worker *worker
	stop   chan struct{}
	ended  chan error
	waits  []time.Duration // belongs to its goroutine until that has ended
}

func beginBystander(b *testing.B, p process) *bystander {
	b.Helper()
	s := &bystander{
		worker: dial(b, p.address, []string{"ping\n", "g bystander\n", "r bystander\n"}, 1),
		stop:   make(chan struct{}), ended: make(chan error, 1),
	}
	if err := s.worker.exchange([]byte("me lockd/2\n"), 1); err != nil {
		b.Fatal(err)
	}
	go func() { s.ended <- s.run() }()
	return s
}

func (s *bystander) run() error {
	defer s.worker.conn.Close()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for request := range bytes.Lines(s.worker.batch) {
			select {
			case <-tick.C:
			case <-s.stop:
				return nil
			}
			sent := time.Now()
			if err := s.worker.exchange(request, 1); err != nil {
				return err
			}
			s.waits = append(s.waits, time.Since(sent))
		}
	}
}

// end ends it, after the answer that it waits for.
func (s *bystander) end(b *testing.B) []time.Duration {
	b.Helper()
	close(s.stop)
	if err := <-s.ended; err != nil {
		b.Fatal(err)
	}
	return s.waits
}
