package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A recorder collects latencies of some of the connections: one for each up to
// maxRecorders, which then share them, as a histogram takes 140 KB.
type recorder struct {
	mu   sync.Mutex
	hist *hdrhistogram.Histogram // µs
}

const (
	maxRecorders = 256
	// maxLatency is the highest that is told from others; more counts as this.
	maxLatency = time.Minute
	// digits of a latency are kept.
	digits = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), digits)
}

func (r *recorder) record(latency time.Duration, n int) {
	latency = max(0, min(latency, maxLatency))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hist.RecordValues(latency.Round(time.Microsecond).Microseconds(), int64(n)) // in range, so without an error
}

// A measurement is one target under load, once.
type measurement struct {
	*run
	target    Target
	workers   []*worker
	recorders []*recorder

	connected sync.WaitGroup
	begin     chan struct{} // closed by measure when all are connected and start is set
	start     time.Time     // the origin of the times below
	from      time.Duration // what arrives later is counted
	until     atomic.Int64  // time.Duration; what arrives later is not
	ended     sync.WaitGroup
}

func (m *measurement) elapsed() time.Duration { return time.Since(m.start) }
func (m *measurement) end() time.Duration     { return time.Duration(m.until.Load()) }

const (
	// dialsAtOnce is few enough for any accept queue.
	dialsAtOnce = 64
	// leastWindow is what a measurement that was broken off must have to be used.
	leastWindow = 100 * time.Millisecond
	// stopGrace is how long answers may take when the run was broken off.
	stopGrace = time.Second
	// tellEvery is the time between two calls of OnProgress.
	tellEvery = 100 * time.Millisecond
)

// measure puts a target under load once. Whole is false where it was broken off too
// early to be of use.
func (r *run) measure(ctx context.Context, t Target) (figures Round, whole bool) {
	m := &measurement{run: r, target: t, begin: make(chan struct{})}
	for range min(r.Connections, maxRecorders) {
		m.recorders = append(m.recorders, &recorder{hist: newHistogram()})
	}
	m.connect(ctx)
	defer m.close()
	m.start, m.from = time.Now(), r.Warmup
	m.until.Store(int64(r.Warmup + r.Duration))
	m.deadlines(r.Warmup + r.Duration + r.Timeout)
	close(m.begin)
	m.sleep(ctx, m.from)
	before := cpuTimes(t.PID)
	m.sleep(ctx, m.end())
	used := cpuTimes(t.PID).since(before)
	window := m.halt() - m.from
	m.ended.Wait()
	m.lastFarewell()
	return m.figures(window, used), window >= min(leastWindow, r.Duration)
}

// connect starts a worker for each connection, and returns when all are connected
// or have failed.
func (m *measurement) connect(ctx context.Context) {
	tickets := make(chan struct{}, dialsAtOnce)
	for id := range m.Connections {
		w := newWorker(m, id)
		m.workers = append(m.workers, w)
		m.connected.Add(1)
		m.ended.Go(func() {
			tickets <- struct{}{}
			conn, err := m.run.connect(ctx, m.target)
			<-tickets
			if err == nil {
				w.conn = conn
			} else {
				w.fail(fmt.Errorf("connect: %w", err))
			}
			m.connected.Done() // from now on measure looks at conn
			if err == nil {
				<-m.begin
				w.work()
			}
		})
	}
	m.connected.Wait()
}

// deadlines ends what is not answered by a time.
func (m *measurement) deadlines(at time.Duration) {
	for _, w := range m.workers {
		if w.conn != nil {
			w.conn.SetDeadline(m.start.Add(at)) // fails where the connection has ended
		}
	}
}

// sleep lets the load go on until a time or the end of ctx.
func (m *measurement) sleep(ctx context.Context, until time.Duration) {
	timer := time.NewTimer(until - m.elapsed())
	defer timer.Stop()
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	defer func() { m.tell(m.elapsed()) }()
	for {
		m.tell(m.elapsed())
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-ticker.C:
		}
	}
}

// halt ends the measurement if it has not ended, and tells when it did.
func (m *measurement) halt() time.Duration {
	now := m.elapsed()
	if now < m.end() {
		m.until.Store(int64(now))
		m.deadlines(now + min(stopGrace, m.Timeout))
	}
	return m.end()
}

// lastFarewell removes what all connections have used and what would outlive them.
func (m *measurement) lastFarewell() {
	_, farewell := farewells(m.target.Kind)
	if farewell == nil {
		return
	}
	for _, w := range m.workers {
		if w.conn != nil && w.say(farewell(m.prefix+"hot")+"\n") == nil {
			return
		}
	}
}

func (m *measurement) close() {
	for _, w := range m.workers {
		if w.conn != nil {
			w.conn.Close()
		}
	}
}

// figures sums up the workers, which have ended.
func (m *measurement) figures(window time.Duration, used cpu) Round {
	var sum tally
	for _, w := range m.workers {
		sum.add(w.tally)
	}
	all := newHistogram()
	for _, r := range m.recorders {
		all.Merge(r.hist)
	}
	return newRound(window, sum, all, used)
}
