package bench

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"lockd/internal/bench"
	"lockd/test/servers"
)

// BenchmarkBeside measures lockd beside servers that many people know, and the
// echo server, in rounds in which they take turns: what `lockd bench --compare`
// does, for the loads that docs/performance.md has. A server that is not
// installed is left out, and that is said.
func BenchmarkBeside(b *testing.B) {
	targets := []bench.Target{
		{Name: "lockd", Network: "tcp", Address: startLockd(b).address},
		startEchoOver(b, "tcp"),
	}
	targets = append(targets, known(b)...)
	for _, load := range []struct {
		operation          string
		connections, depth int
	}{
		{"get-release", 1, 1},
		{"get-release", 50, 1},
		{"get-release", 1000, 1},
		{"get-release", 50, 16},
		{"inspect", 50, 16},
		{"shared-hot", 50, 1},
		{"shared-hot", 50, 16},
	} {
		b.Run(fmt.Sprintf("%s/connections=%d/depth=%d", load.operation, load.connections, load.depth), func(b *testing.B) {
			mix, err := bench.ParseMix(load.operation)
			if err != nil {
				b.Fatal(err)
			}
			o := bench.Options{
				Connections: load.connections, Depth: load.depth, Mix: mix,
				Duration: roundTime, Warmup: roundTime / 4, Rounds: rounds * b.N, Timeout: 10 * time.Second,
			}
			beside(b, o, targets)
		})
	}
}

// known starts those of the known servers that are installed.
func known(b *testing.B) (targets []bench.Target) {
	b.Helper()
	for _, s := range []struct {
		kind    bench.Kind
		program string
		start   func(testing.TB) (hostPort string, pid int)
	}{
		{bench.Redis, "redis-server", servers.Redis},
		{bench.Memcached, "memcached", servers.Memcached},
	} {
		if _, err := exec.LookPath(s.program); err != nil {
			b.Logf("LEFT OUT: %s is not installed", s.program)
			continue
		}
		address, pid := s.start(b)
		targets = append(targets, bench.Target{Name: s.program, Kind: s.kind, Network: "tcp", Address: address, PID: pid})
	}
	return targets
}

// beside reports lockd's throughput, and its ratios to the others': of the
// throughput, of the 99th percentile of the latency, and of the processor time that
// the server takes for a request.
func beside(b *testing.B, o bench.Options, targets []bench.Target) {
	b.Helper()
	fit := targets[:0:0]
	for _, t := range targets {
		if t.Fits(o.Mix) == nil {
			fit = append(fit, t)
		}
	}
	results, err := bench.Run(b.Context(), o, fit)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(results[0].Median().OpsPerSecond, "req/s")
	for _, other := range results {
		if n, first := other.Errors(); n > 0 {
			b.Fatalf("%s: %d errors, the first: %s", other.Target.Name, n, first)
		}
		if other.Target.Name == results[0].Target.Name {
			continue
		}
		b.ReportMetric(ratio(results[0], other, func(r bench.Round) float64 { return r.OpsPerSecond }), "x-"+other.Target.Name)
		b.ReportMetric(ratio(results[0], other, func(r bench.Round) float64 { return r.P99 }), "p99/"+other.Target.Name)
		b.ReportMetric(ratio(results[0], other, func(r bench.Round) float64 { return *r.ServerCPU }), "cpu/"+other.Target.Name)
	}
}

// ratio is the median of the ratios in the same round.
func ratio(ours, theirs bench.Result, figure func(bench.Round) float64) float64 {
	var all []float64
	for i := range ours.Rounds {
		all = append(all, figure(ours.Rounds[i])/figure(theirs.Rounds[i]))
	}
	return median(all)
}
