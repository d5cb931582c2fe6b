package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"lockd/client"
)

// oneReply are the flags of commands that ask the server and print the answer.
type oneReply struct {
	clientFlags
	json bool
}

func (o *oneReply) bind(cmd *cobra.Command) {
	o.clientFlags.bind(cmd)
	bindJSON(cmd, &o.json)
}

func bindJSON(cmd *cobra.Command, p *bool) {
	cmd.Flags().BoolVar(p, "json", false, "print JSON, an object per line")
}

// ask connects for talk, and ends the connection before it returns. What talk
// has learnt is printed after that: a pager that nobody scrolls must not keep a
// connection waiting.
func (f *clientFlags) ask(ctx context.Context, env environment, talk func(context.Context, *client.Conn) error) error {
	conn, err := f.dial(ctx, f.url(env))
	if err != nil {
		return err
	}
	defer conn.Close()
	return explain(talk(ctx, conn))
}

// explain gives an error of the client its exit code and a way out.
func explain(err error) error {
	var known *exitError
	var reply *client.ReplyError
	exit := &exitError{err: err, code: exitFailed}
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, client.ErrUnreachable):
		return noServer(err)
	case errors.Is(err, client.ErrTimeout):
		return unreachable(err, "--timeout gives the server longer")
	case errors.Is(err, client.ErrDisconnected):
		return leftAlone(err)
	case errors.Is(err, client.ErrName):
		exit.code = exitUsage
	case errors.Is(err, client.ErrDisabled):
		exit.hint = "the server's configuration has features.dump off, or for names of clients features.registry"
	case errors.Is(err, client.ErrDenied):
		exit.hint = "admin_from in the server's configuration says from where; by default over its Unix socket, as by --server unix:///run/lockd.sock"
	case errors.As(err, &reply) && strings.HasPrefix(reply.Reply, "0 line too long"):
		exit.code, exit.hint = exitUsage, "the name is longer than limits.line_bytes of the server's configuration"
	case errors.As(err, &reply) && strings.HasPrefix(reply.Reply, "0 bad arguments: watch"):
		exit.code, exit.hint = exitUsage, "a prefix has at most 1024 bytes"
	case errors.Is(err, client.ErrUnsupported):
		exit.hint = "the server is an older one, or another"
	}
	return exit
}

// untilInterrupted returns a context that ends with Ctrl-C or a SIGTERM, the
// regular ends of commands that go on. A second one has its usual effect: the
// command may be stuck, writing to who does not read.
func untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel)
	return ctx, cancel
}

// upTo accepts at most n arguments, at least least of them.
func upTo(least, n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageError(cmd, fmt.Errorf("%s needs %s", cmd.CommandPath(), what))
		case len(args) > n:
			return usageError(cmd, fmt.Errorf("%s takes %s and nothing more, there is %q", cmd.CommandPath(), what, args[n]))
		}
		return nil
	}
}

// argument returns the n-th argument, empty where there is none.
func argument(args []string, n int) string {
	if n < len(args) {
		return args[n]
	}
	return ""
}

// checkName refuses the name that no lock can have: asked for it, the server
// would tell of another lock.
func checkName(name string) error {
	blank := func(r rune) bool { return strings.ContainsRune(" \t\r\v\f\n", r) }
	if strings.Join(strings.FieldsFunc(name, blank), " ") == name {
		return nil
	}
	return &exitError{
		err: fmt.Errorf("lock %q: no lock has such a name", name), code: exitUsage,
		hint: "names have no blanks but single spaces inside",
	}
}

// checkNotEmpty refuses the empty name, which a lock may have, but which comes of a
// variable that is not set: then all such commands would want one lock.
func checkNotEmpty(name string) error {
	if name != "" {
		return nil
	}
	return &exitError{err: errors.New("the name of the lock is empty"), code: exitUsage, hint: "is it a variable that is not set?"}
}

// modeFlag is -s.
type modeFlag struct{ shared bool }

func (m *modeFlag) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&m.shared, "shared", "s", false, "the shared lock NAME, not the exclusive one")
}

func (m *modeFlag) mode() client.Mode {
	if m.shared {
		return client.Shared
	}
	return client.Exclusive
}
