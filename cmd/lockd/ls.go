package main

import (
	"context"

	"github.com/spf13/cobra"

	"lockd/client"
)

const lsLong = `List the locks whose names begin with PREFIX, or all: who holds each, and who waits for it
in the order of the queue, for how long, and with which fencing token. A client without a
name shows "-", and so does what an older server does not tell.

On a terminal long names are cut to its width, and the header is bold unless NO_COLOR is
set. Elsewhere nothing is cut, and names may hold blanks: programs better read --json, whose
objects are described in the protocol under "ls".

Exit codes:

    0   listed, also where there is no lock
    1   failed, as where the server has features.dump off
    2   wrong usage
    69  the server cannot be reached`

const lsExample = `  lockd ls
  lockd ls backup/ | less
  lockd ls --json | jq -r 'select(.state == "waiting") | .name'`

func newLsCmd(env environment) *cobra.Command {
	var o oneReply
	cmd := &cobra.Command{
		Use:               "ls [flags] [PREFIX]",
		Short:             "List who holds locks and who waits for them",
		Long:              lsLong,
		Example:           lsExample,
		Args:              upTo(0, 1, "one PREFIX"),
		ValidArgsFunction: completeLocks(env, &o.clientFlags, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			return list(cmd.Context(), env, o, argument(args, 0))
		},
	}
	o.bind(cmd)
	return cmd
}

func list(ctx context.Context, env environment, o oneReply, prefix string) error {
	var entries []client.Entry
	err := o.ask(ctx, env, func(ctx context.Context, conn *client.Conn) (err error) {
		entries, err = conn.List(ctx, client.Query{Prefix: prefix})
		return err
	})
	switch {
	case err != nil:
		return err
	case o.json:
		return printObjects(env, entryObjects(entries))
	}
	return entryTable(entries).print(env)
}
