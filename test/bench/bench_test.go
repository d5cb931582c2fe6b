package bench

import (
	"fmt"
	"net"
	"testing"
	"time"
)

const (
	rounds    = 7
	roundTime = 400 * time.Millisecond
)

// BenchmarkHeldLocks gives the time of q, i, d and of g with r, on a connection that
// is alone, when many locks are held, beside the time where none is; and what a
// held lock takes of memory.
func BenchmarkHeldLocks(b *testing.B) {
	numbers := []int{0, 100_000, 1_000_000, 10_000_000}
	questions := []struct{ name, ask, end string }{
		{"q", "q\n", "shared_orphans"},
		{"i", "i " + heldName(7) + "\n", ""},
		{"d+me", "d " + heldName(7) + "\nme\n", "1 127."}, // me, as d of what is free answers nothing
		{"g+r", "g x\nr x\n", "1 Lock Release"},
	}
	servers := make([]process, len(numbers))
	perLock := make([]float64, len(numbers))
	for i, n := range numbers {
		servers[i] = startLockd(b)
		before := servers[i].residentBytes(b)
		defer hold(b, servers[i].address, n).Close()
		perLock[i] = (servers[i].residentBytes(b) - before) / float64(max(n, 1))
	}
	for _, q := range questions {
		times := make([][]float64, len(numbers))
		for r := range 3 * rounds {
			for k := range servers {
				i := (r + k) % len(servers) // each as often first, when the machine has just been idle
				w := dial(b, servers[i].address, []string{q.ask}, 1)
				times[i] = append(times[i], latency(b, w, q.end))
				w.conn.Close()
			}
		}
		for i, n := range numbers {
			b.Run(fmt.Sprintf("%s/held=%d", q.name, n), func(b *testing.B) {
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(times[i]), "µs")
				b.ReportMetric(medianRatio(times[i], times[0]), "x-empty")
				if n > 0 {
					b.ReportMetric(perLock[i], "B/lock")
				}
			})
		}
	}
}

// hold takes n locks on one connection.
func hold(b *testing.B, address string, n int) net.Conn {
	b.Helper()
	const depth = 1000
	w := dial(b, address, []string{"i x\n"}, 1)
	for i := 0; i < n; i += depth {
		var batch []byte
		for j := range depth {
			batch = fmt.Appendf(batch, "g %s\n", heldName(i+j))
		}
		if err := w.exchange(batch, depth); err != nil {
			b.Fatal(err)
		}
	}
	return w.conn
}

// heldName is one of the names that hold takes: 16 bytes.
func heldName(i int) string { return fmt.Sprintf("held:%011d", i) }
