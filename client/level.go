package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"lockd/internal/protocol"
)

// Level returns the level of the protocol that the connection speaks: 2, or 1
// with an older server. The first call that needs to know asks the server; one
// that has never heard of levels may take [Options.QuietTime] to be found out.
func (c *Conn) Level(ctx context.Context) (int, error) {
	level, err := c.askLevel(ctx)
	return level, describeAll("handshake", err)
}

func (c *Conn) askLevel(ctx context.Context) (int, error) {
	if err := c.takeTurn(ctx); err != nil {
		return 0, err
	}
	defer c.passTurn()
	err := c.handshake(ctx)
	return c.level, err
}

// handshake finds out the level, for who has the turn.
func (c *Conn) handshake(ctx context.Context) error {
	if c.level > 0 {
		return nil
	}
	line, err := commandLine(protocol.Me, fmt.Sprint("lockd/", protocol.Level))
	if err != nil {
		return err
	}
	lines, err := c.converse(ctx, request{line: line, unsure: true})
	switch {
	case errors.Is(err, ErrUnsupported), errors.Is(err, ErrDisabled):
		c.level = 1
	case err != nil:
		return err
	case strings.HasPrefix(lines[0], "1 "):
		c.level = 1
	case strings.HasPrefix(lines[0], "2 "):
		c.level = 2
	default:
		return c.distrust(lines[0])
	}
	return nil
}

// needLevel2 makes the handshake, for who has the turn. The error is
// ErrUnsupported where the server speaks level 1.
func (c *Conn) needLevel2(ctx context.Context) error {
	err := c.handshake(ctx)
	if err == nil && c.level < 2 {
		err = errLevel1
	}
	return err
}

var errLevel1 = fmt.Errorf("%w: it speaks only level 1 of the protocol", ErrUnsupported)

// exchangeFramed is exchange for what only level 2 has.
func (c *Conn) exchangeFramed(ctx context.Context, r request) ([]string, error) {
	if err := c.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer c.passTurn()
	if err := c.needLevel2(ctx); err != nil {
		return nil, err
	}
	return c.converse(ctx, r)
}
