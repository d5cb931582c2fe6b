package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lockd/client"
)

const (
	// completionTime is how long a shell may stand still.
	completionTime = time.Second
	// mostCompletions is more than anybody looks through.
	mostCompletions = 200
)

// A completer tells the shell how an argument may go on.
type completer = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeLocks completes the names of locks on the live server, of the mode that
// is asked for once the flags are read, or of both.
func completeLocks(env environment, f *clientFlags, mode func() client.Mode) completer {
	return completeFrom(env, f, func(ctx context.Context, conn *client.Conn, prefix string) ([]cobra.Completion, error) {
		q := client.Query{Prefix: prefix}
		if mode != nil {
			q.Mode = mode()
		}
		entries, err := conn.List(ctx, q)
		names := make([]cobra.Completion, len(entries))
		for i, e := range entries {
			names[i] = e.Lock
		}
		return names, err
	})
}

// completeRun completes the name of the lock; the rest is the command's.
func completeRun(env environment, o *runOptions) completer {
	lock := completeLocks(env, &o.clientFlags, func() client.Mode {
		if o.shared || o.limit > 0 {
			return client.Shared
		}
		return client.Exclusive
	})
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return lock(cmd, args, prefix)
	}
}

// completeAddresses completes the addresses of who holds a lock, waits for one or
// has a name. Others the protocol does not tell.
func completeAddresses(env environment, f *clientFlags) completer {
	return completeFrom(env, f, func(ctx context.Context, conn *client.Conn, _ string) ([]cobra.Completion, error) {
		entries, err := conn.List(ctx, client.Query{})
		addresses := make([]cobra.Completion, len(entries))
		for i, e := range entries {
			addresses[i] = identify(e.Client).Address
		}
		if err != nil {
			return nil, err
		}
		named, _ := conn.Clients(ctx) // nobody, where the server does not know of names
		for _, c := range named {
			addresses = append(addresses, c.Address)
		}
		return addresses, nil
	})
}

// completeClients completes the names of clients.
func completeClients(env environment, f *clientFlags) completer {
	return completeFrom(env, f, func(ctx context.Context, conn *client.Conn, _ string) ([]cobra.Completion, error) {
		clients, err := conn.Clients(ctx)
		names := make([]cobra.Completion, len(clients))
		for i, c := range clients {
			names[i] = c.Name
		}
		return names, err
	})
}

// completeFrom completes the first argument from what a server tells. Where there
// is none, it completes nothing.
func completeFrom(env environment, f *clientFlags, list func(context.Context, *client.Conn, string) ([]cobra.Completion, error)) completer {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		var all []cobra.Completion
		err := f.ask(ctx, env, func(ctx context.Context, conn *client.Conn) (err error) {
			all, err = list(ctx, conn, prefix)
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offer(all, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

// offer picks what goes on from prefix, each once, and none that the command, a
// shell or a terminal would take for something else.
func offer(all []cobra.Completion, prefix string) []cobra.Completion {
	var offered []cobra.Completion
	seen := make(map[string]bool)
	for _, text := range all {
		if text == "" || text[0] == '-' || seen[text] || !strings.HasPrefix(text, prefix) || printable(text) != text {
			continue
		}
		if len(offered) == mostCompletions {
			break
		}
		seen[text] = true
		offered = append(offered, text)
	}
	return offered
}
