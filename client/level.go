package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

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

// Ping makes a round trip to the server, whatever it is: the connection stands
// and what it holds is held. If no answer comes within [Options.ReadTimeout], the
// connection is closed.
func (c *Conn) Ping(ctx context.Context) error {
	return describeAll("ping", c.ping(ctx, 0))
}

// ping is Ping with a time limit of its own; 0 is ReadTimeout.
func (c *Conn) ping(ctx context.Context, limit time.Duration) error {
	if err := c.takeTurn(ctx); err != nil {
		return err
	}
	defer c.passTurn()
	verb, name := protocol.Ping, ""
	if c.level < 2 { // what every server answers
		verb, name = protocol.Inspect, "ping "+rand.Text()
	}
	line, err := commandLine(verb, name)
	if err != nil {
		return err
	}
	lines, err := c.converse(ctx, request{line: line, limit: limit})
	if err == nil && lines[0] != "1 pong" && (name == "" || !strings.HasSuffix(lines[0], ": "+name)) {
		err = c.distrust(lines[0])
	}
	return err
}

// Info returns what the server tells of itself by the names of docs/protocol.md:
// version, level, uptime_seconds, dead_peer_seconds and so on. The error is
// ErrUnsupported where the server speaks only level 1.
func (c *Conn) Info(ctx context.Context) (map[string]string, error) {
	info, err := c.info(ctx)
	return info, describeAll("info", err)
}

func (c *Conn) info(ctx context.Context) (map[string]string, error) {
	line, err := commandLine(protocol.Info, "")
	if err != nil {
		return nil, err
	}
	lines, err := c.exchangeFramed(ctx, request{line: line, listing: true})
	if err != nil {
		return nil, err
	}
	info := make(map[string]string, len(lines))
	for _, line := range lines {
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, c.distrust(line)
		}
		info[key] = value
	}
	return info, nil
}
