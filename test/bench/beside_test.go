package bench

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"lockd/client/websocket"
	"lockd/internal/bench"
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
			beside(b, load.operation, load.connections, load.depth, targets)
		})
	}
}

// BenchmarkTransports measures lockd over each transport beside an echo server over
// the same.
func BenchmarkTransports(b *testing.B) {
	lockd := startLockdAt(b, "", "tcp://"+anyPort, "unix://"+filepath.Join(b.TempDir(), "lockd.sock"), "ws://"+anyPort)
	for _, url := range lockd.urls {
		target, err := bench.ParseTarget(url)
		if err != nil {
			b.Fatal(err)
		}
		target.Name, target.PID = "lockd", lockd.pid
		targets := []bench.Target{target, startEchoOver(b, target.Network)}
		for _, load := range []struct{ connections, depth int }{{1, 1}, {50, 1}, {50, 16}} {
			b.Run(fmt.Sprintf("%s/connections=%d/depth=%d", target.Network, load.connections, load.depth), func(b *testing.B) {
				beside(b, "get-release", load.connections, load.depth, targets)
			})
		}
	}
}

// known starts those of the known servers that are installed.
func known(b *testing.B) (targets []bench.Target) {
	b.Helper()
	for _, s := range contestants()[2:] {
		if p, ok := s.begin(b); ok {
			targets = append(targets, bench.Target{Name: s.name, Kind: s.kind, Network: "tcp", Address: p.address, PID: p.pid})
		}
	}
	return targets
}

// beside reports lockd's throughput, and its ratios to the others': of the
// throughput, of the 99th percentile of the latency, and of the processor time that
// the server takes for a request.
func beside(b *testing.B, operation string, connections, depth int, targets []bench.Target) {
	b.Helper()
	mix, err := bench.ParseMix(operation)
	if err != nil {
		b.Fatal(err)
	}
	o := bench.Options{
		Connections: connections, Depth: depth, Mix: mix,
		Duration: roundTime, Warmup: roundTime / 4, Rounds: rounds * b.N, Timeout: 10 * time.Second, Dial: websocket.Dial,
	}
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

// ratio is the median of the ratios of a figure in the same round.
func ratio(ours, theirs bench.Result, figure func(bench.Round) float64) float64 {
	var a, e []float64
	for i := range ours.Rounds {
		a, e = append(a, figure(ours.Rounds[i])), append(e, figure(theirs.Rounds[i]))
	}
	return medianRatio(a, e)
}
