package metrics_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"pgregory.net/rapid"

	"lockd/internal/locks"
	"lockd/internal/metrics"
	"lockd/internal/server"
)

// busy is a snapshot in which no two numbers are equal, so that none can stand
// in the place of another unnoticed.
func busy() server.Stats {
	return server.Stats{
		Commands:        []server.Count{{Name: "d", Value: 101}, {Name: "g", Value: 102}, {Name: "sg", Value: 103}},
		InvalidCommands: 104,
		Transports: []server.TransportStats{
			{Name: "tcp", Open: 105, Accepted: 106},
			{Name: "unix", Open: 107, Accepted: 108},
			{Name: "websocket", Open: 109, Accepted: 110},
		},
		MaxConnections: 122,
		Refused:        []server.Count{{Name: "allow_from", Value: 111}, {Name: "connections", Value: 112}},
		Limited:        []server.Count{{Name: "locks_per_connection", Value: 113}, {Name: "table_bytes", Value: 114}},
		Locks: locks.Stats{
			Exclusive: locks.ModeStats{Locks: 115, Holders: 116, Orphans: 117},
			Shared:    locks.ModeStats{Locks: 118, Holders: 119, Orphans: 120},
			Bytes:     121,
		},
	}
}

func registry(stats server.Stats, reloads *metrics.Reloads) *prometheus.Registry {
	return metrics.NewRegistry(metrics.Options{
		Stats:     func() server.Stats { return stats },
		Reloads:   reloads,
		Version:   "1.2.3",
		Commit:    "0123abc",
		GoVersion: "go1.26.0",
	})
}

func gather(t rapid.TB, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	return families
}

// ours returns the families that are lockd's own.
func ours(families []*dto.MetricFamily) []*dto.MetricFamily {
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
		return !strings.HasPrefix(f.GetName(), "lockd_")
	})
}

// values are all samples of lockd's own families, by name and labels.
func values(t rapid.TB, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	samples := map[string]float64{}
	for _, family := range ours(gather(t, g)) {
		for _, m := range family.GetMetric() {
			samples[family.GetName()+labels(m)] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return samples
}

func labels(m *dto.Metric) string {
	var b strings.Builder
	for _, pair := range m.GetLabel() {
		fmt.Fprintf(&b, " %s=%s", pair.GetName(), pair.GetValue())
	}
	return b.String()
}

func TestTheExpositionIsTheOneInTestdata(t *testing.T) {
	reloads := new(metrics.Reloads)
	reloads.Succeeded()
	reloads.Succeeded()
	reloads.Failed()
	var text strings.Builder
	for _, family := range ours(gather(t, registry(busy(), reloads))) {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/exposition.txt")
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("the exposition is not that of testdata/exposition.txt, but:\n%s", text.String())
	}
}

func TestPromtoolsLinterFindsNothing(t *testing.T) {
	problems, err := testutil.GatherAndLint(registry(busy(), nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestTheRegistryHasTheRuntimeAndTheProcess(t *testing.T) {
	var names []string
	for _, family := range gather(t, registry(server.Stats{}, nil)) {
		names = append(names, family.GetName())
	}
	for _, want := range []string{"go_goroutines", "go_info", "process_open_fds", "process_resident_memory_bytes"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// want says, one sample at a time, where each number of a snapshot must appear.
func want(s server.Stats) map[string]float64 {
	w := map[string]float64{
		"lockd_build_info commit=0123abc goversion=go1.26.0 version=1.2.3": 1,

		"lockd_invalid_commands_total":              float64(s.InvalidCommands),
		"lockd_connections_limit":                   float64(s.MaxConnections),
		"lockd_locks mode=exclusive":                float64(s.Locks.Exclusive.Locks),
		"lockd_holders mode=exclusive":              float64(s.Locks.Exclusive.Holders),
		"lockd_orphans_total mode=exclusive":        float64(s.Locks.Exclusive.Orphans),
		"lockd_locks mode=shared":                   float64(s.Locks.Shared.Locks),
		"lockd_holders mode=shared":                 float64(s.Locks.Shared.Holders),
		"lockd_orphans_total mode=shared":           float64(s.Locks.Shared.Orphans),
		"lockd_table_bytes":                         float64(s.Locks.Bytes),
		"lockd_config_reloads_total result=success": 0,
		"lockd_config_reloads_total result=failure": 0,
		"lockd_config_last_reload_successful":       1,
	}
	for _, c := range s.Commands {
		w["lockd_commands_total command="+c.Name] = float64(c.Value)
	}
	for _, tr := range s.Transports {
		w["lockd_connections transport="+tr.Name] = float64(tr.Open)
		w["lockd_accepted_connections_total transport="+tr.Name] = float64(tr.Accepted)
	}
	for _, c := range s.Refused {
		w["lockd_refused_connections_total reason="+c.Name] = float64(c.Value)
	}
	for _, c := range s.Limited {
		w["lockd_limited_commands_total reason="+c.Name] = float64(c.Value)
	}
	return w
}

func TestEverySampleEqualsItsNumberInTheSnapshotAndThereIsNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t)
		got := values(t, registry(s, nil))
		for sample, value := range want(s) {
			if v, ok := got[sample]; !ok || v != value {
				t.Errorf("%s: got %v (there: %v), want %v", sample, v, ok, value)
			}
			delete(got, sample)
		}
		for sample := range got {
			t.Errorf("%s is shown, but no number of the snapshot", sample)
		}
	})
}

// draw makes up a snapshot with the sets of labels of busy, values within what
// a float64 tells apart.
func draw(t *rapid.T) server.Stats {
	number := func() uint64 { return rapid.Uint64Max(1<<53).Draw(t, "n") }
	s := busy()
	for _, counts := range [][]server.Count{s.Commands, s.Refused, s.Limited} {
		for i := range counts {
			counts[i].Value = number()
		}
	}
	for i := range s.Transports {
		s.Transports[i].Open, s.Transports[i].Accepted = number(), number()
	}
	s.InvalidCommands = number()
	s.Locks.Exclusive = locks.ModeStats{Locks: number(), Holders: number(), Orphans: number()}
	s.Locks.Shared = locks.ModeStats{Locks: number(), Holders: number(), Orphans: number()}
	s.Locks.Bytes = int64(number())
	return s
}

func TestWhatOnlyRisesIsACounterAndWhatFallsIsAGauge(t *testing.T) {
	for _, family := range ours(gather(t, registry(busy(), nil))) {
		kind := dto.MetricType_GAUGE
		if strings.HasSuffix(family.GetName(), "_total") {
			kind = dto.MetricType_COUNTER
		}
		if family.GetType() != kind {
			t.Errorf("%s is a %s, want %s", family.GetName(), family.GetType(), kind)
		}
	}
}

func TestNothingAClientMakesUpIsALabel(t *testing.T) {
	fixed := map[string][]string{
		"command":   {"d", "g", "sg"},
		"transport": {"tcp", "unix", "websocket"},
		"reason":    {"allow_from", "connections", "locks_per_connection", "table_bytes"},
		"mode":      {"exclusive", "shared"},
		"result":    {"success", "failure"},
		"version":   {"1.2.3"},
		"commit":    {"0123abc"},
		"goversion": {"go1.26.0"},
	}
	for _, family := range ours(gather(t, registry(busy(), nil))) {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if !slices.Contains(fixed[label.GetName()], label.GetValue()) {
					t.Errorf("%s has the label %s=%q", family.GetName(), label.GetName(), label.GetValue())
				}
			}
		}
	}
}

func TestAScrapeTakesOneSnapshot(t *testing.T) {
	var snapshots atomic.Int64
	reg := metrics.NewRegistry(metrics.Options{Stats: func() server.Stats {
		snapshots.Add(1)
		return busy()
	}})
	before := snapshots.Load() // registering describes, and must not count
	gather(t, reg)
	if got := snapshots.Load() - before; before != 0 || got != 1 {
		t.Errorf("%d snapshots at registration, %d for one scrape; want 0 and 1", before, got)
	}
}

func TestReloadsAreCountedByResult(t *testing.T) {
	const succeeded, failed = true, false
	for _, tc := range []struct {
		name             string
		reloads          []bool
		success, failure float64
		last             float64
	}{
		{"none yet", nil, 0, 0, 1},
		{"a success", []bool{succeeded}, 1, 0, 1},
		{"a failure", []bool{failed}, 0, 1, 0},
		{"a failure mended", []bool{failed, failed, succeeded}, 1, 2, 1},
		{"a success spoilt", []bool{succeeded, failed}, 1, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reloads := new(metrics.Reloads)
			for _, ok := range tc.reloads {
				if ok {
					reloads.Succeeded()
				} else {
					reloads.Failed()
				}
			}
			got := values(t, registry(server.Stats{}, reloads))
			for sample, want := range map[string]float64{
				"lockd_config_reloads_total result=success": tc.success,
				"lockd_config_reloads_total result=failure": tc.failure,
				"lockd_config_last_reload_successful":       tc.last,
			} {
				if v, ok := got[sample]; !ok || v != want {
					t.Errorf("%s: got %v (there: %v), want %v", sample, v, ok, want)
				}
			}
		})
	}
}

func TestAVersionThatIsNotUTF8FailsTheScrapeOnly(t *testing.T) {
	reg := metrics.NewRegistry(metrics.Options{Stats: busy, Version: "1.2\xff"})
	families, err := reg.Gather()
	if err == nil {
		t.Fatal("gathered without an error")
	}
	if len(ours(families)) == 0 {
		t.Error("the other metrics are gone with it")
	}
}

func TestScrapesAndReloadsMayComeTogether(t *testing.T) {
	reloads := new(metrics.Reloads)
	reg := registry(busy(), reloads)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				reloads.Failed()
				if _, err := reg.Gather(); err != nil {
					t.Error(err)
				}
				reloads.Succeeded()
			}
		})
	}
	wg.Wait()
	got := values(t, reg)
	if got["lockd_config_reloads_total result=success"] != 80 || got["lockd_config_reloads_total result=failure"] != 80 {
		t.Errorf("reloads were lost: %v", got)
	}
}
