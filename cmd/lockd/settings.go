package main

import (
	"net/netip"
	"os"
	"strings"
	"sync/atomic"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"lockd/internal/config"
	"lockd/internal/locks"
	"lockd/internal/server"
)

// settings is the part of the configuration that the server takes.
func (d *daemon) settings() server.Settings {
	c := d.config
	return server.Settings{
		Allow:               c.AllowFrom.Contains,
		Admin:               c.AdminFrom.Contains,
		Dump:                c.Features.Dump,
		Registry:            c.Features.Registry,
		MaxConnections:      c.Limits.Connections,
		MaxConnectionsPerIP: c.Limits.ConnectionsPerIP,
		LineBytes:           c.Limits.LineBytes,
		ReplyBacklogBytes:   c.Limits.ReplyBacklogBytes,
		SnapshotBytes:       int64(c.Limits.SnapshotBytes),
		Origins:             c.WebSocket.Origins,
		Keepalive:           server.Keepalive(c.Keepalive),
		MetricsURL:          d.metricsURL(),
	}
}

// metricsURL is what someone who asks the lock port for HTTP is told.
func (d *daemon) metricsURL() string {
	url := d.httpURL()
	if url == "" {
		return ""
	}
	if host, err := os.Hostname(); err == nil {
		url = strings.NewReplacer("//[::]:", "//"+host+":", "//0.0.0.0:", "//"+host+":").Replace(url)
	}
	return url + "/metrics"
}

// tableLimits is the part of the configuration that the table takes.
func tableLimits(c config.Limits) locks.Limits {
	limits := locks.Limits{SessionHolds: c.LocksPerConnection, Bytes: int64(c.TableBytes)}
	if limits.Bytes == 0 {
		limits.Bytes = halfOfMemory()
	}
	return limits
}

// halfOfMemory is half of what the cgroup, or else the machine, lets this
// process have; no limit where neither can be told.
func halfOfMemory() int64 {
	memory, err := memlimit.FromCgroup()
	if err != nil || memory == 0 {
		memory, err = memlimit.FromSystem()
	}
	if err != nil || memory > 1<<62 {
		return 0
	}
	return int64(memory / 2)
}

// allowed is allow_from as HTTP asks for it, at every accept. The server has its own
// in its settings.
type allowed struct {
	networks atomic.Pointer[config.Networks]
}

func (a *allowed) set(n config.Networks)            { a.networks.Store(&n) }
func (a *allowed) contains(address netip.Addr) bool { return a.networks.Load().Contains(address) }
