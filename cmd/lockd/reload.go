package main

import (
	"errors"

	"lockd/internal/config"
)

// reload reads the configuration again and applies what can be applied while the
// server runs. A configuration that is not good changes nothing.
func (d *daemon) reload() {
	d.notify(d.notifier.Reloading())
	defer func() { d.notify(d.notifier.Ready(d.summary())) }()
	loaded, err := config.Load(d.options)
	if err == nil {
		err = checkWebConfig(loaded.Config)
	}
	if err != nil {
		d.reloads.Failed()
		for _, err := range each(err) {
			d.log.Error("configuration not reloaded, the old one stays in force", "error", err)
		}
		return
	}
	d.reloads.Succeeded()
	before := d.config
	d.config = loaded.Config
	d.allow.set(d.config.AllowFrom)
	d.table.SetLimits(tableLimits(d.config.Limits))
	d.server.Apply(d.settings())
	d.logChanges(before)
	d.warn()
	if d.config.Log != before.Log {
		d.switches.set(d.config.Log, d.logTo, d.env)
	}
}

// logChanges tells what has changed and what of it waits. It is the last that is
// logged in the old way.
func (d *daemon) logChanges(before config.Config) {
	applied := 0
	for _, c := range config.Diff(before, d.config) {
		if c.Reload.Applies() {
			applied++
			d.log.Info("configuration changed", "key", c.Key, "old", c.Old, "new", c.New, "applies_to", c.Reload.String())
		}
	}
	for _, c := range config.Diff(d.startedAs, d.config) {
		if !c.Reload.Applies() {
			d.log.Warn("configuration change waits for a restart", "key", c.Key, "running", c.Old, "configured", c.New)
		}
	}
	d.log.Info("configuration reloaded", "changes_applied", applied)
}

// each takes a joined error apart.
func each(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
