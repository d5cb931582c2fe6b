package server_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A child is this test binary running one of the programs in children. It is
// asked by lines and answers by lines.
type child struct {
	testing.TB
	cmd   *exec.Cmd
	asks  io.WriteCloser
	reply *bufio.Reader
}

func startChild(t testing.TB, name string, environment ...string) *child {
	t.Helper()
	c := &child{TB: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(append(os.Environ(), childVariable+"="+name), environment...)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.asks, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.reply = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	return c
}

// end asks no more and wants the child to end well.
func (c *child) end() {
	c.Helper()
	if c.cmd.ProcessState != nil {
		return
	}
	c.asks.Close()
	if err := c.cmd.Wait(); err != nil {
		c.Errorf("the child: %v", err)
	}
}

// line returns what the child says next.
func (c *child) line() string {
	c.Helper()
	line, err := c.reply.ReadString('\n')
	if err != nil {
		c.Fatalf("the child says %q, %v", line, err)
	}
	return strings.TrimSpace(line)
}

func (c *child) ask(what string) string {
	c.Helper()
	fmt.Fprintln(c.asks, what)
	return c.line()
}

// answer runs f for each line that the parent asks, until it asks no more.
func answer(f func(what string) (reply any, err error)) error {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		reply, err := f(in.Text())
		if err != nil {
			return err
		}
		fmt.Println(reply)
	}
	return nil
}
