package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"lockd/client"
	"lockd/internal/config"
	"lockd/internal/server"
)

const pingLong = `Ask the server for a sign of life, and print how long it took, without the connecting. Without
--server and LOCKD_SERVER the server is the one that the configuration here would start. It
takes no longer than --timeout in all.

Exit codes:

    0   the server has answered
    1   failed
    2   wrong usage, or a wrong configuration
    69  there is no answer`

const pingExample = `  lockd ping
  lockd ping --server tcp://locks.example.com:9999 --timeout 1s`

func newPingCmd(env environment) *cobra.Command {
	var f oneReply
	var path string
	cmd := &cobra.Command{
		Use:               "ping",
		Short:             "Ask the server for a sign of life",
		Long:              pingLong,
		Args:              noArgs,
		Example:           pingExample,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := f.pingAddress(path, env)
			if err != nil {
				return err
			}
			return ping(cmd.Context(), env, f, url)
		},
	}
	f.bind(cmd)
	bindConfig(cmd.Flags(), &path)
	return cmd
}

// pingAddress is where to ping: as told, or what the configuration listens on.
func (f *clientFlags) pingAddress(path string, env environment) (string, error) {
	if url := f.told(env); url != "" {
		return url, nil
	}
	loaded, err := loadConfig(configOptions(path, env))
	if err != nil {
		return "", err
	}
	return reachable(loaded.Config), nil
}

// reachable is a URL at which the server of a configuration is reached from this
// machine.
func reachable(c config.Config) string {
	if len(c.Listen) == 0 { // the sockets come from systemd, as our unit has them
		return client.DefaultAddress
	}
	a, err := server.ParseAddress(c.Listen[0])
	if err != nil {
		return c.Listen[0] // and the client will say what is wrong with it
	}
	switch a.Transport {
	case server.Unix:
		return "unix://" + a.Path
	case server.WebSocket:
		return "ws://" + nearest(a.HostPort)
	}
	return "tcp://" + nearest(a.HostPort)
}

// nearest replaces the address that means all of this machine's by loopback.
func nearest(hostPort string) string {
	if len(hostPort) > 0 && hostPort[0] == ':' {
		return "127.0.0.1" + hostPort
	}
	a, err := netip.ParseAddrPort(hostPort)
	switch {
	case err != nil || !a.Addr().IsUnspecified():
		return hostPort
	case a.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port()).String()
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port()).String()
}

// pingJSON is the answer for programs.
type pingJSON struct {
	Server  string  `json:"server"`
	Seconds float64 `json:"seconds"`
}

// ping makes one round trip. With the connecting it takes no longer than the
// flags allow: who looks after a server's health counts on that.
func ping(ctx context.Context, env environment, o oneReply, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, client.ErrTimeout)
	defer cancel()
	conn, err := o.dial(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close()
	start := time.Now()
	_, err = conn.Name(ctx)
	took := time.Since(start)
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // without the command that was asked: the user asked ping
	}
	switch {
	case errors.Is(err, client.ErrUnsupported): // which is an answer, too
	case ctx.Err() != nil, errors.Is(err, client.ErrTimeout): // whichever notices first
		cause := cmp.Or(context.Cause(ctx), error(client.ErrTimeout))
		return explain(fmt.Errorf("ping %s: %w (%v)", url, cause, o.timeout))
	case errors.Is(err, client.ErrDisconnected):
		return leftAlone(fmt.Errorf("ping: %w", err))
	case err != nil:
		return unreachable(fmt.Errorf("ping: %w", err), "is it a lockd that listens there?")
	}
	if o.json {
		return printJSON(env, pingJSON{url, took.Seconds()})
	}
	_, err = fmt.Fprintf(env.stdout, "%s answers in %v\n", printable(url), took.Round(time.Microsecond))
	return err
}
