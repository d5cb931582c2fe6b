package server

import (
	"context"
	"log/slog"
	"sync"
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

// maxQueued is how many warnings wait for a log that is slow or stuck.
const maxQueued = 2 * warningBurst

// A throttle logs what clients can cause, at a bounded rate.
type throttle struct {
	log        *slog.Logger
	limiters   [numTopics]*rate.Limiter
	suppressed [numTopics]atomic.Uint64

	mu      sync.Mutex
	queued  []slog.Record // guarded by mu, as the next
	written chan struct{} // closed when all were; nil where nobody writes
}

func newThrottle(log *slog.Logger) *throttle {
	t := &throttle{log: log}
	for i := range t.limiters {
		t.limiters[i] = rate.NewLimiter(rate.Every(warningPause), warningBurst)
	}
	return t
}

// warn does not wait for the log, as whoever reads that may be stuck: a goroutine
// writes. What it is too slow for is suppressed.
func (t *throttle) warn(about topic, message string, attrs ...slog.Attr) {
	if !t.log.Enabled(context.Background(), slog.LevelWarn) || !t.may(about) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queued) == maxQueued {
		t.suppressed[about].Add(1)
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, message, 0)
	r.AddAttrs(t.withSuppressed(about, attrs)...)
	t.queued = append(t.queued, r)
	if t.written == nil {
		t.written = make(chan struct{})
		go t.write()
	}
}

// write writes what is queued, until there is no more.
func (t *throttle) write() {
	for {
		t.mu.Lock()
		if len(t.queued) == 0 {
			close(t.written)
			t.queued, t.written = nil, nil
			t.mu.Unlock()
			return
		}
		r := t.queued[0]
		t.queued = t.queued[1:]
		t.mu.Unlock()
		t.log.Handler().Handle(context.Background(), r)
	}
}

// flush waits until all that is queued is written, but no longer than atMost.
func (t *throttle) flush(atMost time.Duration) {
	t.mu.Lock()
	written := t.written
	t.mu.Unlock()
	if written == nil {
		return
	}
	select {
	case <-written:
	case <-time.After(atMost):
	}
}

// inform waits for the log.
func (t *throttle) inform(about topic, message string, attrs ...slog.Attr) {
	if t.may(about) {
		t.log.LogAttrs(context.Background(), slog.LevelInfo, message, t.withSuppressed(about, attrs)...)
	}
}

// may tells whether a topic may log now.
func (t *throttle) may(about topic) bool {
	if t.limiters[about].Allow() {
		return true
	}
	t.suppressed[about].Add(1)
	return false
}

// withSuppressed adds how many were suppressed before.
func (t *throttle) withSuppressed(about topic, attrs []slog.Attr) []slog.Attr {
	if n := t.suppressed[about].Swap(0); n > 0 {
		attrs = append(attrs, slog.Uint64("suppressed_before", n))
	}
	return attrs
}
