package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A linClient is one of a round's clients.
type linClient struct {
	*linRound
	dice   *rand.Rand
	spare  []*client // connections that it has not used yet
	conn   *client   // nil: it is out of them
	who    int
	called int64             // when the last operation began that was answered
	ghosts []func(ret int64) // add those that were not
}

// connectApart connects from addresses that clients of another transport never have,
// as they may, since they go to another port of the server.
func (s *service) connectApart(transport string) *client {
	s.Helper()
	if transport == "ws" {
		s.dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
		defer func() { s.dialer.LocalAddr = nil }()
	}
	return s.connect(transport)
}

// reconnect takes the next connection.
func (c *linClient) reconnect() {
	c.conn = nil
	if len(c.spare) > 0 {
		c.conn, c.spare = c.spare[0], c.spare[1:]
		c.who = c.numbers[c.conn.addr]
		c.called = c.clock.Add(1)
	}
}

// addGhost adds an operation that will not be answered, as its connection ends: it
// is done before that, or never.
func (c *linClient) addGhost(lock linLock, in linInput, call int64) {
	c.ghosts = append(c.ghosts, func(ret int64) { c.add(lock, in, linOutput{ghost: true}, call, ret) })
}

// live does some operations, and leaves.
func (c *linClient) live() {
	for range linOperations {
		if c.conn == nil {
			return
		}
		lock := c.locks[c.dice.IntN(len(c.locks))]
		switch n := c.dice.IntN(20); {
		case n < 4:
			c.ask(lock, linInput{kind: linGet}, "g ")
		case n < 10:
			c.ask(lock, linInput{kind: linRelease}, "r ")
		case n < 11:
			c.ask(lock, linInput{kind: linInspect}, "i ")
		case n < 13:
			c.tryFor(lock)
		case n < 19:
			c.waitFor(lock)
		default:
			c.leave()
			c.reconnect()
		}
	}
	if c.conn != nil {
		c.leave()
	}
	for _, unused := range c.spare {
		unused.conn.Close()
	}
}

// line sends a line, which for shared locks begins with an s, and reads the reply.
func (c *linClient) line(lock linLock, words string) (reply string, call int64, err error) {
	if lock.shared {
		words = "s" + words
	}
	call = c.clock.Add(1)
	if err = c.conn.write(words + lock.name + "\n"); err != nil {
		return "", call, err
	}
	reply, err = c.reply()
	return reply, call, err
}

func (c *linClient) reply() (string, error) {
	c.conn.arm()
	line, err := c.conn.in.ReadString('\n')
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		c.fail(fmt.Errorf("%s is not answered: %w", c.conn.addr, err))
	}
	return strings.TrimSuffix(line, "\n"), err
}

// ask does what is answered at once.
func (c *linClient) ask(lock linLock, in linInput, words string) {
	reply, call, err := c.line(lock, words)
	in.who = c.who
	if err != nil {
		c.addGhost(lock, in, call)
		c.ended()
		return
	}
	word, _, _ := strings.Cut(reply, " ")
	n, _ := strconv.Atoi(word)
	c.add(lock, in, linOutput{won: n > 0, count: n}, call, c.clock.Add(1))
	c.called = call
}

func (c *linClient) waitWords(lock linLock, ms int) (words string, limit int) {
	if !lock.shared {
		return fmt.Sprintf("gw %d ", ms), 0
	}
	limit = c.dice.IntN(4)
	return fmt.Sprintf("gw %d %d ", ms, limit), limit
}

func (c *linClient) tryFor(lock linLock) {
	words, limit := c.waitWords(lock, 0)
	in := linInput{kind: linTry, who: c.who, max: limit}
	reply, call, err := c.line(lock, words)
	if err != nil {
		c.addGhost(lock, in, call)
		c.ended()
		return
	}
	c.add(lock, in, c.outcome(reply), call, c.clock.Add(1))
	c.called = call
}

// outcome takes the answer to a gw or sgw apart.
func (c *linClient) outcome(reply string) linOutput {
	out := linOutput{won: strings.Contains(reply, "Success"), holder: -1}
	for i, word := range strings.Fields(reply) {
		key, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "token":
			out.token = uint64(n)
		case "reason":
			out.reason = value
		case "queue":
			out.queue = n
		case "count":
			out.count = n
		case "holder":
			if who, ok := c.numbers[value]; ok {
				out.holder = who
			}
		default:
			if i == 0 && out.won {
				out.count, _ = strconv.Atoi(word)
			}
		}
	}
	return out
}

// waitFor waits for a lock: until a time is over, until it cancels, or until it
// leaves.
func (c *linClient) waitFor(lock linLock) {
	ms := [...]int{1, 2, 3, 5, -1, -1}[c.dice.IntN(6)]
	words, limit := c.waitWords(lock, ms)
	in := linInput{kind: linEnter, who: c.who, max: limit}
	if lock.shared {
		words = "s" + words
	}
	call := c.clock.Add(1)
	err := c.conn.write(words + lock.name + "\n")
	for range c.dice.IntN(30) {
		runtime.Gosched()
	}
	cancels := ms < 0
	if err == nil && cancels && c.dice.IntN(4) == 0 {
		c.addGhost(lock, in, call)
		c.leave()
		c.reconnect()
		return
	}
	if err == nil && cancels {
		err = c.conn.write("cancel\n")
	}
	reply := ""
	if err == nil {
		reply, err = c.reply()
	}
	if err != nil {
		c.addGhost(lock, in, call)
		c.ended()
		return
	}
	out := c.outcome(reply)
	c.addWait(lock, in, out, call)
	c.called = call
	if cancels {
		c.wantCancel(out)
	}
}

// addWait adds the two operations of a wait that is over.
func (c *linClient) addWait(lock linLock, in linInput, out linOutput, call int64) {
	ret := c.clock.Add(1)
	c.add(lock, in, linOutput{}, call, ret)
	in.kind = linOutcome
	c.add(lock, in, out, call, ret)
}

// wantCancel wants cancel to be answered as the wait before it was.
func (c *linClient) wantCancel(out linOutput) {
	reply, err := c.reply()
	want := "0 nothing to cancel"
	if out.reason == "cancelled" {
		want = "1 ok"
	}
	switch {
	case err != nil:
		c.ended()
	case reply != want:
		c.fail(fmt.Errorf("cancel is answered %q behind %+v", reply, out))
	}
}

// leave ends the connection in one of the ways there are.
func (c *linClient) leave() {
	switch c.dice.IntN(3) {
	case 0:
		c.conn.conn.Close()
	case 1:
		c.conn.reset()
	default:
		if c.endSide() == nil {
			c.conn.conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, c.conn.conn); errors.Is(err, os.ErrDeadlineExceeded) {
				c.fail(fmt.Errorf("%s sees no end: %w", c.conn.addr, err))
			}
			c.left(c.clock.Add(1))
			return
		}
	}
	c.leftUnseen()
}

// leftUnseen ends what ends without the client's seeing it. In general it asks the
// server when it was.
func (c *linClient) leftUnseen() {
	ret := int64(math.MaxInt64)
	if c.dice.IntN(8) > 0 {
		c.waitUntilGone()
		ret = c.clock.Add(1)
	}
	c.left(ret)
}

func (c *linClient) waitUntilGone() {
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for {
		if _, there := c.service.Unread(c.conn.addr); !there {
			return
		}
		if time.Now().After(deadline) {
			c.fail(fmt.Errorf("%s has ended, and is still there", c.conn.addr))
			return
		}
		<-tick.C
	}
}

// endSide half-closes, unless the server has closed already.
func (c *linClient) endSide() error {
	switch conn := c.conn.conn.(type) {
	case *net.UnixConn:
		return conn.CloseWrite()
	case *net.TCPConn:
		if c.conn.ws == nil {
			return conn.CloseWrite()
		}
	}
	_, err := io.WriteString(c.conn.conn, "\x88\x82\x00\x00\x00\x00\x03\xe8") // a close frame, masked with zeros
	return err
}

// ended is called when the server has ended the connection.
func (c *linClient) ended() {
	c.left(c.clock.Add(1))
	c.reconnect()
}

// left adds the end of the connection to all histories. It may have been broken at
// any time since it was last answered.
func (c *linClient) left(ret int64) {
	for _, add := range c.ghosts {
		add(ret)
	}
	for _, lock := range c.locks {
		c.add(lock, linInput{kind: linLeave, who: c.who}, linOutput{}, c.called, ret)
	}
	c.conn.conn.Close()
	c.conn, c.ghosts = nil, nil
}

// lookOn lists the locks, and breaks some.
func (c *linClient) lookOn() {
	defer c.conn.conn.Close()
	for range 3 * linOperations {
		lock := c.locks[c.dice.IntN(len(c.locks))]
		var err error
		if c.dice.IntN(12) == 0 {
			err = c.breakLock(lock)
		} else {
			err = c.look(lock)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *linClient) breakLock(lock linLock) error {
	mode := "x"
	if lock.shared {
		mode = "s"
	}
	call := c.clock.Add(1)
	if err := c.conn.write("fr " + mode + " 0 " + lock.name + "\n"); err != nil {
		return err
	}
	reply, err := c.reply()
	ret := c.clock.Add(1)
	if err != nil {
		return err
	}
	var n int
	if reply != "0 not held: "+lock.name {
		if _, err := fmt.Sscanf(reply, "1 ok count=%d", &n); err != nil || n == 0 {
			return fmt.Errorf("fr is answered %q", reply)
		}
	}
	in := linInput{kind: linBreak, who: c.who, id: int(c.breaks.Add(1))}
	c.add(lock, in, linOutput{count: n}, call, ret)
	in.kind = linBroken
	c.add(lock, in, linOutput{}, call, ret)
	return nil
}

// look asks who holds a lock and who waits for it.
func (c *linClient) look(lock linLock) error {
	mode := "x"
	if lock.shared {
		mode = "s"
	}
	call := c.clock.Add(1)
	if err := c.conn.write("ls " + mode + " " + lock.name + "\n"); err != nil {
		return err
	}
	out := linOutput{}
	for {
		line, err := c.reply()
		if err != nil || line == "" {
			c.add(lock, linInput{kind: linList, who: c.who}, out, call, c.clock.Add(1))
			return err
		}
		var entry struct{ Addr, State string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			return err
		}
		out.listed += " "
		if entry.State == "waiting" {
			out.listed += "?"
		}
		out.listed += strconv.Itoa(c.numbers[entry.Addr])
	}
}
