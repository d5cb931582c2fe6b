package metrics_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"pgregory.net/rapid"

	"lockd/internal/locks"
	"lockd/internal/metrics"
	"lockd/internal/server"
)

// A snapshot is all that a scrape reads.
type snapshot struct {
	server.Stats
	exclusive, shared locks.Durations
	tokens            metrics.TokenStats
}

// busy is a snapshot in which no two numbers are equal, so that none can stand
// in the place of another unnoticed.
func busy() snapshot {
	return snapshot{
		Stats: server.Stats{
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
			Watchers:       123,
			LostEvents:     124,
			OldestWaiter:   125*time.Second + 500*time.Millisecond,
			Locks: locks.Stats{
				Exclusive: locks.ModeStats{Locks: 115, Holders: 116, Orphans: 117, Waiters: 126},
				Shared:    locks.ModeStats{Locks: 118, Holders: 119, Orphans: 120, Waiters: 127},
				Bytes:     121,
				MaxBytes:  130,
			},
		},
		exclusive: locks.Durations{Hold: histogram(1), Wait: histogram(2)},
		shared:    locks.Durations{Hold: histogram(3), Wait: histogram(4)},
		tokens:    metrics.TokenStats{Reservations: 128, Failures: 129, LastFailed: true},
	}
}

// histogram returns one in which every bucket adds another number, and no other
// histogram's.
func histogram(n uint64) locks.Histogram {
	h := locks.Histogram{Micros: 1_234_567 * n}
	for i := range h.Counts {
		h.Counts[i] = 1000*n + uint64(i)
	}
	return h
}

func registry(s snapshot, reloads *metrics.Reloads) *prometheus.Registry {
	return metrics.NewRegistry(metrics.Options{
		Stats:     func() server.Stats { return s.Stats },
		Durations: func() (exclusive, shared locks.Durations) { return s.exclusive, s.shared },
		Tokens:    func() metrics.TokenStats { return s.tokens },
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
			if family.GetType() == dto.MetricType_HISTOGRAM {
				addHistogram(samples, family.GetName(), m)
				continue
			}
			samples[family.GetName()+labels(m)] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return samples
}

func addHistogram(samples map[string]float64, name string, m *dto.Metric) {
	h := m.GetHistogram()
	samples[name+"_sum"+labels(m)] = h.GetSampleSum()
	samples[name+"_count"+labels(m)] = float64(h.GetSampleCount())
	for _, b := range h.GetBucket() {
		sample := fmt.Sprintf("%s_bucket%s le=%v", name, labels(m), b.GetUpperBound())
		samples[sample] = float64(b.GetCumulativeCount())
	}
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
	for _, family := range gather(t, registry(snapshot{}, nil)) {
		names = append(names, family.GetName())
	}
	for _, want := range []string{"go_goroutines", "go_info", "process_open_fds", "process_resident_memory_bytes"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// want says, one sample at a time, where each number of a snapshot must appear.
func want(s snapshot) map[string]float64 {
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
		"lockd_waiters mode=exclusive":              float64(s.Locks.Exclusive.Waiters),
		"lockd_waiters mode=shared":                 float64(s.Locks.Shared.Waiters),
		"lockd_oldest_waiter_seconds":               float64(s.OldestWaiter) / 1e9,
		"lockd_table_bytes":                         float64(s.Locks.Bytes),
		"lockd_table_bytes_limit":                   float64(s.Locks.MaxBytes),
		"lockd_watchers":                            float64(s.Watchers),
		"lockd_lost_events_total":                   float64(s.LostEvents),
		"lockd_config_reloads_total result=success": 0,
		"lockd_config_reloads_total result=failure": 0,
		"lockd_config_last_reload_successful":       1,

		"lockd_token_reservations_total result=success": float64(s.tokens.Reservations),
		"lockd_token_reservations_total result=failure": float64(s.tokens.Failures),
		"lockd_token_last_reservation_successful":       map[bool]float64{false: 1, true: 0}[s.tokens.LastFailed],
	}
	for sample, h := range map[string]locks.Histogram{
		"lockd_hold_seconds%s mode=exclusive": s.exclusive.Hold,
		"lockd_hold_seconds%s mode=shared":    s.shared.Hold,
		"lockd_wait_seconds%s mode=exclusive": s.exclusive.Wait,
		"lockd_wait_seconds%s mode=shared":    s.shared.Wait,
	} {
		wantHistogram(w, sample, h)
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

// bounds are those of all buckets but the last, in seconds, as they are printed:
// queries name them.
var bounds = [...]string{
	"0.0001", "0.0004", "0.0016", "0.0064", "0.0256", "0.1024", "0.4096", "1.6384",
	"6.5536", "26.2144", "104.8576", "419.4304", "1677.7216", "6710.8864", "26843.5456", "107374.1824",
}

func wantHistogram(w map[string]float64, sample string, h locks.Histogram) {
	count := uint64(0)
	for i, bound := range bounds {
		count += h.Counts[i]
		w[fmt.Sprintf(sample, "_bucket")+" le="+bound] = float64(count)
	}
	w[fmt.Sprintf(sample, "_count")] = float64(count + h.Counts[len(bounds)])
	w[fmt.Sprintf(sample, "_sum")] = float64(h.Micros) / 1e6
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
func draw(t *rapid.T) snapshot {
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
	s.InvalidCommands, s.Watchers, s.LostEvents = number(), number(), number()
	s.OldestWaiter = time.Duration(number())
	for _, m := range []*locks.ModeStats{&s.Locks.Exclusive, &s.Locks.Shared} {
		*m = locks.ModeStats{Locks: number(), Holders: number(), Waiters: number(), Orphans: number()}
	}
	s.Locks.Bytes, s.Locks.MaxBytes = int64(number()), int64(number())
	for _, h := range []*locks.Histogram{&s.exclusive.Hold, &s.exclusive.Wait, &s.shared.Hold, &s.shared.Wait} {
		*h = drawHistogram(t)
	}
	s.tokens = metrics.TokenStats{Reservations: number(), Failures: number(), LastFailed: rapid.Bool().Draw(t, "failed")}
	return s
}

func drawHistogram(t *rapid.T) locks.Histogram {
	h := locks.Histogram{Micros: rapid.Uint64Max(1<<53).Draw(t, "micros")}
	for i := range h.Counts {
		h.Counts[i] = rapid.Uint64Max(1<<53/locks.HistogramBuckets).Draw(t, "count")
	}
	return h
}

func TestWhatOnlyRisesIsACounterAndWhatFallsIsAGauge(t *testing.T) {
	for _, family := range ours(gather(t, registry(busy(), nil))) {
		kind := dto.MetricType_GAUGE
		switch name := family.GetName(); {
		case strings.HasSuffix(name, "_total"):
			kind = dto.MetricType_COUNTER
		case name == "lockd_hold_seconds" || name == "lockd_wait_seconds":
			kind = dto.MetricType_HISTOGRAM
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
	var stats, durations, tokens atomic.Int64
	reg := metrics.NewRegistry(metrics.Options{
		Stats: func() server.Stats {
			stats.Add(1)
			return busy().Stats
		},
		Durations: func() (exclusive, shared locks.Durations) {
			durations.Add(1)
			return locks.Durations{}, locks.Durations{}
		},
		Tokens: func() metrics.TokenStats {
			tokens.Add(1)
			return metrics.TokenStats{}
		},
	})
	taken := func() [3]int64 { return [...]int64{stats.Load(), durations.Load(), tokens.Load()} }
	if got := taken(); got != [3]int64{} {
		t.Errorf("registering took %d snapshots; it describes, and must not count", got)
	}
	if gather(t, reg); taken() != [3]int64{1, 1, 1} {
		t.Errorf("a scrape took %d snapshots, want one of each", taken())
	}
}

// What is described and what is collected are held against each other: a registry
// that is registered in a pedantic one has to have described what it collects.
func TestEveryMetricIsDescribedAndNoOtherIs(t *testing.T) {
	reg, pedantic := registry(busy(), nil), prometheus.NewPedanticRegistry()
	pedantic.MustRegister(reg)
	families := ours(gather(t, pedantic))
	ch := make(chan *prometheus.Desc)
	go func() {
		reg.Describe(ch)
		close(ch)
	}()
	described := 0
	for desc := range ch {
		if strings.Contains(desc.String(), `fqName: "lockd_`) {
			described++
		}
	}
	if described != len(families) {
		t.Errorf("%d metrics are described, %d collected", described, len(families))
	}
}

func TestWhatIsNotThereIsNotShown(t *testing.T) {
	got := values(t, metrics.NewRegistry(metrics.Options{Stats: func() server.Stats { return busy().Stats }}))
	if _, ok := got["lockd_table_bytes"]; !ok {
		t.Error("what is there is not shown either")
	}
	for sample := range got {
		if regexp.MustCompile(`^lockd_(hold|wait|token)_`).MatchString(sample) {
			t.Errorf("%s is shown", sample)
		}
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
			got := values(t, registry(snapshot{}, reloads))
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
	reg := metrics.NewRegistry(metrics.Options{Stats: func() server.Stats { return busy().Stats }, Version: "1.2\xff"})
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
