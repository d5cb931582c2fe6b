package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/spf13/cobra"

	"lockd/client"
	"lockd/client/websocket"
)

// clientFlags are what every command takes that talks to a server.
type clientFlags struct {
	server  string
	timeout time.Duration
}

func (f *clientFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.server, "server", "", "`URL` of the server: tcp://HOST:PORT, unix:///PATH or ws://HOST:PORT (default $LOCKD_SERVER, else "+client.DefaultAddress+")")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 5*time.Second, "how long to wait for the connection, and for a reply: `DURATION`")
}

// url is where the server is: as told, or the default.
func (f *clientFlags) url(env environment) string { return cmp.Or(f.told(env), client.DefaultAddress) }

// told is where the server is by a flag or the environment, empty where neither
// says so.
func (f *clientFlags) told(env environment) string {
	url, _ := env.lookupEnv("LOCKD_SERVER")
	return cmp.Or(f.server, url)
}

// options are those of every connection.
func (f *clientFlags) options() client.Options {
	return client.Options{Dial: websocket.Dial, ConnectTimeout: f.timeout, ReadTimeout: f.timeout}
}

// check refuses a time limit that nothing can keep.
func (f *clientFlags) check() error {
	if f.timeout > 0 {
		return nil
	}
	return &exitError{err: fmt.Errorf("--timeout is %v; want more than 0", f.timeout), code: exitUsage}
}

// dial connects to the server. Its error says how to name another.
func (f *clientFlags) dial(ctx context.Context, url string) (*client.Conn, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	conn, err := client.Dial(ctx, url, f.options())
	switch {
	case errors.Is(err, client.ErrUnreachable):
		return nil, noServer(err)
	case err != nil:
		return nil, badServer(err)
	}
	return conn, nil
}

// badServer is for an address that is none.
func badServer(err error) error {
	return &exitError{err: err, code: exitUsage, hint: "want tcp://HOST:PORT, unix:///PATH or ws://HOST:PORT"}
}

// noServer is for a server that is not there, or not for this user.
func noServer(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Net == "unix" && errors.Is(err, fs.ErrPermission) {
		return unreachable(err, "ls -l shows who may use the socket; whoever is new in its group has to log in again")
	}
	return unreachable(err, "does it run, and is it the one meant? --server or LOCKD_SERVER name another")
}

// leftAlone is for a server that has closed the connection: one that refuses
// this client, or of which systemd has the socket, but which cannot start.
func leftAlone(err error) error {
	return unreachable(err, "does lockd run there, and does it let this client in? Its log tells, as by: journalctl -u lockd")
}

// noReply is for a server that has not answered in time.
func noReply(url string, limit time.Duration) error {
	return explain(fmt.Errorf("%s: %w (%v)", url, client.ErrTimeout, limit))
}

func unreachable(err error, hint string) error {
	return &exitError{err: err, code: exitUnreachable, hint: hint}
}
