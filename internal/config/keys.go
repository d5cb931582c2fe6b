package config

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Reload says what a changed value needs to take effect.
type Reload int

const (
	// AtReload is a value that holds for everybody from the reload on.
	AtReload Reload = iota
	// NewConnections is a value that holds, from the reload on, for clients that
	// connect after it.
	NewConnections
	// EachRequest is the path of a file that is read at each request, so that its
	// content needs no reload; another path waits for a restart.
	EachRequest
	// Restart is a value that waits for a restart.
	Restart
)

// Applies reports whether a reload is enough for a changed value.
func (r Reload) Applies() bool { return r == AtReload || r == NewConnections }

// String returns the words configs/lockd.yaml has for r.
func (r Reload) String() string {
	return []string{"reload", "new connections", "file read at each request, path: restart", "restart"}[r]
}

// key is one row of the table of keys.
type key struct {
	name   string
	kind   kind
	reload Reload
}

// table returns every key there is, in the order users see them. The defaults
// are in Default and the words for users in configs/lockd.yaml; tests hold the
// three against one another. checkAddress judges one address of listen.
func table(checkAddress func(string) error) []key {
	return []key{
		{"listen", list(checkAddress), Restart},
		{"http", hostPort(), Restart},
		{"http_web_config", path(), EachRequest},
		{"http_pprof", boolean(), Restart},
		{"allow_from", networks(), NewConnections},
		{"admin_from", clients(), AtReload},
		{"features.dump", boolean(), AtReload},
		{"features.registry", boolean(), AtReload},
		{"limits.connections", integer(0, math.MaxInt), AtReload},
		{"limits.connections_per_ip", integer(0, math.MaxInt), AtReload},
		{"limits.locks_per_connection", integer(0, math.MaxInt), AtReload},
		{"limits.table_bytes", integer(0, math.MaxInt), AtReload},
		{"limits.snapshot_bytes", integer(1, math.MaxInt), AtReload},
		{"limits.line_bytes", integer(64, 16<<20), AtReload},
		{"limits.reply_backlog_bytes", integer(4096, math.MaxInt), AtReload},
		{"websocket.origins", list(checkOrigin), AtReload},
		{"keepalive.idle", keepaliveTime(), NewConnections},
		{"keepalive.interval", keepaliveTime(), NewConnections},
		{"keepalive.count", integer(1, maxProbes), NewConnections},
		{"keepalive.user_timeout", userTimeout(), NewConnections},
		{"shutdown.grace", grace(), AtReload},
		{"log.level", logLevel(), AtReload},
		{"log.format", choice("auto", "text", "color", "json", "journal"), AtReload},
		{"state_dir", path(), Restart},
		{"pid_file", path(), Restart},
	}
}

// Bounds of Linux: MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT, and
// TCP_USER_TIMEOUT, an int of milliseconds, in whole hours.
const (
	maxProbeTime   = 32767 * time.Second
	maxProbes      = 127
	maxUserTimeout = 596 * time.Hour
)

func keepaliveTime() kind {
	return duration(span{min: time.Second, max: maxProbeTime, step: time.Second, want: "whole seconds from 1s to 32767s"})
}

func userTimeout() kind {
	return duration(span{
		min: time.Second, max: maxUserTimeout, step: time.Millisecond, zero: true,
		want: "0 for off or whole milliseconds from 1s to 596h",
	})
}

// environmentName returns the name of the variable that sets k.
func (k key) environmentName() string {
	return EnvironmentName(k.name)
}

// EnvironmentName returns the name of the variable that sets a key, given dotted.
func EnvironmentName(key string) string {
	return "LOCKD_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// section returns what stands before the dot of a key's name, or nothing.
func (k key) section() string {
	section, _, found := strings.Cut(k.name, ".")
	if !found {
		return ""
	}
	return section
}

// last returns what stands behind the dot of a key's name, or all of it.
func (k key) last() string { return k.name[strings.LastIndexByte(k.name, '.')+1:] }

// Keys returns the names of all keys, dotted, in the order of the documentation.
func Keys() []string {
	var names []string
	for _, k := range table(nil) {
		names = append(names, k.name)
	}
	return names
}

func keyIndex(keys []key, name string) int {
	return slices.IndexFunc(keys, func(k key) bool { return k.name == name })
}

func isSection(keys []key, name string) bool {
	return name != "" && slices.ContainsFunc(keys, func(k key) bool { return k.section() == name })
}
