package main

import (
	"context"

	"github.com/spf13/cobra"

	"lockd/client"
)

const whoLong = `List the clients that have given themselves a name, in the order in which they did, or only
those with this NAME. "lockd ls" lists also holders of locks that have none.

Exit codes:

    0   listed, also where there is no such client
    1   failed, as where the server has features.registry or features.dump off
    2   wrong usage
    69  the server cannot be reached`

const whoExample = `  lockd who
  lockd who nightly-backup
  lockd who --json | jq -r .addr`

func newWhoCmd(env environment) *cobra.Command {
	var o oneReply
	cmd := &cobra.Command{
		Use:               "who [flags] [NAME]",
		Short:             "List the clients that have a name",
		Long:              whoLong,
		Example:           whoExample,
		Args:              upTo(0, 1, "one NAME"),
		ValidArgsFunction: completeClients(env, &o.clientFlags),
		RunE: func(cmd *cobra.Command, args []string) error {
			return who(cmd.Context(), env, o, args)
		},
	}
	o.bind(cmd)
	return cmd
}

// clientJSON is a client for programs.
type clientJSON struct {
	Addr      string `json:"addr"`
	Who       string `json:"who"`
	WhoBase64 []byte `json:"who_base64,omitempty"`
}

func who(ctx context.Context, env environment, o oneReply, name []string) error {
	var ids []client.Identity
	err := o.ask(ctx, env, func(ctx context.Context, conn *client.Conn) (err error) {
		if len(name) > 0 {
			ids, err = conn.ClientsNamed(ctx, name[0])
		} else {
			ids, err = conn.Clients(ctx)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case o.json:
		objects := make([]clientJSON, len(ids))
		for i, id := range ids {
			objects[i] = clientJSON{id.Address, id.Name, unlessText(id.Name)}
		}
		return printObjects(env, objects)
	}
	l := &textTable{columns: []string{"ADDRESS", "NAME"}, elastic: []int{1}}
	for _, id := range ids {
		l.add(orDash(id.Address), shown(id.Name))
	}
	return l.print(env)
}
