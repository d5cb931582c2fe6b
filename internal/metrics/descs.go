package metrics

import "github.com/prometheus/client_golang/prometheus"

// descs describe all metrics of the collector.
//
// Labels are commands, transports, reasons, modes and results: sets that the
// program fixes. What clients make up, names of locks and of themselves, is
// never one: each would be a time series that stays.
type descs struct {
	all []*prometheus.Desc

	buildInfo *prometheus.Desc

	commands    *prometheus.Desc
	invalid     *prometheus.Desc
	connections *prometheus.Desc
	maximum     *prometheus.Desc
	accepted    *prometheus.Desc
	refused     *prometheus.Desc
	limited     *prometheus.Desc
	watchers    *prometheus.Desc
	lostEvents  *prometheus.Desc

	locks        *prometheus.Desc
	holders      *prometheus.Desc
	waiters      *prometheus.Desc
	oldestWaiter *prometheus.Desc
	orphans      *prometheus.Desc
	tableBytes   *prometheus.Desc
	maxBytes     *prometheus.Desc
	hold         *prometheus.Desc
	wait         *prometheus.Desc

	reloads           *prometheus.Desc
	lastReloadOK      *prometheus.Desc
	reservations      *prometheus.Desc
	lastReservationOK *prometheus.Desc
}

func describeAll() *descs {
	d := new(descs)
	d.buildInfo = d.describe("build_info",
		"Always 1, with the version and commit of this server and the Go version it was built by as labels.",
		"version", "commit", "goversion")
	d.describeTraffic()
	d.describeLocks()
	d.describeUpkeep()
	return d
}

func (d *descs) describeTraffic() {
	d.commands = d.describe("commands_total",
		"Commands read since the start, by command word, whatever they were answered.", "command")
	d.invalid = d.describe("invalid_commands_total",
		"Lines read since the start that are no command of the protocol or longer than the limit.")
	d.connections = d.describe("connections",
		"Connections of clients that are open now, by transport.", "transport")
	d.maximum = d.describe("connections_limit",
		"The most connections that may be open at a time, all transports together.")
	d.accepted = d.describe("accepted_connections_total",
		"Connections of clients accepted since the start, by transport.", "transport")
	d.refused = d.describe("refused_connections_total",
		"Connections closed unserved since the start, by reason.", "reason")
	d.limited = d.describe("limited_commands_total",
		"Commands answered with failure since the start because of a limit of the configuration, by reason.", "reason")
	d.watchers = d.describe("watchers",
		"Connections that watch locks now.")
	d.lostEvents = d.describe("lost_events_total",
		"Events that watchers were too slow for since the start, each once for each watcher that missed it.")
}

func (d *descs) describeLocks() {
	d.locks = d.describe("locks",
		"Names that are locked now, by mode.", "mode")
	d.holders = d.describe("holders",
		"Holds on locks now, by mode; a shared lock may have several holders.", "mode")
	d.waiters = d.describe("waiters",
		"Connections that wait for a lock now, by mode.", "mode")
	d.oldestWaiter = d.describe("oldest_waiter_seconds",
		"How long the connection has waited that waits longest now, in seconds; 0 where none waits.")
	d.orphans = d.describe("orphans_total",
		"Holds that ended since the start because their connection did, by mode.", "mode")
	d.tableBytes = d.describe("table_bytes",
		"Memory that the names and the bookkeeping of locks and waiters take now, in bytes.")
	d.maxBytes = d.describe("table_bytes_limit",
		"The most that lockd_table_bytes may be, in bytes; 0 where there is no limit.")
	d.hold = d.describe("hold_seconds",
		"How long holds lasted that have ended since the start, in seconds, by mode.", "mode")
	d.wait = d.describe("wait_seconds",
		"How long each gw and sgw waited since the start, those granted at once and those that waited in vain included, in seconds, by mode.", "mode")
}

func (d *descs) describeUpkeep() {
	d.reloads = d.describe("config_reloads_total",
		"Reloads of the configuration since the start, by result.", "result")
	d.lastReloadOK = d.describe("config_last_reload_successful",
		"Whether the latest reload of the configuration succeeded (1) or not (0); 1 before the first.")
	d.reservations = d.describe("token_reservations_total",
		"Reservations of fencing tokens in the state directory since the start, by result.", "result")
	d.lastReservationOK = d.describe("token_last_reservation_successful",
		"Whether the latest reservation of fencing tokens in the state directory succeeded (1) or not (0).")
}

func (d *descs) describe(name, help string, labels ...string) *prometheus.Desc {
	desc := prometheus.NewDesc("lockd_"+name, help, labels, nil)
	d.all = append(d.all, desc)
	return desc
}
