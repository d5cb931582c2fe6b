package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"lockd/internal/config"
	"lockd/internal/server"
)

func newPingCmd(env environment) *cobra.Command {
	var f clientFlags
	var path string
	cmd := &cobra.Command{
		Use:   "ping",
		Short: "Ask the server for a sign of life",
		Long: "Ask the server for a sign of life, and print how long it took. Without --server and\n" +
			"LOCKD_SERVER the server is the one that the configuration here would start. The exit\n" +
			"code is 69 where there is no answer.",
		Args: noArgs,
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
	if f.server != "" {
		return f.server, nil
	}
	if url, _ := env.lookupEnv("LOCKD_SERVER"); url != "" {
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
		return defaultServer
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

// ping makes one round trip.
func ping(ctx context.Context, env environment, f clientFlags, url string) error {
	conn, err := f.dial(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close()
	start := time.Now()
	if _, err := conn.Name(ctx); err != nil {
		return unreachable(fmt.Errorf("ping: %w", err), "is it a lockd that listens there?")
	}
	_, err = fmt.Fprintf(env.stdout, "%s answers in %v\n", printable(url), time.Since(start).Round(time.Microsecond))
	return err
}
