package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lockd/internal/admin"
	"lockd/internal/config"
	"lockd/internal/locks"
	"lockd/internal/metrics"
	"lockd/internal/server"
	"lockd/internal/state"
	"lockd/internal/systemd"
)

// A daemon is a running server with all that belongs to it. It owns every
// goroutine that outlives a request.
type daemon struct {
	// static after start
	env       environment
	options   config.Options // to load the configuration again
	started   time.Time
	startedAs config.Config // what waits for a restart is held against this
	warnings  []string      // of the configuration
	logTo     *logWriter
	switches  switchable
	log       *slog.Logger
	table     *locks.Table
	server    *server.Server
	listeners []*server.Listener
	admin     *admin.Server // nil where http is off
	http      net.Listener  // nil where http is off
	pidFile   *pidFile      // nil where there is none
	state     *state.Dir    // nil where there is none
	reloads   metrics.Reloads
	notifier  *systemd.Notifier
	reloading chan os.Signal // SIGHUP: one that waits stands for all
	closing   chan os.Signal // SIGTERM and SIGINT
	serving   sync.WaitGroup

	config config.Config // in force; belongs to the goroutine that handles signals
	allow  allowed       // follows config
}

// serve runs a daemon to its end.
func serve(ctx context.Context, env environment, options config.Options) error {
	d := &daemon{
		env: env, options: options, started: time.Now(), logTo: newLogWriter(env.stderr),
		notifier:  systemd.NewNotifier(),
		reloading: make(chan os.Signal, 1),
		// Go drops a signal that finds no room. The second means more than the
		// first, further ones mean the same.
		closing: make(chan os.Signal, 2),
	}
	defer d.logTo.close()
	signal.Ignore(syscall.SIGPIPE) // of a log whose reader has gone
	signal.Notify(d.reloading, syscall.SIGHUP)
	defer signal.Stop(d.reloading)
	signal.Notify(d.closing, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(d.closing)
	if runs, err := d.startOrStop(ctx); !runs {
		return err
	}
	return d.run()
}

// startPatience is how long a start that is told to end may take to do so.
const startPatience = time.Second

// startOrStop starts, unless a signal comes that wants no start, and reports
// whether the daemon runs. What a start waits for, such as a file on a server
// that does not answer, may not be something that can be given up: then the
// process ends without it.
func (d *daemon) startOrStop(ctx context.Context) (runs bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- d.start(ctx) }()
	var patience <-chan time.Time // nil until told to end
	for {
		select {
		case err := <-started:
			if err == nil {
				return true, nil
			}
			d.stop()
			if patience != nil { // the error may come of that
				err = nil
			}
			return false, err
		case sig := <-d.closing:
			if patience == nil {
				cancel()
				patience = time.After(startPatience)
				defer d.closeSoon(sig) // if the start goes through
			}
		case <-patience:
			fmt.Fprintln(d.logTo, "lockd: told to end while starting")
			return false, nil
		}
	}
}

// start does all that can fail. What it opened before it failed, stop closes.
func (d *daemon) start(ctx context.Context) error {
	sockets, err := systemd.Sockets("lockd", "http", "ws")
	if err != nil {
		return err
	}
	for name := range sockets {
		d.options.Passed = append(d.options.Passed, name)
	}
	loaded, err := loadConfig(d.options)
	if err != nil {
		return err
	}
	d.config, d.startedAs, d.warnings = loaded.Config, loaded.Config, loaded.Warnings
	if err := checkWebConfig(d.config); err != nil {
		return err
	}
	d.switches = newSwitchable(d.config.Log, d.logTo, d.env)
	d.log = slog.New(d.switches)
	if d.pidFile, err = acquirePIDFile(d.config.PIDFile); err != nil {
		return err
	}
	if d.state, err = openState(d.config.StateDir, time.Now()); err != nil {
		return err
	}
	if err := d.listen(ctx, sockets); err != nil {
		return err
	}
	d.build()
	if err := d.server.Open(); err != nil {
		return &exitError{err: fmt.Errorf("wait for clients: %w", err), code: exitFailed, hint: fileHint(err)}
	}
	return nil
}

// openState returns nil where there is to be no state.
func openState(path string, now time.Time) (*state.Dir, error) {
	if path == "" {
		return nil, nil
	}
	dir, err := state.Open(path, now)
	var known *state.Error
	if errors.As(err, &known) {
		err = &exitError{err: err, code: exitFailed, hint: known.Hint}
	}
	return dir, err
}

// tokens returns the counter that fencing tokens come from.
func (d *daemon) tokens() *locks.Tokens {
	if d.state == nil {
		return state.Clock(time.Now())
	}
	return d.state.Tokens()
}

// checkWebConfig is for what only the endpoint itself can check.
func checkWebConfig(c config.Config) error {
	err := admin.CheckWebConfig(c.HTTPWebConfig)
	if err == nil {
		return nil
	}
	exit := &exitError{err: err, code: exitUsage}
	// The toolkit passes on no more than the text, for the files that it names.
	if strings.Contains(err.Error(), syscall.EACCES.Error()) {
		exit.hint = fmt.Sprintf("uid %d, which this runs as, may not read it; a group of the server's can let it", os.Geteuid())
	}
	return exit
}

func (d *daemon) listen(ctx context.Context, sockets map[string][]*os.File) error {
	var err error
	if d.listeners, err = openListeners(ctx, d.config.Listen, sockets); err != nil {
		return err
	}
	if len(d.listeners) == 0 {
		return &exitError{
			err:  errors.New("there is no address to serve"),
			code: exitUsage, hint: "give one with --listen or in the configuration's listen",
		}
	}
	d.http, err = openHTTP(ctx, d.config.HTTP, sockets["http"])
	return withOwnPortHint(err, d.config.HTTP, d.listeners)
}

// build puts the parts together. It cannot fail.
func (d *daemon) build() {
	d.allow.set(d.config.AllowFrom)
	d.table = locks.New(tableLimits(d.config.Limits), d.tokens())
	info := buildVersion()
	d.server = server.New(server.Options{Table: d.table, Settings: d.settings(), Log: d.log, Version: info.Version})
	if d.http == nil {
		return
	}
	d.admin = admin.New(admin.Options{
		Gatherer: metrics.NewRegistry(metrics.Options{
			Stats: d.server.Stats, Durations: d.table.Durations, Tokens: d.tokenStats(), Reloads: &d.reloads,
			Version: info.Version, Commit: info.Commit, GoVersion: info.GoVersion,
		}),
		Ready:     func() bool { return !d.server.Closing() },
		Status:    d.status,
		Pprof:     d.config.HTTPPprof,
		Allow:     d.allow.contains,
		Refused:   d.server.CountRefused,
		WebConfig: d.config.HTTPWebConfig,
		Log:       d.log,
	})
}

// run serves until a signal ends it, and closes. The error is that it could not serve.
func (d *daemon) run() error {
	background, stopBackground := context.WithCancel(context.Background())
	var failed atomic.Bool
	for _, l := range d.listeners {
		d.serving.Go(func() {
			if err := d.server.Serve(l); err != nil {
				d.log.Error("clients are not served", "listen", l.String(), "error", err)
				if !failed.Swap(true) { // a second signal would not wait for clients
					d.closeSoon(syscall.SIGTERM)
				}
			}
		})
	}
	if d.admin != nil {
		d.serving.Go(func() {
			if err := d.admin.Serve(d.http); err != nil {
				d.log.Error("http endpoint ended", "error", err)
			}
		})
	}
	d.serving.Go(func() { d.watchdog(background) })
	d.serving.Go(func() { d.showStatus(background) })
	d.serving.Go(func() { d.reclaim(background) })
	if d.state != nil {
		d.serving.Go(func() { d.state.Run(background, d.log) })
	}
	d.log.Info("lockd serves", "addresses", d.addresses(), "version", buildVersion().Version, "pid", os.Getpid())
	if d.state == nil {
		d.log.Info("no state_dir is set: fencing tokens start from the clock")
	}
	d.warn()
	d.notify(d.notifier.Ready(d.summary()))
	d.close(d.untilClosing())
	stopBackground()
	d.stop()
	if failed.Load() {
		return &exitError{code: exitFailed} // the log has said why
	}
	return nil
}

// fewConnections is a limit on connections that surprises a server's admin.
const fewConnections = 500

// warn tells of what is allowed and most likely not meant.
func (d *daemon) warn() {
	for _, w := range d.warnings {
		d.log.Warn(w)
	}
	if n := d.server.Stats().MaxConnections; d.config.Limits.Connections == 0 && n < fewConnections {
		d.log.Warn("few clients can connect, the limit on open files is low: raise it with ulimit -n or LimitNOFILE=", "limit", n)
	}
	if len(d.config.AllowFrom.Words()) == 0 {
		d.log.Warn("allow_from is empty: nobody can connect but by a Unix socket")
	}
}

// untilClosing reloads as often as it is told to, and returns the signal that
// ends the daemon.
func (d *daemon) untilClosing() os.Signal {
	for {
		select {
		case <-d.reloading:
			d.reload()
		case sig := <-d.closing:
			return sig
		}
	}
}

// closeSoon queues sig again, so that run closes as soon as it has begun.
func (d *daemon) closeSoon(sig os.Signal) {
	select {
	case d.closing <- sig:
	default: // another signal asks for the same
	}
}

// close ends the server in the way that sig asks for: it waits for clients to
// leave until the grace is over or a second signal comes.
func (d *daemon) close(sig os.Signal) {
	grace := d.config.Shutdown.Grace
	d.server.StopListening()
	d.log.Info("closing", "signal", sig.String(), "grace", grace.String(), "connections", d.server.Stats().Connections())
	d.notify(d.notifier.Stopping("closing: " + d.summary()))
	d.notify(d.notifier.ExtendTimeout(extendedTimeout))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !grace.Forever() {
		ctx, cancel = context.WithTimeout(ctx, grace.Duration())
		defer cancel()
	}
	closed := make(chan error, 1)
	go func() { closed <- d.server.Close(ctx) }()
	patience := time.NewTicker(extendedTimeout / 2)
	defer patience.Stop()
	for {
		select {
		case err := <-closed:
			d.logClosed(err)
			return
		case sig := <-d.closing:
			d.log.Info("second signal, disconnecting clients", "signal", sig.String())
			cancel()
		case <-patience.C:
			d.notify(d.notifier.ExtendTimeout(extendedTimeout))
		}
	}
}

// extendedTimeout is what the service manager is asked for, again and again, while
// clients may stay.
const extendedTimeout = 20 * time.Second

func (d *daemon) logClosed(err error) {
	if err == nil {
		d.log.Info("closed, all clients have left")
		return
	}
	d.log.Info("closed, the clients that were left are disconnected")
}

// httpPatience is how long HTTP requests under way may take at the end.
const httpPatience = 500 * time.Millisecond

// stop ends what start has opened, in the reverse order, and waits for it.
func (d *daemon) stop() {
	if d.server != nil {
		d.server.Destroy()
	}
	for _, l := range d.listeners {
		l.Close()
	}
	if d.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), httpPatience)
		defer cancel()
		if err := d.admin.Shutdown(ctx); err != nil {
			d.log.Debug("http requests cut off", "error", err)
		}
	}
	if d.http != nil {
		d.http.Close()
	}
	d.serving.Wait()
	if d.state != nil {
		if err := d.state.Close(); err != nil {
			d.log.Error("state directory not closed", "error", err)
		}
	}
	if err := d.pidFile.remove(); err != nil {
		d.log.Warn("pid file not removed", "error", err)
	}
}

func (d *daemon) watchdog(ctx context.Context) {
	interval, err := systemd.WatchdogInterval()
	if err != nil {
		d.log.Warn("no watchdog", "error", err)
	}
	d.notifier.RunWatchdog(ctx, interval, d.server.Probe, d.log)
}

// statusPause is how often the service manager's status line is brought up to
// date.
const statusPause = 5 * time.Second

func (d *daemon) showStatus(ctx context.Context) {
	ticker := time.NewTicker(statusPause)
	defer ticker.Stop()
	shown := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if now := d.summary(); now != shown && !d.server.Closing() {
			shown = now
			d.notify(d.notifier.Status(now))
		}
	}
}

func (d *daemon) notify(err error) {
	if err != nil {
		d.log.Warn("service manager not told", "error", err)
	}
}
