package main

import (
	"fmt"
	"strings"
	"time"

	"lockd/internal/admin"
	"lockd/internal/locks"
	"lockd/internal/metrics"
	"lockd/internal/server"
)

// summary is the state in a line.
func (d *daemon) summary() string {
	stats := d.server.Stats()
	return strings.Join([]string{
		counted(stats.Connections(), "connection"),
		counted(stats.Locks.Exclusive.Locks, "lock"),
		counted(stats.Locks.Shared.Locks, "shared lock"),
	}, ", ")
}

// counted is a number of things, of which one has no s at its end.
func counted(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (d *daemon) addresses() []string {
	var addresses []string
	for _, l := range d.listeners {
		addresses = append(addresses, l.String())
	}
	if d.http != nil {
		addresses = append(addresses, d.httpURL())
	}
	return addresses
}

// status is what the status page shows.
func (d *daemon) status() admin.Status {
	info, stats := buildVersion(), d.server.Stats()
	s := admin.Status{
		Version: info.Version, Commit: info.Commit, GoVersion: info.GoVersion,
		Uptime:    time.Since(d.started),
		Addresses: d.addresses(),
		Modes: []admin.Mode{
			mode("exclusive", stats.Locks.Exclusive),
			mode("shared", stats.Locks.Shared),
		},
		OldestWaiter:    stats.OldestWaiter,
		TableBytes:      stats.Locks.Bytes,
		Watchers:        stats.Watchers,
		LostEvents:      stats.LostEvents,
		Commands:        counts(stats.Commands),
		InvalidCommands: stats.InvalidCommands,
		Refused:         counts(stats.Refused),
		Limited:         counts(stats.Limited),
	}
	for _, t := range stats.Transports {
		s.Transports = append(s.Transports, admin.Transport(t))
	}
	return s
}

func mode(name string, s locks.ModeStats) admin.Mode {
	return admin.Mode{Name: name, Locks: s.Locks, Holders: s.Holders, Waiters: s.Waiters, Orphans: s.Orphans}
}

func counts(from []server.Count) []admin.Count {
	to := make([]admin.Count, len(from))
	for i, c := range from {
		to[i] = admin.Count(c)
	}
	return to
}

// tokenStats returns what tells how reserving tokens goes, nil where there is no
// state directory.
func (d *daemon) tokenStats() func() metrics.TokenStats {
	if d.state == nil {
		return nil
	}
	return func() metrics.TokenStats { return metrics.TokenStats(d.state.Stats()) }
}
