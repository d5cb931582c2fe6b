package server

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
)

// A refusal is why a connection was closed without being served.
type refusal uint8

const (
	admitted      refusal = iota
	refusedFrom           // allow_from
	refusedLimit          // limits.connections
	refusedPerIP          // limits.connections_per_ip
	refusedHTTP           // an HTTP request at the lock port
	refusedOrigin         // a WebSocket from a foreign web page
	numRefusals
)

var refusalNames = [numRefusals]string{
	"", "allow_from", "connections", "connections_per_ip", "http_request", "websocket_origin",
}

// The gate decides who may connect, and counts.
type gate struct {
	accepted [numTransports]atomic.Uint64
	refused  [numRefusals]atomic.Uint64

	mu    sync.Mutex
	open  [numTransports]int // guarded by mu, as below
	total int
	perIP map[netip.Addr]int
}

// enter admits a connection and counts it, or says why not. A Unix socket has
// the zero address.
func (g *gate) enter(t Transport, ip netip.Addr, set *Settings) refusal {
	if ip.IsValid() && set.Allow != nil && !set.Allow(ip) {
		return g.refuse(refusedFrom)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total >= set.MaxConnections {
		return g.refuse(refusedLimit)
	}
	if limit := set.MaxConnectionsPerIP; limit > 0 && ip.IsValid() && g.perIP[ip] >= limit {
		return g.refuse(refusedPerIP)
	}
	g.open[t]++
	g.total++
	if ip.IsValid() {
		g.perIP[ip]++
	}
	g.accepted[t].Add(1)
	return admitted
}

// leave takes back what enter counted.
func (g *gate) leave(t Transport, ip netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[t]--
	g.total--
	if !ip.IsValid() {
		return
	}
	if g.perIP[ip]--; g.perIP[ip] == 0 {
		delete(g.perIP, ip)
	}
}

func (g *gate) refuse(why refusal) refusal {
	g.refused[why].Add(1)
	return why
}

func (g *gate) transports() []TransportStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	stats := make([]TransportStats, numTransports)
	for t := range stats {
		stats[t] = TransportStats{transportNames[t], uint64(g.open[t]), g.accepted[t].Load()}
	}
	return stats
}

func (g *gate) refusals() []Count {
	counts := make([]Count, 0, numRefusals-1)
	for why := admitted + 1; why < numRefusals; why++ {
		counts = append(counts, Count{refusalNames[why], g.refused[why].Load()})
	}
	return counts
}

// CountRefused counts a client that another endpoint of the program has refused
// for its address.
func (s *Server) CountRefused() { s.gate.refuse(refusedFrom) }

func (s *Server) logRefusal(address string, why refusal, more ...slog.Attr) {
	attrs := []slog.Attr{slog.String("address", address), slog.String("reason", refusalNames[why])}
	if why == refusedLimit {
		attrs = append(attrs, slog.Int("limit", s.settings.Load().MaxConnections))
	}
	s.throttle.warn(topicRefused, "connection refused", append(attrs, more...)...)
}
