package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// collector reads the server's counters at each scrape. It is immutable.
type collector struct {
	*descs
	opts Options
}

func newCollector(opts Options) *collector {
	if opts.Reloads == nil {
		opts.Reloads = new(Reloads)
	}
	return &collector{describeAll(), opts}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range c.all {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.opts.Stats()
	out := sink{ch}
	out.gauge(c.buildInfo, 1, c.opts.Version, c.opts.Commit, c.opts.GoVersion)
	c.collectTraffic(out, stats)
	c.collectLocks(out, stats)
	c.collectDurations(out)
	c.collectReloads(out)
	c.collectTokens(out)
}

func (c *collector) collectTraffic(out sink, stats server.Stats) {
	out.counters(c.commands, stats.Commands)
	out.counter(c.invalid, stats.InvalidCommands)
	for _, t := range stats.Transports {
		out.gauge(c.connections, float64(t.Open), t.Name)
		out.counter(c.accepted, t.Accepted, t.Name)
	}
	out.gauge(c.maximum, float64(stats.MaxConnections))
	out.counters(c.refused, stats.Refused)
	out.counters(c.limited, stats.Limited)
	out.gauge(c.watchers, float64(stats.Watchers))
	out.counter(c.lostEvents, stats.LostEvents)
}

// The values of the label mode.
const (
	exclusive = "exclusive"
	shared    = "shared"
)

func (c *collector) collectLocks(out sink, stats server.Stats) {
	c.collectMode(out, exclusive, stats.Locks.Exclusive)
	c.collectMode(out, shared, stats.Locks.Shared)
	out.gauge(c.oldestWaiter, seconds(stats.OldestWaiter))
	out.gauge(c.tableBytes, float64(stats.Locks.Bytes))
	out.gauge(c.maxBytes, float64(stats.Locks.MaxBytes))
}

func (c *collector) collectMode(out sink, mode string, stats locks.ModeStats) {
	out.gauge(c.locks, float64(stats.Locks), mode)
	out.gauge(c.holders, float64(stats.Holders), mode)
	out.gauge(c.waiters, float64(stats.Waiters), mode)
	out.counter(c.orphans, stats.Orphans, mode)
}

func (c *collector) collectDurations(out sink) {
	if c.opts.Durations == nil {
		return
	}
	x, s := c.opts.Durations()
	out.histogram(c.hold, &x.Hold, exclusive)
	out.histogram(c.hold, &s.Hold, shared)
	out.histogram(c.wait, &x.Wait, exclusive)
	out.histogram(c.wait, &s.Wait, shared)
}

func (c *collector) collectReloads(out sink) {
	r := c.opts.Reloads
	out.results(c.reloads, r.succeeded.Load(), r.failed.Load())
	out.truth(c.lastReloadOK, !r.lastFailed.Load())
}

func (c *collector) collectTokens(out sink) {
	if c.opts.Tokens == nil {
		return
	}
	stats := c.opts.Tokens()
	out.results(c.reservations, stats.Reservations, stats.Failures)
	out.truth(c.lastReservationOK, !stats.LastFailed)
}

// sink is where the metrics of one scrape go.
type sink struct{ ch chan<- prometheus.Metric }

func (s sink) counters(desc *prometheus.Desc, counts []server.Count) {
	for _, count := range counts {
		s.counter(desc, count.Value, count.Name)
	}
}

func (s sink) results(desc *prometheus.Desc, successes, failures uint64) {
	s.counter(desc, successes, "success")
	s.counter(desc, failures, "failure")
}

func (s sink) truth(desc *prometheus.Desc, is bool) {
	value := 0.0
	if is {
		value = 1
	}
	s.gauge(desc, value)
}

func (s sink) counter(desc *prometheus.Desc, value uint64, labels ...string) {
	s.constant(desc, prometheus.CounterValue, float64(value), labels)
}

func (s sink) gauge(desc *prometheus.Desc, value float64, labels ...string) {
	s.constant(desc, prometheus.GaugeValue, value, labels)
}

func (s sink) constant(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	s.send(desc, metric, err)
}

// histogram adds up the buckets: what Prometheus wants of each is how many
// durations are no longer than its bound.
func (s sink) histogram(desc *prometheus.Desc, h *locks.Histogram, labels ...string) {
	const unbounded = locks.HistogramBuckets - 1
	upTo := make(map[float64]uint64, unbounded)
	count := uint64(0)
	for i, n := range h.Counts {
		count += n
		if i != unbounded {
			upTo[seconds(locks.HistogramBound(i))] = count
		}
	}
	metric, err := prometheus.NewConstHistogram(desc, count, float64(h.Micros)/1e6, upTo, labels...)
	s.send(desc, metric, err)
}

// seconds divides once, so that the result prints as the decimal number it is:
// [time.Duration.Seconds] rounds twice.
func seconds(d time.Duration) float64 { return float64(d) / float64(time.Second) }

// send hands one metric over. One that could not be made, such as of a version
// stamped with bytes that are not UTF-8, fails the scrape and not the process,
// which holds other people's locks.
func (s sink) send(desc *prometheus.Desc, metric prometheus.Metric, err error) {
	if err != nil {
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	s.ch <- metric
}
