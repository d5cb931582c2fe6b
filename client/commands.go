package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockd/internal/protocol"
)

// longLine is how long a line may be, in bytes with its LF, for every server to
// take it, unless set to take less.
const longLine = 65536 + 1

// An Identity is what a client connection is known by.
type Identity struct {
	Address string // HOST:PORT, or unix:N
	Name    string // given by SetName
}

// A Holding is a lock and one that holds it.
type Holding struct {
	Lock   string // the lock's name
	Holder string // the holder's name, or its address if it has none
}

// Get gets the exclusive lock name, also if this connection has it already: one
// Release frees it. If another connection has it, the error is ErrNotAcquired.
func (c *Conn) Get(ctx context.Context, name string) error {
	_, err := c.lock(ctx, protocol.Get, name, ErrNotAcquired)
	return describe("get", name, err)
}

// Release frees the exclusive lock name. If this connection does not have it,
// the error is ErrNotHeld.
func (c *Conn) Release(ctx context.Context, name string) error {
	_, err := c.lock(ctx, protocol.Release, name, ErrNotHeld)
	return describe("release", name, err)
}

// Inspect reports whether anybody has the exclusive lock name.
func (c *Conn) Inspect(ctx context.Context, name string) (bool, error) {
	n, err := c.lock(ctx, protocol.Inspect, name, nil)
	return n > 0, describe("inspect", name, err)
}

// GetShared gets the shared lock name, also if this connection has it already:
// one ReleaseShared frees it. It returns the number of holders, this one
// included. The error is ErrNotAcquired if the server has reached a limit.
func (c *Conn) GetShared(ctx context.Context, name string) (holders int, err error) {
	holders, err = c.lock(ctx, protocol.SharedGet, name, ErrNotAcquired)
	return holders, describe("get shared", name, err)
}

// ReleaseShared frees the shared lock name. If this connection does not have it,
// the error is ErrNotHeld.
func (c *Conn) ReleaseShared(ctx context.Context, name string) error {
	_, err := c.lock(ctx, protocol.SharedRelease, name, ErrNotHeld)
	return describe("release shared", name, err)
}

// InspectShared returns the number of holders of the shared lock name.
func (c *Conn) InspectShared(ctx context.Context, name string) (holders int, err error) {
	holders, err = c.lock(ctx, protocol.SharedInspect, name, nil)
	return holders, describe("inspect shared", name, err)
}

// Dump returns all exclusive locks that are held, sorted by name. The error is
// ErrDisabled where the server has the feature dump off.
//
// The protocol puts ": " between a lock and its holder. Where that is part of a
// name as well, it is taken for the lock's: holders are split off at the last.
func (c *Conn) Dump(ctx context.Context) ([]Holding, error) {
	holdings, err := c.holdings(ctx, protocol.List)
	return holdings, describeAll("dump", err)
}

// DumpLock returns the holder of the exclusive lock name, in a list that is
// empty if it is free. The lock with the empty name cannot be asked for: the
// error is ErrName. Else it is like Dump.
func (c *Conn) DumpLock(ctx context.Context, name string) ([]Holding, error) {
	holdings, err := c.holdingsOf(ctx, protocol.List, name)
	return holdings, describe("dump", name, err)
}

// DumpShared returns all shared locks that are held, once for each holder:
// sorted by name, and for one lock in the order in which the holders got it.
// Else it is like Dump.
func (c *Conn) DumpShared(ctx context.Context) ([]Holding, error) {
	holdings, err := c.holdings(ctx, protocol.SharedList)
	return holdings, describeAll("dump shared", err)
}

// DumpSharedLock returns the holders of the shared lock name, in the order in
// which they got it. Else it is like DumpLock.
func (c *Conn) DumpSharedLock(ctx context.Context, name string) ([]Holding, error) {
	holdings, err := c.holdingsOf(ctx, protocol.SharedList, name)
	return holdings, describe("dump shared", name, err)
}

// Name returns what the server knows this connection by. A connection that has
// not set a name has its address for one. The error is ErrUnsupported on
// servers too old to tell.
func (c *Conn) Name(ctx context.Context) (Identity, error) {
	id, err := c.me(ctx)
	return id, describeAll("name", err)
}

// SetName gives this connection a name, which the server shows for its address
// as the holder of locks. Any number of connections may bear one name; the empty
// name takes it back. The error is ErrDisabled where the server has the feature
// registry off, ErrUnsupported where it is too old to have it.
func (c *Conn) SetName(ctx context.Context, name string) error {
	return describe("set name", name, c.iam(ctx, name))
}

// Clients returns the connections that have a name, in the order in which they
// were given it. The error is ErrDisabled where the server has the feature
// registry or dump off. A server too old to have it seems to have no clients.
func (c *Conn) Clients(ctx context.Context) ([]Identity, error) {
	ids, err := c.who(ctx, "")
	return ids, describeAll("clients", err)
}

// ClientsNamed returns the connections that have this very name. No client has
// the empty name: the error is ErrName. Else it is like Clients.
func (c *Conn) ClientsNamed(ctx context.Context, name string) ([]Identity, error) {
	if name == "" {
		return nil, describe("clients named", name, ErrName)
	}
	ids, err := c.who(ctx, name)
	return ids, describe("clients named", name, err)
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

// Stats returns the server's counters by their names, such as connections, locks
// and command_g.
func (c *Conn) Stats(ctx context.Context) (map[string]uint64, error) {
	counters, err := c.counters(ctx)
	return counters, describeAll("stats", err)
}

// lock asks a question about one lock and returns the number that the reply
// begins with. If that is 0 and refusal is not nil, that is the error.
func (c *Conn) lock(ctx context.Context, v protocol.Verb, name string, refusal error) (int, error) {
	line, err := commandLine(v, name)
	if err != nil {
		return 0, err
	}
	lines, err := c.exchange(ctx, request{line: line, unsure: len(line) > longLine})
	if err != nil {
		return 0, err
	}
	number, text, _ := strings.Cut(lines[0], " ")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n < 0 || !strings.HasSuffix(text, ": "+name):
		return 0, c.distrust(lines[0])
	case n == 0 && refusal != nil:
		return 0, &ReplyError{Reply: lines[0], Err: refusal}
	}
	return n, nil
}

func (c *Conn) holdings(ctx context.Context, v protocol.Verb) ([]Holding, error) {
	lines, err := c.list(ctx, v, "")
	if err != nil {
		return nil, err
	}
	holdings := make([]Holding, len(lines))
	for i, line := range lines {
		colon := strings.LastIndex(line, ": ")
		if colon < 0 {
			return nil, c.distrust(line)
		}
		holdings[i] = Holding{line[:colon], line[colon+len(": "):]}
	}
	return holdings, nil
}

func (c *Conn) holdingsOf(ctx context.Context, v protocol.Verb, name string) ([]Holding, error) {
	if name == "" { // on the wire, a request for all
		return nil, fmt.Errorf("%w: the protocol has no way to list the lock without a name alone", ErrName)
	}
	lines, err := c.list(ctx, v, name)
	if err != nil {
		return nil, err
	}
	holdings := make([]Holding, len(lines))
	for i, line := range lines {
		holder, ok := strings.CutPrefix(line, name+": ")
		if !ok {
			return nil, c.distrust(line)
		}
		holdings[i] = Holding{name, holder}
	}
	return holdings, nil
}

func (c *Conn) me(ctx context.Context) (Identity, error) {
	line, err := commandLine(protocol.Me, "")
	if err != nil {
		return Identity{}, err
	}
	lines, err := c.exchange(ctx, request{line: line, unsure: true})
	if err != nil {
		return Identity{}, err
	}
	rest, ok := strings.CutPrefix(lines[0], "1 ")
	addr, name, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 {
		return Identity{}, c.distrust(lines[0])
	}
	return Identity{addr, name}, nil
}

func (c *Conn) iam(ctx context.Context, name string) error {
	line, err := commandLine(protocol.Iam, name)
	if err != nil {
		return err
	}
	lines, err := c.exchange(ctx, request{line: line, unsure: true})
	if err == nil && !strings.HasPrefix(lines[0], "1 ") {
		err = c.distrust(lines[0])
	}
	return err
}

func (c *Conn) who(ctx context.Context, name string) ([]Identity, error) {
	lines, err := c.list(ctx, protocol.Who, name)
	if err != nil {
		return nil, err
	}
	ids := make([]Identity, len(lines))
	for i, line := range lines {
		addr, name, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, c.distrust(line)
		}
		ids[i] = Identity{addr, name}
	}
	return ids, nil
}

func (c *Conn) counters(ctx context.Context) (map[string]uint64, error) {
	lines, err := c.list(ctx, protocol.Stats, "")
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, ErrUnsupported
	}
	counters := make(map[string]uint64, len(lines))
	for _, line := range lines {
		key, number, _ := strings.Cut(line, ": ")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, c.distrust(line)
		}
		counters[key] = n
	}
	return counters, nil
}

func (c *Conn) list(ctx context.Context, v protocol.Verb, name string) ([]string, error) {
	line, err := commandLine(v, name)
	if err != nil {
		return nil, err
	}
	return c.exchange(ctx, request{line: line, listing: true})
}

// distrust ends the connection because of a reply that makes no sense: nobody
// knows what the next one would belong to.
func (c *Conn) distrust(line string) error {
	c.end(c.lost(unexpected(line)))
	return c.Err()
}

// commandLine returns the line that asks v about name, behind what else it is to
// be told, if the server would read that very name in it.
func commandLine(v protocol.Verb, name string, words ...string) ([]byte, error) {
	if name != "" {
		words = append(words, name)
	}
	arg := strings.Join(words, " ")
	line := protocol.AppendCommand(nil, protocol.Command{Verb: v, Arg: []byte(arg)})
	got, _ := protocol.Parse(bytes.Clone(line[:len(line)-1]))
	if string(got.Arg) != arg || strings.Contains(name, "\n") {
		return nil, fmt.Errorf("%w: it may have no line feed and no blanks but single spaces inside", ErrName)
	}
	return line, nil
}

func describe(what, name string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s %q: %w", what, shortened(name), err)
	}
	return err
}

// shortened is a name as an error repeats it.
func shortened(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "..."
}

func describeAll(what string, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return err
}
