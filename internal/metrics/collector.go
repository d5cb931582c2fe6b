package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// collector reads the server's counters at each scrape. It is immutable.
//
// Labels are commands, transports, reasons, modes and results: sets that the
// program fixes. What clients make up, names of locks and of themselves, is
// never one: each would be a time series that stays.
type collector struct {
	opts Options

	buildInfo    *prometheus.Desc
	commands     *prometheus.Desc
	invalid      *prometheus.Desc
	connections  *prometheus.Desc
	maximum      *prometheus.Desc
	accepted     *prometheus.Desc
	refused      *prometheus.Desc
	limited      *prometheus.Desc
	locks        *prometheus.Desc
	holders      *prometheus.Desc
	orphans      *prometheus.Desc
	tableBytes   *prometheus.Desc
	reloads      *prometheus.Desc
	lastReloadOK *prometheus.Desc
}

func newCollector(opts Options) *collector {
	if opts.Reloads == nil {
		opts.Reloads = new(Reloads)
	}
	return &collector{
		opts: opts,
		buildInfo: describe("build_info",
			"Always 1, with the version and commit of this server and the Go version it was built by as labels.",
			"version", "commit", "goversion"),
		commands: describe("commands_total",
			"Commands read since the start, by command word, whatever they were answered.", "command"),
		invalid: describe("invalid_commands_total",
			"Lines read since the start that are no command of the protocol or longer than the limit."),
		connections: describe("connections",
			"Connections of clients that are open now, by transport.", "transport"),
		maximum: describe("connections_limit",
			"The most connections that may be open at a time, all transports together."),
		accepted: describe("accepted_connections_total",
			"Connections of clients accepted since the start, by transport.", "transport"),
		refused: describe("refused_connections_total",
			"Connections closed unserved since the start, by reason.", "reason"),
		limited: describe("limited_commands_total",
			"Commands answered with failure since the start because of a limit of the configuration, by reason.", "reason"),
		locks: describe("locks",
			"Names that are locked now, by mode.", "mode"),
		holders: describe("holders",
			"Holds on locks now, by mode; a shared lock may have several holders.", "mode"),
		orphans: describe("orphans_total",
			"Holds that ended since the start because their connection did, by mode.", "mode"),
		tableBytes: describe("table_bytes",
			"Memory that the names and the bookkeeping of locks take now, in bytes."),
		reloads: describe("config_reloads_total",
			"Reloads of the configuration since the start, by result.", "result"),
		lastReloadOK: describe("config_last_reload_successful",
			"Whether the latest reload of the configuration succeeded (1) or not (0); 1 before the first."),
	}
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("lockd_"+name, help, labels, nil)
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		c.buildInfo, c.commands, c.invalid, c.connections, c.accepted, c.refused, c.limited,
		c.locks, c.holders, c.orphans, c.tableBytes, c.reloads, c.lastReloadOK,
	} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.opts.Stats()
	out := sink{ch}
	out.gauge(c.buildInfo, 1, c.opts.Version, c.opts.Commit, c.opts.GoVersion)
	c.collectTraffic(out, stats)
	c.collectLocks(out, stats.Locks)
	c.collectReloads(out)
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
}

func (c *collector) collectLocks(out sink, stats locks.Stats) {
	for _, mode := range []struct {
		name  string
		stats locks.ModeStats
	}{{"exclusive", stats.Exclusive}, {"shared", stats.Shared}} {
		out.gauge(c.locks, float64(mode.stats.Locks), mode.name)
		out.gauge(c.holders, float64(mode.stats.Holders), mode.name)
		out.counter(c.orphans, mode.stats.Orphans, mode.name)
	}
	out.gauge(c.tableBytes, float64(stats.Bytes))
}

func (c *collector) collectReloads(out sink) {
	r := c.opts.Reloads
	out.counter(c.reloads, r.succeeded.Load(), "success")
	out.counter(c.reloads, r.failed.Load(), "failure")
	successful := 1.0
	if r.lastFailed.Load() {
		successful = 0
	}
	out.gauge(c.lastReloadOK, successful)
}

// sink is where the metrics of one scrape go.
type sink struct{ ch chan<- prometheus.Metric }

func (s sink) counters(desc *prometheus.Desc, counts []server.Count) {
	for _, count := range counts {
		s.counter(desc, count.Value, count.Name)
	}
}

func (s sink) counter(desc *prometheus.Desc, value uint64, labels ...string) {
	s.send(desc, prometheus.CounterValue, float64(value), labels)
}

func (s sink) gauge(desc *prometheus.Desc, value float64, labels ...string) {
	s.send(desc, prometheus.GaugeValue, value, labels)
}

// send hands one value over. What cannot be shown, such as a version stamped
// with bytes that are not UTF-8, fails the scrape and not the process, which
// holds other people's locks.
func (s sink) send(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	s.ch <- metric
}
