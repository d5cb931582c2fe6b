package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lockd/client/websocket"
	"lockd/internal/bench"
)

// benchOptions are the flags of lockd bench.
type benchOptions struct {
	clientFlags
	connections int
	depth       int
	duration    time.Duration
	warmup      time.Duration
	operations  string
	rounds      int
	compare     []string
	pid         int
	asJSON      bool

	mix     bench.Mix
	targets []bench.Target // the server first
}

const benchLong = `Put a server under load and print its throughput, its latencies and the CPU time that it
takes for a request. It may be any server of the protocol, and can be compared in the same
run with others, with Redis and memcached, and with an echo server over the same transport,
which shows what the network and this program take by themselves.

The load is a closed loop: each connection sends a batch of requests (--pipeline) in one
write, and the next batch when the whole of it is answered. A latency is the time from
sending a batch to having read the request's answer. Every answer is checked; what is wrong,
missing or cut off is an error. Each request counts as one operation.

With comparisons each round measures every server once, one after the other, so that whatever
else the machine does falls on all alike. Figures are medians over the rounds, ratios medians
of the ratios in the same round. CPU/op is the user and system time of the server for each
operation. It is known where the server runs on this machine and its process can be seen, for
which it may take to be root, or --pid.

The locks' names begin with lockd-bench- and hold a random part. Nothing stays held. Redis
and memcached get keys of such names, and they are deleted in the end. Ctrl-C ends a run early
and prints what there is.

Exit codes:

    0    measured
    1    failed: every request to a server to compare with did
    2    wrong usage
    69   no server, or every request to it failed
    130  interrupted before there was anything to print

The operations of --op, and what they send; several make a mix, by weights: NAME=8,NAME=2
`

const benchExample = `  lockd bench                                          # 50 connections for 5 seconds
  lockd bench -c 100 -p 16 -d 10s --op inspect
  lockd bench --op get-release=8,inspect=2 --json
  lockd bench --compare echo --compare redis://127.0.0.1:6379 --rounds 5`

// Defaults of lockd bench: the connections of redis-benchmark, and rounds enough
// for a median where there is something to compare.
const (
	benchConnections   = 50
	benchDuration      = 5 * time.Second
	benchWarmup        = 500 * time.Millisecond
	benchCompareRounds = 3
)

func newBenchCmd(env environment) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Put a server under load and measure it",
		Long:    benchLong + describeOperations(),
		Example: benchExample,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := noArgs(cmd, args); err != nil {
				return err
			}
			return o.parse(cmd, env)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runBench(cmd.Context(), env, o) },
	}
	o.bind(cmd)
	cmd.RegisterFlagCompletionFunc("op", completeOperations) // fails where there is no such flag
	return cmd
}

// completeOperations offers the operations to a shell.
func completeOperations(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var all []string
	for _, o := range bench.Operations() {
		all = append(all, cobra.CompletionWithDesc(o[0], o[1]))
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

func describeOperations() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, o := range bench.Operations() {
		fmt.Fprintf(w, "\n  %s\t%s", o[0], o[1])
	}
	w.Flush() // a Builder takes everything
	return b.String()
}

func (o *benchOptions) bind(cmd *cobra.Command) {
	o.clientFlags.bind(cmd)
	f := cmd.Flags()
	f.IntVarP(&o.connections, "connections", "c", benchConnections, "`NUMBER` of connections")
	f.IntVarP(&o.depth, "pipeline", "p", 1, "`DEPTH`: requests that each connection has in flight")
	f.DurationVarP(&o.duration, "duration", "d", benchDuration, "measure each server for `DURATION` in each round")
	f.DurationVar(&o.warmup, "warmup", benchWarmup, "put it under load for `DURATION` before that")
	f.StringVar(&o.operations, "op", "get-release", "`OPERATION`, or a mix of several")
	f.IntVar(&o.rounds, "rounds", 0, fmt.Sprintf("`NUMBER` of rounds (default 1, or %d with --compare)", benchCompareRounds))
	f.StringArrayVar(&o.compare, "compare", nil, "measure `SERVER` too: echo, redis://HOST:PORT, memcached://HOST:PORT or the URL of another lockd; can be repeated")
	f.IntVar(&o.pid, "pid", 0, "process `ID` of the server, for its CPU time (default: found by its socket)")
	f.BoolVar(&o.asJSON, "json", false, "print a JSON object with the figures of all rounds")
}

// parse says what is wrong with the flags.
func (o *benchOptions) parse(cmd *cobra.Command, env environment) error {
	if o.rounds == 0 && !cmd.Flags().Changed("rounds") {
		o.rounds = 1
		if len(o.compare) > 0 {
			o.rounds = benchCompareRounds
		}
	}
	err := o.checkNumbers()
	if err == nil {
		o.mix, err = bench.ParseMix(o.operations)
	}
	if err == nil {
		err = o.parseTargets(env)
	}
	if err != nil {
		return usageError(cmd, err)
	}
	return nil
}

func (o *benchOptions) checkNumbers() error {
	switch {
	case o.connections < 1:
		return fmt.Errorf("--connections is %d; want 1 or more", o.connections)
	case o.depth < 1 || o.depth > bench.MaxDepth:
		return fmt.Errorf("--pipeline is %d; want 1 to %d", o.depth, bench.MaxDepth)
	case o.connections > bench.MaxInFlight/o.depth:
		return fmt.Errorf("--connections by --pipeline is %d; want %d or less", o.connections*o.depth, bench.MaxInFlight)
	case o.duration <= 0:
		return fmt.Errorf("--duration is %v; want more than 0", o.duration)
	case o.warmup < 0:
		return fmt.Errorf("--warmup is %v; want 0 or more", o.warmup)
	case o.rounds < 1:
		return fmt.Errorf("--rounds is %d; want 1 or more", o.rounds)
	case o.pid != 0 && !bench.ProcessKnown(o.pid):
		return fmt.Errorf("--pid is %d; there is no such process here", o.pid)
	}
	if err := o.check(); err != nil {
		return err
	}
	most, limit, err := bench.MaxConnections()
	if err == nil && o.connections > most {
		return fmt.Errorf("--connections is %d; the limit on open files (RLIMIT_NOFILE, ulimit -n) of %d leaves %d", o.connections, limit, most)
	}
	return err
}

func (o *benchOptions) parseTargets(env environment) error {
	seen := make(map[string]bool)
	for i, text := range append([]string{o.url(env)}, o.compare...) {
		t, err := bench.ParseTarget(text)
		switch {
		case err != nil:
			return err
		case i == 0 && t.Kind != bench.Lockd:
			return fmt.Errorf("--server is %s; it goes with --compare", t.Name)
		case seen[t.Name]:
			return fmt.Errorf("%s is there twice", t.Name)
		}
		if err := t.Fits(o.mix); err != nil {
			return err
		}
		seen[t.Name] = true
		o.targets = append(o.targets, t)
	}
	o.targets[0].PID = o.pid
	return nil
}

// settings are what the flags come to.
func (o *benchOptions) settings() bench.Options {
	return bench.Options{
		Connections: o.connections, Depth: o.depth, Mix: o.mix,
		Duration: o.duration, Warmup: o.warmup, Rounds: o.rounds, Timeout: o.timeout,
		Dial: websocket.Dial,
	}
}

// runBench measures, and prints what came out.
func runBench(ctx context.Context, env environment, o benchOptions) error {
	ctx, stop := untilInterrupted(ctx)
	defer stop()
	closeEcho, err := startEchoes(o.targets)
	if err != nil {
		return err
	}
	defer closeEcho()
	settings := o.settings()
	bar := newBenchBar(env)
	settings.OnProgress = bar.show
	results, err := bench.Run(ctx, settings, o.targets)
	bar.close()
	switch {
	case ctx.Err() != nil && (err != nil || len(results[0].Rounds) == 0):
		return &exitError{code: exitInterrupted}
	case errors.Is(err, bench.ErrUnreachable):
		return unreachable(err, "does it run, and is it the one meant? --server, LOCKD_SERVER and --compare name others")
	case err != nil:
		return err
	}
	if err := o.print(env, results, ctx.Err() != nil); err != nil {
		return err
	}
	return failures(results)
}

// failures is an error where nothing worked with a server.
func failures(results []bench.Result) error {
	var all []error
	others := false
	for _, r := range results {
		if r.Failed() {
			others = others || r.Target.Kind != bench.Lockd
			_, first := r.Errors()
			all = append(all, fmt.Errorf("%s: every request failed: %s", r.Target.Name, first))
		}
	}
	err := errors.Join(all...)
	if err != nil && !others {
		return leftAlone(err)
	}
	return err
}

// startEchoes starts the echo servers among the targets: of the network that the
// server is reached by, for a fair comparison.
func startEchoes(targets []bench.Target) (closeAll func(), err error) {
	closeAll = func() {}
	for i, t := range targets {
		if t.Kind != bench.Echo {
			continue
		}
		network := targets[0].Network
		cmd := exec.Command("/proc/self/exe", "bench-echo", network)
		cmd.Args[0] = os.Args[0]
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us, and it ends with us
		p, err := bench.StartEcho(network, cmd)
		if err != nil {
			return closeAll, err
		}
		targets[i] = p.Target
		return func() { p.Close() }, nil // there is one at most; it has nothing to tell
	}
	return closeAll, nil
}

// newBenchEchoCmd is the server of --compare echo. It is not for people.
func newBenchEchoCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use:    "bench-echo NETWORK",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return bench.ServeEcho(args[0], os.Stdin, env.stdout)
		},
	}
}

// benchHost is where the generator ran.
func benchHost() hostFacts {
	return hostFacts{
		CPUs: runtime.NumCPU(), OS: runtime.GOOS, Architecture: runtime.GOARCH,
		GoVersion: runtime.Version(), LockdVersion: buildVersion().Version,
	}
}
