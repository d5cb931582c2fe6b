package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lockd/client"
)

const breakLong = `Free the lock NAME by closing the connection that holds it, or all that hold it where it is
shared. With it goes everything else that these clients hold: a lock is never taken from a
connection that stays. The clients may connect again.

On a terminal it shows whom that disconnects and all that they hold, and asks first. Only
who was shown is disconnected, not one who has got the lock meanwhile. Elsewhere --yes must
be given, and --token guards against breaking the lock of another holder than the one
meant; "lockd ls" shows the tokens.

The server's admin_from says who may do that: by default who comes over its Unix socket.

Exit codes:

    0   broken
    1   failed, as where the server denies it, or the answer was no
    2   wrong usage, as without --yes where nobody can be asked
    3   nobody holds the lock, or not with that token
    69  the server cannot be reached`

const breakExample = `  lockd break --server unix:///run/lockd.sock backup
  lockd break -s --yes --token 1795541395046983805 readers`

const kickLong = `Close the connection of the client that has this ADDRESS, as "lockd ls" and "lockd who" show
it. All that it holds is freed. The client may connect again.

On a terminal it shows all that the client holds, and asks first. Elsewhere --yes must be
given.

The server's admin_from says who may do that: by default who comes over its Unix socket.

Exit codes:

    0   disconnected
    1   failed, as where the server denies it, or the answer was no
    2   wrong usage, as without --yes where nobody can be asked
    3   there is no such connection
    69  the server cannot be reached`

const kickExample = `  lockd kick --server unix:///run/lockd.sock 192.168.1.7:51234
  lockd kick --yes unix:12`

// breakOptions are the flags of lockd break, and of lockd kick.
type breakOptions struct {
	oneReply
	modeFlag
	token uint64
	yes   bool
}

func (o *breakOptions) bind(cmd *cobra.Command) {
	o.oneReply.bind(cmd)
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask first")
}

func newBreakCmd(env environment) *cobra.Command {
	var o breakOptions
	cmd := &cobra.Command{
		Use:               "break [flags] NAME",
		Short:             "Free a lock by disconnecting who holds it",
		Long:              breakLong,
		Example:           breakExample,
		Args:              upTo(1, 1, "one NAME"),
		ValidArgsFunction: completeLocks(env, &o.clientFlags, o.mode),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("token") && o.token == 0 {
				return usageError(cmd, errors.New("--token is 0; want that of a holder"))
			}
			if err := checkName(args[0]); err != nil {
				return err
			}
			return disconnect(cmd.Context(), env, o, &lockHolders{name: args[0], mode: o.mode(), token: o.token})
		},
	}
	o.bind(cmd)
	o.modeFlag.bind(cmd)
	cmd.Flags().Uint64Var(&o.token, "token", 0, "only the holder that has this fencing `TOKEN`")
	cmd.Flags().Lookup("token").DefValue = "0"
	return cmd
}

func newKickCmd(env environment) *cobra.Command {
	var o breakOptions
	cmd := &cobra.Command{
		Use:               "kick [flags] ADDRESS",
		Short:             "Disconnect a client",
		Long:              kickLong,
		Example:           kickExample,
		Args:              upTo(1, 1, "one ADDRESS"),
		ValidArgsFunction: completeAddresses(env, &o.clientFlags),
		RunE: func(cmd *cobra.Command, args []string) error {
			return disconnect(cmd.Context(), env, o, addressee(args[0]))
		},
	}
	o.bind(cmd)
	return cmd
}

// A target is whom to disconnect.
type target interface {
	// narrow picks the addresses that are meant out of all that holds or waits,
	// and from then on means only those.
	narrow(all []client.Entry) (addresses []string, err error)
	disconnect(ctx context.Context, conn *client.Conn) (int, error)
	String() string
}

// lockHolders are those of one lock.
type lockHolders struct {
	name   string
	mode   client.Mode
	token  uint64   // 0: any
	tokens []uint64 // of those that were shown; nil: nobody was
}

func (t *lockHolders) String() string { return "lock " + shown(t.name) }

func (t *lockHolders) narrow(all []client.Entry) (addresses []string, err error) {
	for _, e := range all {
		if e.Lock == t.name && e.Mode == t.mode && !e.Waiting && (t.token == 0 || t.token == e.Token) {
			addresses = append(addresses, e.Client.Address)
			t.tokens = append(t.tokens, e.Token)
		}
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("break %q: %w", t.name, client.ErrNotHeld)
	}
	return addresses, nil
}

func (t *lockHolders) disconnect(ctx context.Context, conn *client.Conn) (int, error) {
	if t.tokens == nil {
		return conn.Break(ctx, t.mode, t.name, t.token)
	}
	var count int
	var left error
	for _, token := range t.tokens {
		n, err := conn.Break(ctx, t.mode, t.name, token)
		switch {
		case errors.Is(err, client.ErrNotHeld): // it has left by itself, or with another
			left = err
		case err != nil:
			return count, err
		}
		count += n
	}
	if count > 0 {
		left = nil
	}
	return count, left
}

// addressee is the client of one address.
type addressee string

func (t addressee) String() string { return "client " + shown(string(t)) }

func (t addressee) narrow([]client.Entry) ([]string, error) { return []string{string(t)}, nil }

func (t addressee) disconnect(ctx context.Context, conn *client.Conn) (int, error) {
	return conn.Kick(ctx, string(t))
}

// doneJSON is the outcome for programs.
type doneJSON struct {
	Disconnected int `json:"disconnected"`
}

func disconnect(ctx context.Context, env environment, o breakOptions, t target) error {
	if !o.yes && !(isTerminal(env.stderr) && isInteractive(env.stdin)) {
		return &exitError{
			err: fmt.Errorf("%s: there is no terminal to ask for confirmation", t), code: exitUsage,
			hint: "--yes does it without",
		}
	}
	var count int
	err := o.ask(ctx, env, func(ctx context.Context, conn *client.Conn) (err error) {
		if !o.yes {
			err = confirm(ctx, env, conn, t)
		}
		if err == nil {
			count, err = t.disconnect(ctx, conn)
		}
		if errors.Is(err, client.ErrNotHeld) || errors.Is(err, client.ErrNoConnection) {
			err = &exitError{err: err, code: exitFree}
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case o.json:
		return printJSON(env, doneJSON{count})
	}
	_, err = fmt.Fprintf(env.stdout, "%s: disconnected %s\n", t, clients(count))
	return err
}

func clients(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

// confirm shows what is about to happen and asks for a yes. It fails without one.
func confirm(ctx context.Context, env environment, conn *client.Conn, t target) error {
	if _, err := conn.Info(ctx); err != nil { // whoever has no info breaks no locks
		return err
	}
	all, err := conn.List(ctx, client.Query{})
	var text string
	switch {
	case errors.Is(err, client.ErrDisabled):
		text = fmt.Sprintf("%s: the server has features.dump off and does not tell what else this frees.\n", t)
	case err != nil:
		return err
	default:
		addresses, err := t.narrow(all)
		if err != nil {
			return err
		}
		named, _ := conn.Clients(ctx) // nobody, where the server does not know of names
		text = consequences(t, addresses, all, named, screenOf(env.stderr, env))
	}
	if _, err := io.WriteString(env.stderr, text+"Disconnect? [y/N] "); err != nil {
		return err
	}
	answer, err := bufio.NewReader(env.stdin).ReadString('\n')
	if err != nil {
		fmt.Fprintln(env.stderr) // where the next line begins
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// consequences tells who is disconnected, and what that frees.
func consequences(t target, addresses []string, all []client.Entry, named []client.Identity, s screen) string {
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	var theirs []client.Entry
	for _, e := range all {
		if slices.Contains(addresses, e.Client.Address) {
			theirs = append(theirs, e)
		}
	}
	if len(theirs) > 0 {
		return fmt.Sprintf("%s: this disconnects %s, with all of this:\n%s",
			t, clients(len(addresses)), entryTable(theirs).render(s))
	}
	name := ""
	for _, c := range named {
		if slices.Contains(addresses, c.Address) {
			name = fmt.Sprintf(", named %s,", shown(c.Name))
		}
	}
	if name == "" {
		name = " may be gone, or"
	}
	return fmt.Sprintf("%s%s holds no lock and waits for none.\n", t, name)
}
