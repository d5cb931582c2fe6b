// Package metrics shows the server's counters to Prometheus. It counts nothing
// that the server counts: each scrape reads one snapshot of the server's own
// counters, so that /metrics and the command q cannot disagree.
package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"lockd/internal/locks"
	"lockd/internal/server"
)

// Options say what a registry shows.
type Options struct {
	// Stats takes a snapshot of the server's counters. It is called once per
	// scrape, by several scrapes at a time where there are several.
	Stats func() server.Stats
	// Durations takes a snapshot of how long holds and waits took. It is called
	// like Stats; nil shows no histograms.
	Durations func() (exclusive, shared locks.Durations)
	// Tokens takes a snapshot of how reserving fencing tokens goes. It is called
	// like Stats; nil, of a server without a state directory, shows nothing of it.
	Tokens func() TokenStats
	// Reloads counts the reloads of the configuration; nil shows none.
	Reloads *Reloads
	// Version, Commit and GoVersion are the labels of lockd_build_info.
	Version, Commit, GoVersion string
}

// TokenStats tell how reserving fencing tokens in the state directory goes.
type TokenStats struct {
	Reservations, Failures uint64 // that succeeded and that did not, since the start
	LastFailed             bool   // the latest of both
}

// NewRegistry returns a registry with the metrics of the server, of the Go
// runtime and of the process (on Linux and where else there are any).
func NewRegistry(opts Options) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		newCollector(opts),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// Reloads counts reloads of the configuration by their result. Its zero value
// is ready for use: no reload yet, and the configuration of the start in force.
// Methods may be called concurrently.
type Reloads struct {
	succeeded, failed atomic.Uint64
	lastFailed        atomic.Bool
}

// Succeeded counts a reload whose configuration is now in force.
func (r *Reloads) Succeeded() {
	r.succeeded.Add(1)
	r.lastFailed.Store(false)
}

// Failed counts a reload that was refused: what was in force before still is.
func (r *Reloads) Failed() {
	r.failed.Add(1)
	r.lastFailed.Store(true)
}
