package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A topic is a kind of message that clients can cause. Each has its own pace.
type topic uint8

const (
	topicRefused topic = iota
	topicKeepalive
	topicAccept
	topicBreak
	numTopics
)

// What a topic may log: a few at once, then one in a while. The admin sees that
// it happens and how often; nobody can fill the disk.
const (
	warningPause = 10 * time.Second
	warningBurst = 5
)

// A throttle logs what clients can cause, at a bounded rate.
type throttle struct {
	log        *slog.Logger
	limiters   [numTopics]*rate.Limiter
	suppressed [numTopics]atomic.Uint64
}

func newThrottle(log *slog.Logger) *throttle {
	t := &throttle{log: log}
	for i := range t.limiters {
		t.limiters[i] = rate.NewLimiter(rate.Every(warningPause), warningBurst)
	}
	return t
}

// warn does not wait: whoever reads the log may be stuck.
func (t *throttle) warn(about topic, message string, attrs ...slog.Attr) {
	if attrs, may := t.may(about, attrs); may {
		go t.log.LogAttrs(context.Background(), slog.LevelWarn, message, attrs...)
	}
}

func (t *throttle) inform(about topic, message string, attrs ...slog.Attr) {
	if attrs, may := t.may(about, attrs); may {
		t.log.LogAttrs(context.Background(), slog.LevelInfo, message, attrs...)
	}
}

// may tells whether a topic may log now, and what.
func (t *throttle) may(about topic, attrs []slog.Attr) ([]slog.Attr, bool) {
	if !t.limiters[about].Allow() {
		t.suppressed[about].Add(1)
		return nil, false
	}
	if n := t.suppressed[about].Swap(0); n > 0 {
		attrs = append(attrs, slog.Uint64("suppressed_before", n))
	}
	return attrs, true
}
