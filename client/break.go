package client

import (
	"context"
	"fmt"
	"strconv"

	"lockd/internal/protocol"
)

// Break frees a lock by ending the connections that hold it, with all that they
// hold: a lock is never taken from a connection that stays. It returns how many
// that were, once they are gone. With a token other than 0 only the holder with
// that token is meant, so that one that has got the lock since then is spared.
// The error is ErrNotHeld where nobody holds the lock, ErrDenied where this client
// may not do that, and ErrUnsupported where the server speaks only level 1.
func (c *Conn) Break(ctx context.Context, mode Mode, name string, token uint64) (int, error) {
	n, err := c.breakLock(ctx, mode, name, token)
	return n, describe("break", name, err)
}

func (c *Conn) breakLock(ctx context.Context, mode Mode, name string, token uint64) (int, error) {
	kind := map[Mode]string{Exclusive: "x", Shared: "s"}[mode]
	if kind == "" {
		return 0, fmt.Errorf("mode is %v; want Exclusive or Shared", mode)
	}
	line, err := commandLine(protocol.Break, name, kind, strconv.FormatUint(token, 10))
	if err != nil {
		return 0, err
	}
	return c.disconnect(ctx, line, "0 not held: "+name, ErrNotHeld)
}

// Kick ends the connection that has this address, as [Entry] and [Identity] tell
// it, and returns how many that were, once they are gone. The error is
// ErrNoConnection where there is none; else it is like Break.
func (c *Conn) Kick(ctx context.Context, address string) (int, error) {
	n, err := c.kick(ctx, address)
	return n, describe("kick", address, err)
}

func (c *Conn) kick(ctx context.Context, address string) (int, error) {
	line, err := commandLine(protocol.Kick, address)
	if err != nil {
		return 0, err
	}
	return c.disconnect(ctx, line, "0 no such connection: "+address, ErrNoConnection)
}

// disconnect asks for the end of connections.
func (c *Conn) disconnect(ctx context.Context, line []byte, nobody string, kind error) (int, error) {
	lines, err := c.exchangeFramed(ctx, request{line: line})
	if err != nil {
		return 0, err
	}
	n, ok := protocol.ParseGone(lines[0])
	switch {
	case ok:
		return n, nil
	case lines[0] == nobody:
		return 0, &ReplyError{Reply: lines[0], Err: kind}
	case lines[0] == "0 denied":
		return 0, &ReplyError{Reply: lines[0], Err: ErrDenied}
	}
	return 0, c.distrust(lines[0])
}
