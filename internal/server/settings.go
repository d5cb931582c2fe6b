package server

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Settings are what may change while the server runs ([Server.Apply]).
type Settings struct {
	// Allow tells whether a client may connect from an address. It is not asked
	// about Unix sockets. Nil allows everybody.
	Allow func(netip.Addr) bool

	// Admin tells whether a client from an address may use fr and kick; it is asked
	// about the zero address for Unix sockets. Nil allows nobody.
	Admin func(netip.Addr) bool

	Dump     bool // d, sd, dump, who, ls and watch answer
	Registry bool // iam and who answer, and names are shown

	MaxConnections      int // at a time; 0: what the limit on open files leaves
	MaxConnectionsPerIP int // at a time; 0: no limit

	LineBytes         int   // longest line, LF not counted
	ReplyBacklogBytes int   // replies that wait for one client before it is read from no more
	SnapshotBytes     int64 // memory of all listings under way, over WebSocket up to twice that; 0: no limit

	// Origins are the hosts that an Origin header may name for a WebSocket to be
	// accepted, with or without a port.
	Origins []string

	Keepalive Keepalive

	// MetricsURL is what a client that speaks HTTP to a lock port is told.
	MetricsURL string
}

// Keepalive is how a dead peer is noticed. It applies to connections accepted
// after it was set, but for what UserTimeout does besides.
type Keepalive struct {
	Idle     time.Duration // silence before the first probe, whole seconds
	Interval time.Duration // between probes, whole seconds
	Count    int           // unanswered probes that end the connection
	// UserTimeout is how long data may stay unacknowledged, or a peer's window
	// closed while replies wait for it. 0 leaves it to the kernel. It is also how long
	// a client may leave replies unread, and a listing wait for memory; that holds at
	// once for all connections, but for replies that wait already, and 0 sets no bound.
	UserTimeout time.Duration
}

// deadPeer is the time after which, at the earliest, a peer that vanished is
// taken for dead.
func (k Keepalive) deadPeer() time.Duration {
	if k.UserTimeout > 0 {
		return k.UserTimeout
	}
	return k.Idle + time.Duration(k.Count)*k.Interval
}

// DefaultSettings returns the settings of a server that nobody configured.
func DefaultSettings() Settings {
	return Settings{
		Dump:              true,
		Registry:          true,
		LineBytes:         64 << 10,
		ReplyBacklogBytes: 1 << 20,
		SnapshotBytes:     256 << 20,
		Keepalive: Keepalive{
			Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3, UserTimeout: 20 * time.Second,
		},
	}
}

// What the limit on connections leaves of the descriptors for all else: HTTP clients,
// listeners, the journal, the runtime.
const (
	sparedFiles = 192 // or a quarter, where that is fewer
	leastSpared = 16  // what a server without clients has, and some for HTTP
)

// maxConnections resolves the automatic limit. Without one it would be the
// kernel that refuses, by leaving clients to wait in the accept queue.
func (s *Settings) maxConnections() int {
	if s.MaxConnections > 0 {
		return s.MaxConnections
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Cur > 1<<30 {
		return 1 << 30
	}
	n := int(files.Cur)
	return max(n-max(min(sparedFiles, n/4), leastSpared), 1)
}
