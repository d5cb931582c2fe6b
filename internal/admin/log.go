package admin

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
)

// quietHandler makes the exporter toolkit and net/http fit for a lock server's
// log. What they tell of their start is at Debug: the server says what it
// serves itself. What they complain about, any client can cause as often as it
// likes, so beyond a few a minute complaints are at Debug too.
type quietHandler struct {
	next    slog.Handler
	limiter *rate.Limiter // shared by all that WithAttrs and WithGroup derive
}

// What any client can cause is logged a few times at once, then once in a while, as
// the server does it with its own warnings.
const (
	complaintPause = 10 * time.Second
	complaintBurst = 5
)

func newQuietHandler(next slog.Handler) *quietHandler {
	return &quietHandler{next, rate.NewLimiter(rate.Every(complaintPause), complaintBurst)}
}

// Enabled implements [slog.Handler].
func (h *quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	if level < slog.LevelWarn {
		level = slog.LevelDebug
	}
	return h.next.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h *quietHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn || !h.limiter.Allow() {
		r.Level = slog.LevelDebug
		if !h.next.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quietHandler{h.next.WithAttrs(attrs), h.limiter}
}

// WithGroup implements [slog.Handler].
func (h *quietHandler) WithGroup(name string) slog.Handler {
	return &quietHandler{h.next.WithGroup(name), h.limiter}
}

// errorWriter takes the lines of a [log.Logger]. A line may quote its client,
// so it is an attribute, which handlers escape, and not the message.
type errorWriter struct{ log *slog.Logger }

// Write implements [io.Writer].
func (w errorWriter) Write(line []byte) (int, error) {
	w.log.Warn("http server", "error", string(bytes.TrimSpace(line)))
	return len(line), nil
}
