package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"lockd/client"
	"lockd/internal/human"
)

const statsLong = `Show the server's counters, which count since its start, and what it tells of itself. The
metrics of its HTTP address are the same numbers.

With --watch they are shown again and again with the rates per second, on a terminal in
place and without the counters that are 0. Ctrl-C ends it.

Exit codes:

    0   shown, or ended by Ctrl-C or SIGTERM
    1   failed
    2   wrong usage
    69  the server cannot be reached, or is gone`

const statsExample = `  lockd stats
  lockd stats --watch --interval 5s
  lockd stats --json | jq .counters.locks`

// leastInterval keeps a typing error from keeping the server busy.
const leastInterval = 100 * time.Millisecond

// statsOptions are the flags of lockd stats.
type statsOptions struct {
	oneReply
	watch    bool
	interval time.Duration
}

func newStatsCmd(env environment) *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:               "stats [flags]",
		Short:             "Show the server's counters",
		Long:              statsLong,
		Example:           statsExample,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.interval < leastInterval:
				return usageError(cmd, fmt.Errorf("--interval is %v; want %v or more", o.interval, leastInterval))
			case o.watch:
				return watchStats(cmd.Context(), env, o)
			}
			return stats(cmd.Context(), env, o)
		},
	}
	o.bind(cmd)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "show them again and again, with rates")
	cmd.Flags().DurationVar(&o.interval, "interval", time.Second, "how often --watch shows them: `DURATION`")
	return cmd
}

// statsJSON are the counters for programs.
type statsJSON struct {
	Time     string             `json:"time"`
	Info     map[string]string  `json:"info,omitempty"`
	Counters map[string]uint64  `json:"counters"`
	Rates    map[string]float64 `json:"rates,omitempty"` // per second
}

// A sample is what the counters were at one moment.
type sample struct {
	at       time.Time
	info     map[string]string // nil at level 1
	counters map[string]uint64
}

func (s sample) object() statsJSON {
	return statsJSON{Time: s.at.UTC().Format(time.RFC3339), Info: s.info, Counters: s.counters}
}

func stats(ctx context.Context, env environment, o statsOptions) error {
	var s sample
	err := o.ask(ctx, env, func(ctx context.Context, conn *client.Conn) (err error) {
		if s.info, err = infoOf(ctx, conn); err != nil {
			return err
		}
		s.counters, err = conn.Stats(ctx)
		s.at = time.Now()
		return err
	})
	switch {
	case err != nil:
		return err
	case o.json:
		return printJSON(env, s.object())
	}
	return s.table().print(env)
}

// infoOf returns nil where the server has none to give.
func infoOf(ctx context.Context, conn *client.Conn) (map[string]string, error) {
	info, err := conn.Info(ctx)
	if errors.Is(err, client.ErrUnsupported) {
		err = nil
	}
	for _, own := range []string{"address", "name", "transport"} { // of this very connection
		delete(info, own)
	}
	return info, err
}

func (s sample) table() *textTable {
	l := &textTable{columns: []string{"NAME", "VALUE"}}
	for _, key := range slices.Sorted(maps.Keys(s.info)) {
		name, value := key, s.info[key]
		if seconds, err := strconv.ParseUint(value, 10, 32); err == nil && key == "uptime_seconds" {
			name, value = "uptime", human.Age(time.Duration(seconds)*time.Second)
		}
		l.add(printable(name), orDash(value))
	}
	for _, key := range slices.Sorted(maps.Keys(s.counters)) {
		l.add(printable(key), strconv.FormatUint(s.counters[key], 10))
	}
	return l
}

func watchStats(ctx context.Context, env environment, o statsOptions) error {
	ctx, cancel := untilInterrupted(ctx)
	defer cancel()
	ctx, cancel = whileRead(ctx, env.stdout)
	defer cancel()
	err := o.ask(ctx, env, func(ctx context.Context, conn *client.Conn) error {
		if _, err := conn.Level(ctx); err != nil { // which decides what is counted
			return err
		}
		return follow(ctx, env, o, conn)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow shows samples until there are none.
func follow(ctx context.Context, env environment, o statsOptions, conn *client.Conn) error {
	d := newDisplay(env)
	defer d.leave()
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	var last sample
	for {
		counters, err := conn.Stats(ctx)
		if err != nil {
			return err
		}
		now := sample{at: time.Now(), counters: counters}
		if o.json {
			err = printJSON(env, now.change(last))
		} else {
			err = d.show(now, now.rates(last))
		}
		if err != nil {
			return err
		}
		last = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s sample) change(last sample) statsJSON {
	o := s.object()
	o.Rates = s.rates(last)
	return o
}

// isGauge tells what goes down as well.
func isGauge(key string) bool {
	return key == "connections" || key == "locks" || key == "shared_locks"
}

// rates are those of the counters per second, nil for the first sample.
func (s sample) rates(last sample) map[string]float64 {
	seconds := s.at.Sub(last.at).Seconds()
	if last.counters == nil || seconds <= 0 {
		return nil
	}
	rates := make(map[string]float64)
	for key, n := range s.counters {
		if !isGauge(key) {
			rates[key] = float64(n-min(last.counters[key], n)) / seconds
		}
	}
	return rates
}

// A display shows samples below each other, or on a terminal that knows how in
// one place.
type display struct {
	env    environment
	screen screen
	redraw bool
	count  int // samples shown
}

func newDisplay(env environment) *display {
	kind, _ := env.lookupEnv("TERM")
	d := &display{env: env, screen: screenOf(env.stdout, env), redraw: isTerminal(env.stdout) && kind != "dumb"}
	if d.redraw {
		io.WriteString(env.stdout, "\x1b[?25l\x1b[2J") // no cursor, nothing else
	}
	return d
}

// leave leaves the terminal as it was: with a cursor, below what was shown.
func (d *display) leave() {
	if d.redraw {
		io.WriteString(d.env.stdout, "\x1b[?25h")
	}
}

func (d *display) show(s sample, rates map[string]float64) error {
	if d.redraw { // the window may have another size by now
		d.screen = screenOf(d.env.stdout, d.env)
	}
	text := d.table(s, rates).render(d.screen)
	switch {
	case d.redraw:
		text = "\x1b[H" + s.at.Format(time.TimeOnly) + "\x1b[J\n" + text // from the top, over what was there
	case d.count > 0:
		text = "\n" + text
	}
	d.count++
	_, err := io.WriteString(d.env.stdout, text)
	return err
}

func (d *display) table(s sample, rates map[string]float64) *textTable {
	l := &textTable{columns: []string{"NAME", "VALUE", "PER SECOND"}}
	for _, key := range slices.Sorted(maps.Keys(s.counters)) {
		if d.redraw && s.counters[key] == 0 {
			continue
		}
		rate := "-"
		if r, ok := rates[key]; ok {
			rate = strconv.FormatFloat(r, 'f', 1, 64)
		}
		l.add(printable(key), strconv.FormatUint(s.counters[key], 10), rate)
	}
	if room := d.screen.height - 3; d.redraw && room > 0 && len(l.rows) > room { // time, header and cursor
		l.rows = append(l.rows[:room-1], []string{fmt.Sprintf("%s %d more", cut, len(l.rows)-room+1), "", ""})
	}
	return l
}
