// Package config finds, checks and merges the configuration of the lockd
// server: flag over environment over file over default.
//
// One table of keys (keys.go) drives everything: what a value may be, the name
// of its environment variable, the order in listings and what a change of it
// needs to take effect. What a key is for stands in configs/lockd.yaml.
package config

import (
	"log/slog"
	"math"
	"reflect"
	"strings"
	"time"
)

// Config is a complete and valid configuration. Nothing in it is changed after
// it was loaded, so it may be shared between goroutines.
type Config struct {
	// Listen holds the addresses for lock clients: tcp://[HOST]:PORT,
	// unix:///PATH?mode=0660&group=G or ws://[HOST]:PORT, as written.
	Listen []string `mapstructure:"listen"`
	// HTTP is the HOST:PORT of metrics, health and status; empty is off.
	HTTP string `mapstructure:"http"`
	// HTTPWebConfig is the path of a web configuration file of the Prometheus
	// exporter toolkit; empty is plain HTTP without authentication.
	HTTPWebConfig string `mapstructure:"http_web_config"`
	// HTTPPprof serves /debug/pprof/ on HTTP.
	HTTPPprof bool `mapstructure:"http_pprof"`
	// AllowFrom holds the networks clients may come from; Unix sockets are not
	// its business.
	AllowFrom Networks `mapstructure:"allow_from"`
	// AdminFrom holds the clients that may break locks and disconnect others.
	AdminFrom Networks  `mapstructure:"admin_from"`
	Features  Features  `mapstructure:"features"`
	Limits    Limits    `mapstructure:"limits"`
	WebSocket WebSocket `mapstructure:"websocket"`
	Keepalive Keepalive `mapstructure:"keepalive"`
	Shutdown  Shutdown  `mapstructure:"shutdown"`
	Log       Log       `mapstructure:"log"`
	// StateDir is the path of the directory that keeps fencing tokens rising over
	// restarts; empty is none.
	StateDir string `mapstructure:"state_dir"`
	// PIDFile is the path of the file the process id is written to; empty is none.
	PIDFile string `mapstructure:"pid_file"`
}

// Features switches groups of commands on and off.
type Features struct {
	// Dump is for the commands that list locks.
	Dump bool `mapstructure:"dump"`
	// Registry is for the commands that name clients.
	Registry bool `mapstructure:"registry"`
}

// Limits bounds what clients can make the server hold.
type Limits struct {
	// Connections is the most open connections; 0 derives it from the
	// open-file limit.
	Connections int `mapstructure:"connections"`
	// ConnectionsPerIP is the most open connections of one IP address; 0 is no limit.
	ConnectionsPerIP int `mapstructure:"connections_per_ip"`
	// LocksPerConnection is the most locks one connection holds; 0 is no limit.
	LocksPerConnection int `mapstructure:"locks_per_connection"`
	// TableBytes bounds names and bookkeeping of locks and waiters; 0 is half of
	// the memory of the cgroup or the machine.
	TableBytes int `mapstructure:"table_bytes"`
	// SnapshotBytes bounds all listings under way together; at least 1.
	SnapshotBytes int `mapstructure:"snapshot_bytes"`
	// LineBytes is the longest line of a client, its LF not counted.
	LineBytes int `mapstructure:"line_bytes"`
	// ReplyBacklogBytes is how much waits for a client that does not read before
	// reading from it stops.
	ReplyBacklogBytes int `mapstructure:"reply_backlog_bytes"`
}

// WebSocket holds what only WebSocket clients are asked.
type WebSocket struct {
	// Origins holds the hosts, each with or without a port, that a request's
	// Origin header may name. A request without the header is allowed.
	Origins []string `mapstructure:"origins"`
}

// Keepalive says how soon a dead TCP peer is found out.
type Keepalive struct {
	// Idle is the silence before the first probe, in whole seconds.
	Idle time.Duration `mapstructure:"idle"`
	// Interval is the time between probes, in whole seconds.
	Interval time.Duration `mapstructure:"interval"`
	// Count is how many unanswered probes end the connection.
	Count int `mapstructure:"count"`
	// UserTimeout is how long sent data may stay unacknowledged, in whole
	// milliseconds; 0 is off.
	UserTimeout time.Duration `mapstructure:"user_timeout"`
}

// Shutdown says how a close proceeds.
type Shutdown struct {
	// Grace is how long a close waits for clients to leave.
	Grace Grace `mapstructure:"grace"`
}

// Log says what is logged and how it looks.
type Log struct {
	// Level is the least severe level that is logged.
	Level slog.Level `mapstructure:"level"`
	// Format is auto, text, color, json or journal.
	Format string `mapstructure:"format"`
}

// Grace is how long a close waits for clients; it may be Forever.
type Grace time.Duration

// Forever is the Grace that never ends.
const Forever = Grace(math.MaxInt64)

// Forever reports whether the grace never ends.
func (g Grace) Forever() bool { return g == Forever }

// Duration returns the grace as a duration, the longest there is for Forever.
func (g Grace) Duration() time.Duration { return time.Duration(g) }

// String returns the grace as it is written in the configuration: a duration
// with units or the word forever.
func (g Grace) String() string {
	if g.Forever() {
		return "forever"
	}
	return durationText(time.Duration(g))
}

// Default returns the configuration of a server that was told nothing.
func Default() Config {
	return Config{
		Listen:    []string{"tcp://:9999"},
		HTTP:      ":9996",
		AllowFrom: MustParseNetworks("loopback", "private"),
		AdminFrom: Networks{words: []string{unixWord}, unix: true},
		Features:  Features{Dump: true, Registry: true},
		Limits: Limits{
			SnapshotBytes:     256 << 20,
			LineBytes:         64 << 10,
			ReplyBacklogBytes: 1 << 20,
		},
		WebSocket: WebSocket{Origins: []string{}},
		Keepalive: Keepalive{
			Idle:        15 * time.Second,
			Interval:    5 * time.Second,
			Count:       3,
			UserTimeout: 20 * time.Second,
		},
		Shutdown: Shutdown{Grace: Grace(5 * time.Second)},
		Log:      Log{Level: slog.LevelInfo, Format: "auto"},
	}
}

// value returns what c holds for a key of the table, found by the tags that
// viper uses as well.
func (c Config) value(name string) any {
	v := reflect.ValueOf(c)
	for part := range strings.SplitSeq(name, ".") {
		v = taggedField(v, part)
	}
	return v.Interface()
}

func taggedField(v reflect.Value, tag string) reflect.Value {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("mapstructure") == tag {
			return v.Field(i)
		}
	}
	panic("config: the table has a key that Config has not: " + tag)
}
