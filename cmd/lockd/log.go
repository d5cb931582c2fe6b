package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/lmittmann/tint"

	"lockd/internal/config"
	"lockd/internal/systemd"
)

// A switchable is a slog.Handler whose level and format a reload can change. What
// is derived from it with attributes keeps the format it was derived under.
type switchable struct {
	level   *slog.LevelVar
	handler *atomic.Pointer[slog.Handler]
}

func newSwitchable(c config.Log, out io.Writer, env environment) switchable {
	s := switchable{new(slog.LevelVar), new(atomic.Pointer[slog.Handler])}
	s.set(c, out, env)
	return s
}

// set takes over the level and format. Safe while others log.
func (s switchable) set(c config.Log, out io.Writer, env environment) {
	h := newHandler(c.Format, s.level, out, env)
	s.level.Set(c.Level)
	s.handler.Store(&h)
}

func (s switchable) Enabled(_ context.Context, l slog.Level) bool { return l >= s.level.Level() }

func (s switchable) Handle(ctx context.Context, r slog.Record) error {
	return (*s.handler.Load()).Handle(ctx, r)
}

func (s switchable) WithAttrs(attrs []slog.Attr) slog.Handler {
	return (*s.handler.Load()).WithAttrs(attrs)
}

func (s switchable) WithGroup(name string) slog.Handler {
	return (*s.handler.Load()).WithGroup(name)
}

func newHandler(format string, level slog.Leveler, out io.Writer, env environment) slog.Handler {
	if format == "auto" {
		format = autoFormat(env)
	}
	switch format {
	case "journal":
		return systemd.NewJournalHandler(systemd.JournalOptions{Level: level, Fallback: out})
	case "json":
		return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})
	case "color":
		return tint.NewTextHandler(out, &tint.Options{Level: level, ReplaceAttr: tame})
	}
	return slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})
}

// autoFormat is the journal's own protocol where standard error is the journal,
// colours for a person, plain text for a file or a pipe.
func autoFormat(env environment) string {
	_, noColor := env.lookupEnv("NO_COLOR")
	switch {
	case systemd.StderrIsJournal():
		return "journal"
	case isTerminal(env.stderr) && !noColor:
		return "color"
	}
	return "text"
}

// tame makes values printable: tint, unlike slog's own handlers, prints escape
// bytes as they are.
func tame(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString, slog.KindAny:
		// Tint makes ESC of the four characters \x1b when it quotes a value.
		return slog.String(a.Key, strings.ReplaceAll(printable(v.String()), `\x1b`, `\u001b`))
	}
	return a
}
