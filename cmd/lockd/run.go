package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"lockd/client"
	"lockd/internal/human"
	"lockd/internal/job"
)

const (
	// killAfter is how long a command has to end by itself when its lock is lost.
	killAfter = 5 * time.Second
	// unlockTime is how long the server may take to free the lock in the end. The
	// end of the connection frees it as well.
	unlockTime = 2 * time.Second
	// leastKeepalive is what a busy server can be expected to keep.
	leastKeepalive = 100 * time.Millisecond
	// retryPause lies between two attempts to connect.
	retryPause = 200 * time.Millisecond
)

// runOptions are the flags and arguments of lockd run.
type runOptions struct {
	clientFlags
	wait      time.Duration
	shared    bool
	limit     int
	code      int // where the lock is not acquired
	keepalive time.Duration
	verbose   bool

	name    string
	command []string
}

const runLong = `Run a command while holding the exclusive lock NAME, so that it runs once at a time,
wherever it is started. Where another has the lock, run waits for it, first come, first
served; -w 0 does not wait, and -w 10m waits no longer than that.

The command runs in a process group of its own, which gets the signals that run gets, and
Ctrl-C and Ctrl-Z on a terminal. Its input and output are not touched, and run says nothing
itself unless something fails. LOCKD_LOCK has the lock's name and LOCKD_TOKEN the fencing
token, a number that is higher than that of every holder before. Servers of level 1 of the
protocol give none; then it is not set.

The lock is released when the command has ended. What the command has left running in the
background goes on without the lock.

When the lock is lost, because the server is gone or does not answer, the command and all
that it has started get SIGTERM, and what is left after 5 seconds SIGKILL. When run itself is
killed they get SIGKILL at once. It consists of two processes, each of which does that for the
other; one SIGKILL for both leaves nobody to end what the command has started.

Exit codes:

    the command's; 128 and the number of the signal that has ended it
    1    failed
    2    wrong usage
    69   no server within --timeout, it was lost while waiting, it is closing, or it has reached
         one of its limits
    74   the lock was lost, and so the command was ended
    75   the lock was not acquired; -E sets another
    126  the command cannot be run
    127  there is no such command`

const runExample = `  lockd run nightly-backup -- /usr/local/bin/backup
  lockd run -w 0 -E 0 report -- make report        # skip it if it runs already
  lockd run -w 10m -n 3 api -- ./import.sh         # three at a time
  0 3 * * *  lockd run -w 0 backup -- backup.sh    # in a crontab`

func newRunCmd(env environment) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:               "run [flags] NAME -- COMMAND [ARGUMENT]...",
		Short:             "Run a command while holding a lock",
		Long:              runLong,
		Example:           runExample,
		Args:              o.parse,
		ValidArgsFunction: completeRun(env, &o),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return supervise(cmd.Context(), env, o)
		},
	}
	o.bind(cmd)
	return cmd
}

func (o *runOptions) bind(cmd *cobra.Command) {
	o.clientFlags.bind(cmd)
	f := cmd.Flags()
	f.DurationVarP(&o.wait, "wait", "w", -1, "wait no longer than `DURATION` for the lock; 0 does not wait (default: as long as it takes)")
	f.Lookup("wait").DefValue = "0" // pflag then says nothing of it
	f.BoolVarP(&o.shared, "shared", "s", false, "take the shared lock NAME, which any number may hold")
	f.IntVarP(&o.limit, "max", "n", 0, "take the shared lock NAME, which at most `MAX` may hold")
	f.IntVarP(&o.code, "conflict-exit-code", "E", exitNotAcquired, "exit with `CODE` where the lock is not acquired; 0 makes it no failure, so nothing is said of it")
	f.DurationVar(&o.keepalive, "keepalive", 10*time.Second, "once the lock is held, notice within `DURATION` that the server does not answer any more; 0 does not ask it")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "say on stderr what happens")
}

// parse takes the arguments, and says what is wrong with them or the flags.
func (o *runOptions) parse(cmd *cobra.Command, args []string) error {
	var err error
	switch changed := cmd.Flags().Changed; {
	case cmd.ArgsLenAtDash() != 1:
		err = errors.New("want the name of one lock, then --, then the command")
	case len(args) < 2:
		err = errors.New("there is no command behind --")
	case o.wait < 0 && changed("wait"):
		err = fmt.Errorf("--wait is %v; want 0 or more", o.wait)
	case (o.limit < 1 || o.limit > math.MaxInt32) && changed("max"):
		err = fmt.Errorf("--max is %d; want 1 to %d", o.limit, math.MaxInt32)
	case o.code < 0 || o.code > 255:
		err = fmt.Errorf("--conflict-exit-code is %d; want 0 to 255", o.code)
	case o.keepalive != 0 && o.keepalive < leastKeepalive:
		err = fmt.Errorf("--keepalive is %v; want %v or more, or 0", o.keepalive, leastKeepalive)
	}
	if err != nil {
		return usageError(cmd, err)
	}
	if err := cmp.Or(o.check(), checkName(args[0]), checkNotEmpty(args[0])); err != nil {
		return err
	}
	o.shared = o.shared || o.limit > 0
	o.name, o.command = args[0], args[1:]
	return nil
}

// holderName is what the server shows as the holder: the command, and where it
// runs.
func (o *runOptions) holderName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	name := fmt.Sprintf("%s@%s pid %d", filepath.Base(o.command[0]), host, os.Getppid()) // that of the guard
	return strings.Join(strings.Fields(name), " ")
}

// A runner is a lockd run at work.
type runner struct {
	runOptions
	env    environment
	client *client.Client
}

// errGuardKilled ends all that is under way.
var errGuardKilled = errors.New("the process that watches over this one was killed")

// supervise runs the command under the lock in a second process, so that not even
// SIGKILL, to either of the two, leaves the command running without the lock.
func supervise(ctx context.Context, env environment, o runOptions) error {
	gone, guarded := job.Guarded()
	if !guarded {
		code, err := job.Guard()
		if err != nil || code == 0 {
			return err
		}
		return &exitError{code: code} // the other has said why
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		<-gone
		cancel(errGuardKilled)
	}()
	defer cancel(nil)
	err := runHolding(ctx, env, o, endOnSignal(cancel))
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// endOnSignal ends the waiting on signals that would leave the process running, or
// make the runtime print its stacks, until the returned function is called. Those
// that simply end it do so. It also has errors where nobody reads what is written
// to stderr be errors, and not the end.
func endOnSignal(cancel context.CancelCauseFunc) (stop func()) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			cancel(&exitError{code: 128 + int(s.(syscall.Signal))})
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// runHolding runs the command under the lock. Its error has the exit code. It
// calls waited before the command gets the signals.
func runHolding(ctx context.Context, env environment, o runOptions, waited func()) error {
	c, err := client.New(o.url(env), client.ClientOptions{
		Options:   o.options(),
		Name:      o.holderName(),
		KeepAlive: unlessZero(o.keepalive),
	})
	if err != nil {
		return badServer(err)
	}
	defer c.Close()
	r := &runner{o, env, c}
	if err := r.connect(ctx); err != nil {
		return err
	}
	lock, err := r.acquire(ctx)
	if lock == nil {
		return err
	}
	waited()
	return r.hold(ctx, lock)
}

// unlessZero makes 0 what the client takes for never.
func unlessZero(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// connect finds the server. Who is ready to wait for the lock, waits also for a
// server that is just being started.
func (r *runner) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	for {
		info, err := r.client.Info(ctx)
		switch {
		case err == nil:
			r.checkKeepalive(info)
			return nil
		case errors.Is(err, client.ErrUnsupported): // level 1
			return nil
		case ctx.Err() != nil && !errors.Is(err, client.ErrUnreachable):
			return noReply(r.url(r.env), r.timeout)
		case !errors.Is(err, client.ErrUnreachable):
			return explain(errors.Unwrap(err)) // it is the connection that was wanted, not the info
		case r.wait == 0 || ctx.Err() != nil:
			return noServer(errors.Unwrap(err))
		}
		select {
		case <-ctx.Done():
			return noServer(errors.Unwrap(err))
		case <-time.After(retryPause):
		}
	}
}

// checkKeepalive warns where the command might run on when the lock is another's
// already: the server frees the locks of who has not been heard for so long.
func (r *runner) checkKeepalive(info map[string]string) {
	seconds, err := strconv.ParseFloat(info["dead_peer_seconds"], 64)
	deadPeer := time.Duration(seconds * float64(time.Second))
	if err == nil && r.keepalive+killAfter >= deadPeer {
		r.say("warning: to notice that the server is out of reach and to end the command may take %v; the server frees the lock after %v: use a --keepalive below %v",
			r.keepalive+killAfter, deadPeer, max(deadPeer-killAfter, 0))
	}
}

// acquire returns neither a lock nor an error where to do without is no failure.
func (r *runner) acquire(ctx context.Context) (*client.Lock, error) {
	r.sayIf("waiting for %s", r.name)
	start := time.Now()
	lock, err := r.lock(ctx)
	if err != nil {
		return nil, r.notAcquired(err)
	}
	token := ""
	if n, err := lock.Token(); err == nil {
		token = fmt.Sprintf(", token %d", n)
	}
	r.sayIf("acquired %s after %v%s", r.name, time.Since(start).Round(time.Millisecond), token)
	return lock, nil
}

func (r *runner) lock(ctx context.Context) (*client.Lock, error) {
	if r.wait == 0 {
		if r.shared {
			return r.client.TryLockShared(ctx, r.name, r.limit)
		}
		return r.client.TryLock(ctx, r.name)
	}
	if r.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.wait)
		defer cancel()
	}
	if r.shared {
		return r.client.LockShared(ctx, r.name, r.limit)
	}
	return r.client.Lock(ctx, r.name)
}

// notAcquired words the reason and gives it its exit code. Only where the server has
// said so, or there was no time to ask, the lock is told to be not free.
func (r *runner) notAcquired(err error) error {
	var reply *client.ReplyError
	var refusal client.Refusal // none at level 1
	refused := errors.As(err, &reply)
	if refused && reply.Refusal != nil {
		refusal = *reply.Refusal
	}
	timedOut, lost := errors.Is(err, context.DeadlineExceeded), errors.Is(err, client.ErrDisconnected)
	switch {
	case refusal.Reason == "draining":
		return unreachable(fmt.Errorf("lock %q: the server is closing", r.name), "")
	case refusal.Reason == "too-many":
		return unreachable(fmt.Errorf("lock %q: the server has reached one of its limits", r.name),
			"limits.table_bytes and limits.locks_per_connection in its configuration; its metric lockd_limited_commands_total tells which")
	case timedOut && lost:
		return noReply(r.url(r.env), r.wait)
	case timedOut, errors.Is(err, client.ErrNotAcquired):
		return r.notFree(refusal)
	case lost, errors.Is(err, client.ErrUnreachable):
		return unreachable(err, "")
	case errors.Is(err, client.ErrUnsupported) && !refused:
		return &exitError{err: err, code: exitFailed, hint: "the server is an older one, which cannot limit the holders of a lock"}
	}
	return explain(err)
}

// notFree is nil where it was said that this is no failure.
func (r *runner) notFree(refusal client.Refusal) error {
	text := fmt.Sprintf("lock %q is not free", r.name)
	if r.wait > 0 {
		text = fmt.Sprintf("lock %q was not free within %v", r.name, r.wait)
	}
	text += describeRefusal(refusal)
	if r.code == 0 {
		r.sayIf("%s", text)
		return nil
	}
	return &exitError{err: errors.New(text), code: r.code, hint: fmt.Sprintf("\"lockd inspect%s\" shows who has it", r.inspectArgs())}
}

func (r *runner) inspectArgs() string {
	if r.shared {
		return " -s " + r.name
	}
	return " " + r.name
}

// describeRefusal tells what the server has said.
func describeRefusal(f client.Refusal) string {
	var parts []string
	if f.Holder != "" {
		parts = append(parts, fmt.Sprintf("held by %s for %s", f.Holder, human.Age(f.Held)))
	}
	if f.Count > 0 {
		parts = append(parts, fmt.Sprintf("%d hold it", f.Count))
	}
	if f.Queue > 0 {
		parts = append(parts, fmt.Sprintf("%d wait", f.Queue))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// hold runs the command for as long as it and the lock last.
func (r *runner) hold(ctx context.Context, lock *client.Lock) error {
	j, err := job.Start(job.Options{
		Args:   r.command,
		Env:    r.environ(lock),
		Grace:  killAfter,
		Resume: func() bool { return lock.Check(ctx) == nil },
	})
	if err != nil {
		r.release(lock)
		return startError(err)
	}
	select {
	case <-j.Done():
		return r.ended(lock, j.Status())
	case <-lock.Done():
		j.Stop()
	case <-ctx.Done():
		j.Kill() // and only then the lock goes with the connection
		return context.Cause(ctx)
	}
	return &exitError{err: fmt.Errorf("the lock was lost, so %s was ended: %w", r.command[0], lock.Err()), code: exitLost}
}

// startError gives an error the exit code that a shell has for it.
func startError(err error) error {
	var start *job.StartError
	if errors.As(err, &start) && start.Found {
		return &exitError{err: err, code: exitCannotRun}
	}
	return &exitError{err: err, code: exitNotFound}
}

// environ is that of the command. It gets no token of a lockd run around this one
// for its own.
func (r *runner) environ(lock *client.Lock) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "LOCKD_LOCK=") || strings.HasPrefix(v, "LOCKD_TOKEN=")
	})
	env = append(env, "LOCKD_LOCK="+r.name)
	if token, err := lock.Token(); err == nil {
		env = append(env, "LOCKD_TOKEN="+strconv.FormatUint(token, 10))
	}
	return env
}

// ended releases the lock of a command that has ended.
func (r *runner) ended(lock *client.Lock, status int) error {
	err := r.release(lock)
	if errors.Is(err, context.DeadlineExceeded) {
		err = noReply(r.url(r.env), unlockTime)
	}
	if err != nil {
		r.say("warning: the lock was lost at about the time %s ended: %v", r.command[0], err)
	}
	r.sayIf("%s has ended with %d", r.command[0], status)
	if status != 0 {
		return &exitError{code: status}
	}
	return nil
}

func (r *runner) release(lock *client.Lock) error {
	ctx, cancel := context.WithTimeout(context.Background(), unlockTime)
	defer cancel()
	return lock.Unlock(ctx)
}

func (r *runner) say(format string, args ...any) {
	fmt.Fprintf(r.env.stderr, "lockd: %s\n", printable(fmt.Sprintf(format, args...)))
}

func (r *runner) sayIf(format string, args ...any) {
	if r.verbose {
		r.say(format, args...)
	}
}
