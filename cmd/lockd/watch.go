package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lockd/client"
)

const watchLong = `Print what happens to the locks whose names begin with PREFIX, or to all, as it happens:

    granted   a client got the lock
    released  its holder released it
    orphaned  its holder's connection has ended
    forced    its holder was disconnected to free it, as "lockd break" does

A line has the local time, the event, the mode of the lock, the fencing token of the grant,
the holder's address, and last the lock's name. A watcher that does not keep up is told on
stderr how many events are missing. Ctrl-C ends it.

Exit codes:

    0   ended by Ctrl-C or SIGTERM
    1   failed, as where the server has features.dump off or is an older one
    2   wrong usage
    69  the server cannot be reached, or is gone`

const watchExample = `  lockd watch
  lockd watch backup/
  lockd watch --json | jq -r 'select(.event == "orphaned") | .name'`

func newWatchCmd(env environment) *cobra.Command {
	var o oneReply
	cmd := &cobra.Command{
		Use:               "watch [flags] [PREFIX]",
		Short:             "Print events of locks as they happen",
		Long:              watchLong,
		Example:           watchExample,
		Args:              upTo(0, 1, "one PREFIX"),
		ValidArgsFunction: completeLocks(env, &o.clientFlags, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			return watch(cmd.Context(), env, o, argument(args, 0))
		},
	}
	o.bind(cmd)
	return cmd
}

func watch(ctx context.Context, env environment, o oneReply, prefix string) error {
	if err := o.check(); err != nil {
		return err
	}
	c, err := client.New(o.url(env), client.ClientOptions{Options: o.options()})
	if err != nil {
		return badServer(err)
	}
	defer c.Close()
	ctx, cancel := untilInterrupted(ctx)
	defer cancel()
	ctx, cancel = whileRead(ctx, env.stdout)
	defer cancel()
	for e, err := range c.Watch(ctx, prefix) {
		if err == nil {
			err = printEvent(env, e, time.Now(), o.json)
		}
		if err != nil {
			return explain(err)
		}
	}
	return nil
}

// eventJSON has the keys of an entry of ls where they mean the same.
type eventJSON struct {
	Time       string `json:"time"`
	Event      string `json:"event"`
	Mode       string `json:"mode,omitempty"`
	Token      string `json:"token,omitempty"`
	Addr       string `json:"addr,omitempty"`
	Name       string `json:"name"`
	NameBase64 []byte `json:"name_base64,omitempty"`
}

// lostJSON stands for events that are missing.
type lostJSON struct {
	Time  string `json:"time"`
	Event string `json:"event"`
	Count uint64 `json:"count"`
}

func printEvent(env environment, e client.Event, now time.Time, asJSON bool) error {
	stamp := now.UTC().Format(stampLayout)
	var err error
	switch {
	case e.Kind == client.Lost && asJSON:
		err = printJSON(env, lostJSON{stamp, string(e.Kind), e.Missed})
	case e.Kind == client.Lost:
	case asJSON:
		err = printJSON(env, eventJSON{stamp, string(e.Kind), e.Mode.String(), tokenText(e.Token), e.Address, e.Lock, unlessText(e.Lock)})
	default:
		_, err = fmt.Fprintf(env.stdout, "%s  %-8s  %-9s  %s  %s  %s\n", now.Local().Format("15:04:05.000"),
			printable(string(e.Kind)), e.Mode, orDash(tokenText(e.Token)), orDash(e.Address), shown(e.Lock))
	}
	if e.Kind == client.Lost {
		_, warned := fmt.Fprintf(env.stderr, "lockd: warning: up to %d events are missing here, as they were read too slowly\n", e.Missed)
		err = errors.Join(err, warned)
	}
	return err
}
