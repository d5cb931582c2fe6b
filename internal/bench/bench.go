// Package bench puts servers under load and measures them: lockd and any other
// server of its protocol, and for comparison an echo server, Redis and memcached.
//
// The load is a closed loop. Every connection sends a batch of requests, as many
// as the pipeline is deep, in one write, and the next batch when the whole of it
// is answered. So the load adapts to the server, and latencies are those at the
// highest throughput that this number of connections brings about.
//
// Comparisons are interleaved: each round measures every target once, in order, so
// that whatever else the machine does falls on all alike.
package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"
)

// Options say what load to put on whom.
type Options struct {
	Connections int           // at least 1
	Depth       int           // requests that a connection has in flight, 1 to MaxDepth
	Mix         Mix           // what they ask
	Duration    time.Duration // of a target's measurement in a round
	Warmup      time.Duration // goes before each measurement and is not counted
	Rounds      int           // at least 1
	Timeout     time.Duration // of connecting, and of an answer once a measurement is over

	// Dial connects to a target: network is tcp, unix or ws. Nil means a net.Dialer,
	// which knows no ws.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// OnProgress is told about ten times a second what is being measured. It is
	// called by the goroutine that called Run. It may be nil.
	OnProgress func(Progress)
}

// MaxDepth is as many requests as fit the buffers between two sockets together
// with their answers: then neither side can block the other.
const MaxDepth = 1000

// Progress tells where a run is.
type Progress struct {
	Target      string // its name
	Round       int    // from 1
	Done, Total time.Duration
}

// Run measures the targets and returns a result for each, in their order. When
// ctx ends it stops and returns what it has, without an error; see
// [Result.Rounds]. It also stops after a round in which nothing worked with a
// target; see [Result.Failed].
//
// Its errors are a target that does not fit the operations, and one that cannot be
// reached in the beginning: then errors.Is(err, ErrUnreachable) holds. What fails
// later is counted.
func Run(ctx context.Context, o Options, targets []Target) ([]Result, error) {
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	r := &run{Options: o, prefix: "lockd-bench-" + rand.Text()[:8] + "-"}
	results := make([]Result, len(targets))
	for i, t := range targets {
		if err := t.Fits(o.Mix); err != nil {
			return nil, err
		}
		pid, err := r.probe(ctx, t)
		if err != nil {
			return nil, err
		}
		if t.PID == 0 {
			t.PID = pid
		}
		results[i] = Result{Target: t}
	}
	r.rounds(ctx, results)
	return results, nil
}

// A run is what all measurements have in common.
type run struct {
	Options
	prefix string // of the names of locks, which nobody else uses
	target string // that is being measured
	round  int
	done   time.Duration // by the measurements before this one
	total  time.Duration
}

func (r *run) rounds(ctx context.Context, results []Result) {
	each := r.Warmup + r.Duration
	r.total = each * time.Duration(r.Rounds*len(results))
	for r.round = 1; r.round <= r.Rounds; r.round++ {
		failed := false
		for i := range results {
			res := &results[i]
			r.target = res.Target.Name
			m, whole := r.measure(ctx, res.Target)
			r.done += each
			if whole {
				res.Rounds = append(res.Rounds, m)
			}
			if ctx.Err() != nil {
				return
			}
			failed = failed || m.failed()
		}
		if failed {
			return
		}
	}
}

// tell reports that the measurement under way has come this far.
func (r *run) tell(elapsed time.Duration) {
	if r.OnProgress != nil {
		r.OnProgress(Progress{r.target, r.round, min(r.done+elapsed, r.total), r.total})
	}
}

// ErrUnreachable is that there was no connection to a target.
var ErrUnreachable = errors.New("server unreachable")

// probe makes sure that a target is there and speaks the level that is needed, and
// finds its process if it runs here.
func (r *run) probe(ctx context.Context, t Target) (pid int, err error) {
	conn, err := r.connect(ctx, t)
	if err != nil {
		return 0, fmt.Errorf("connect to %s: %w: %w", t.Name, ErrUnreachable, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if t.Kind == Lockd && r.Mix.level2() {
		if err := level2(conn, min(r.Timeout, levelTimeout)); err != nil {
			return 0, fmt.Errorf("%s: %v needs level 2 of the protocol: %w", t.Name, r.Mix, err)
		}
	}
	return processOf(conn), nil
}

func (r *run) connect(ctx context.Context, t Target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return r.Dial(ctx, t.Network, t.Address)
}

// levelTimeout is how long a server may take to tell its level: docs/protocol.md
// calls it an old one after that.
const levelTimeout = time.Second

// level2 shakes hands. Old servers answer another number, or nothing.
func level2(conn net.Conn, within time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("me lockd/2\n")); err != nil {
		return err
	}
	var answer [2]byte
	for n := 0; n < len(answer); {
		got, err := conn.Read(answer[n:])
		if n += got; err != nil && n < len(answer) {
			return fmt.Errorf("the server does not answer to it: %w", err)
		}
	}
	if string(answer[:]) != "2 " {
		return errors.New("the server speaks level 1")
	}
	return nil
}
