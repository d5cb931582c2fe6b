package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// A load is what each connection does again and again: the requests of one
// round, of which a pipeline sends depth at a time.
type load struct {
	name     string
	requests func(connection int) []string
}

var loads = []load{
	{"get+release", func(i int) []string {
		return []string{fmt.Sprintf("g bench:%06d\n", i), fmt.Sprintf("r bench:%06d\n", i)}
	}},
	{"inspect", func(i int) []string { return []string{fmt.Sprintf("i bench:%06d\n", i)} }},
	{"shared_hot", func(int) []string { return []string{"sg bench:hot\n", "sr bench:hot\n"} }},
}

// A worker is one connection with its requests made up beforehand.
type worker struct {
	conn    net.Conn
	replies *bufio.Reader
	batch   []byte
	depth   int
}

// dial connects a worker over TCP.
func dial(b *testing.B, address string, requests []string, depth int) *worker {
	b.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	return newWorker(c, 64<<10, requests, depth)
}

// newWorker makes a worker whose batch is the load's round as often as it takes to
// make depth requests, and at least once.
func newWorker(c net.Conn, bufferBytes int, requests []string, depth int) *worker {
	w := &worker{conn: c, replies: bufio.NewReaderSize(c, bufferBytes)}
	for w.depth < max(depth, len(requests)) {
		for _, r := range requests {
			w.batch = append(w.batch, r...)
		}
		w.depth += len(requests)
	}
	if depth < len(requests) {
		w.depth = -len(requests) // one at a time
	}
	return w
}

// turn sends the batch and reads the replies, one request at a time where the
// depth is one, and returns the number of requests.
func (w *worker) turn() (int, error) {
	if w.depth > 0 {
		return w.depth, w.exchange(w.batch, w.depth)
	}
	for request := range bytes.Lines(w.batch) {
		if err := w.exchange(request, 1); err != nil {
			return 0, err
		}
	}
	return -w.depth, nil
}

func (w *worker) exchange(requests []byte, replies int) error {
	if _, err := w.conn.Write(requests); err != nil {
		return err
	}
	return w.receive(replies)
}

func (w *worker) receive(replies int) error {
	for range replies {
		if _, err := w.replies.ReadSlice('\n'); err != nil {
			return err
		}
	}
	return nil
}

// throughput runs a load for a while and returns its requests per second.
func throughput(b *testing.B, address string, l load, connections, depth int, d time.Duration) float64 {
	b.Helper()
	workers := make([]*worker, connections)
	for i := range workers {
		workers[i] = dial(b, address, l.requests(i), depth)
		defer workers[i].conn.Close()
		if _, err := workers[i].turn(); err != nil { // warm, and accepted for certain
			b.Fatal(err)
		}
	}
	counts := make([]int, connections)
	start := time.Now()
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() {
			for time.Since(start) < d {
				n, err := w.turn()
				if err != nil {
					b.Error(err)
					return
				}
				counts[i] += n
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / time.Since(start).Seconds()
}

// latency returns the round trip of a request on a connection that is alone, in
// microseconds: the one that a tenth of the samples does not exceed. Whether
// client and server share a processor makes the others differ by a factor, and
// that is not the server's doing.
func latency(b *testing.B, w *worker, end string) float64 {
	b.Helper()
	const samples = 201
	times := make([]float64, samples)
	for i := range times {
		start := time.Now()
		if _, err := w.conn.Write(w.batch); err != nil {
			b.Fatal(err)
		}
		for {
			line, err := w.replies.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if bytes.HasPrefix(line, []byte(end)) {
				break
			}
		}
		times[i] = float64(time.Since(start).Nanoseconds()) / 1000
	}
	slices.Sort(times)
	return times[samples/10]
}

// latencyInTurn is latency on connections in turn, from the one at next on.
func latencyInTurn(b *testing.B, workers []*worker, next *int) float64 {
	b.Helper()
	const samples = 201
	times := make([]float64, samples)
	for i := range times {
		start := time.Now()
		if _, err := workers[*next].turn(); err != nil {
			b.Fatal(err)
		}
		times[i] = float64(time.Since(start).Nanoseconds()) / 1000
		*next = (*next + 1) % len(workers)
	}
	slices.Sort(times)
	return times[samples/10]
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// medianRatio is the median of the ratios in the same round.
func medianRatio(ours, theirs []float64) float64 {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	return median(ratios)
}
