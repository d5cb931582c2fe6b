package bench

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkPauses gives the longest waits of 50 connections in a minute, with a
// million locks held and one more client that takes and gives back a hundred
// thousand others all the time. Another 50 do the same with the echo server at the
// same time: what they wait longest is the machine's doing. Each has a quarter of
// the rate that lockd alone can have, so that the machine is half loaded.
func BenchmarkPauses(b *testing.B) {
	lockd, echo := startLockdAt(b, anyPort, "tcp://"+anyPort), startEcho(b)
	rate := throughput(b, lockd.address, loads[0], 50, 1, roundTime) / 4
	defer hold(b, lockd.address, million).Close()
	endChurn := churn(b, lockd.address)
	var ours, theirs []time.Duration
	for range b.N {
		var running sync.WaitGroup
		running.Go(func() { theirs = append(theirs, paced(b, echo.address, rate, time.Minute)...) })
		ours = append(ours, paced(b, lockd.address, rate, time.Minute)...)
		running.Wait()
	}
	endChurn()
	b.ReportMetric(0, "ns/op")
	for _, x := range []struct {
		name  string
		times []time.Duration
	}{{"", ours}, {"-echo", theirs}} {
		b.ReportMetric(percentile(x.times, 99), "ms-p99"+x.name)
		b.ReportMetric(percentile(x.times, 99.99), "ms-p99.99"+x.name)
		b.ReportMetric(float64(slices.Max(x.times).Nanoseconds())/1e6, "ms-longest"+x.name)
	}
	metrics := scrape(b, lockd.metricsURL())
	b.ReportMetric(metrics(`go_gc_duration_seconds{quantile="1"}`)*1000, "ms-longest-gc-pause")
	b.ReportMetric(metrics("go_gc_duration_seconds_count"), "gcs")
}

// churn begins to take a hundred thousand locks and to give them back, again and
// again, a hundred of them each millisecond.
func churn(b *testing.B, address string) (end func()) {
	b.Helper()
	const locks, depth = 100_000, 100
	w := dial(b, address, []string{"me\n"}, 1)
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		defer w.conn.Close()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i += depth {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			command := "gr"[i/locks%2]
			var batch []byte
			for j := range depth {
				batch = fmt.Appendf(batch, "%c churn:%010d\n", command, i%locks+j)
			}
			if err := w.exchange(batch, depth); err != nil {
				b.Error(err)
				return
			}
		}
	})
	return func() {
		close(stop)
		running.Wait()
	}
}

// BenchmarkMetricsCost gives the throughput of a server whose metrics are read, as
// a ratio to that of one without HTTP: the median of rounds of a second in turn. A
// second one without HTTP tells how much the rounds differ by themselves. It also
// gives the processor time for reading them once.
func BenchmarkMetricsCost(b *testing.B) {
	servers := []struct {
		name  string
		every time.Duration
		process
	}{
		{"without", 0, startLockd(b)},
		{"without-too", 0, startLockd(b)},
		{"every=1s", time.Second, startLockdAt(b, anyPort, "tcp://"+anyPort)},
		{"every=100ms", 100 * time.Millisecond, startLockdAt(b, anyPort, "tcp://"+anyPort)},
	}
	const metricsRounds = 16
	rates := make([][]float64, len(servers))
	for r := range metricsRounds {
		for k := range servers {
			i := (r + k) % len(servers)
			end := func() {}
			if servers[i].every > 0 {
				end = scraping(b, servers[i].metricsURL(), servers[i].every)
			}
			rates[i] = append(rates[i], throughput(b, servers[i].address, loads[0], 50, 1, time.Second))
			end()
		}
	}
	for i, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(rates[i]), "req/s")
			b.ReportMetric(medianRatio(rates[i], rates[0]), "x-without")
			if s.every > 0 {
				b.ReportMetric(scrapeCost(b, s.process), "µs-cpu/scrape")
			}
		})
	}
}

// scraping begins to read the metrics: halfway through the first interval, and then
// as often as that.
func scraping(b *testing.B, url string, every time.Duration) (end func()) {
	b.Helper()
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for next := time.After(every / 2); ; next = time.After(every) {
			select {
			case <-next:
			case <-stop:
				return
			}
			scrape(b, url)
		}
	})
	return func() {
		close(stop)
		running.Wait()
	}
}

// scrapeCost is the processor time that a server takes to tell its metrics, in µs.
func scrapeCost(b *testing.B, p process) float64 {
	b.Helper()
	const scrapes = 500
	used := func() float64 { return scrape(b, p.metricsURL())("process_cpu_seconds_total") }
	before := used()
	for range scrapes - 1 {
		scrape(b, p.metricsURL())
	}
	return (used() - before) * 1e6 / scrapes
}

// metricsURL is where a server that was started with HTTP tells its metrics.
func (p process) metricsURL() string { return p.urls[len(p.urls)-1] + "/metrics" }

// scrape reads the metrics and returns their values by name.
func scrape(b *testing.B, url string) func(name string) float64 {
	b.Helper()
	reply, err := http.Get(url)
	if err != nil {
		b.Error(err)
		return func(string) float64 { return 0 }
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		b.Errorf("%s: %s, %v", url, reply.Status, err)
	}
	return func(name string) float64 {
		for line := range strings.Lines(string(text)) {
			if number, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
				v, err := strconv.ParseFloat(number, 64)
				if err != nil {
					b.Fatal(err)
				}
				return v
			}
		}
		b.Fatalf("no metric %s", name)
		return 0
	}
}
