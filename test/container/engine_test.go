package container_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// try runs docker and returns what it prints, and whether it exits 0.
func try(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err == nil
}

// docker is try for what must exit 0.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, ok := try(t, args...)
	if !ok {
		t.Fatalf("docker %s:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// inspect returns what docker inspect has of a thing, by a template.
func inspect(t *testing.T, thing, template string) string {
	t.Helper()
	return docker(t, "inspect", "--format", template, thing)
}

// enginePID is the first process of the engine's namespaces.
func enginePID(t *testing.T) string {
	t.Helper()
	pid, err := os.ReadFile(os.Getenv(insideVariable) + "/pid1")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(pid))
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", 2*patience, what)
		}
	}
}

// container is one of lockd's image, which lives as long as its test.
type container struct {
	t    *testing.T
	name string
}

var containers atomic.Int64 // names are numbered

func containerName() string { return "test" + strconv.FormatInt(containers.Add(1), 10) }

// start runs the image in the background, with options of docker and arguments
// of lockd.
func start(t *testing.T, options []string, args ...string) *container {
	t.Helper()
	c := &container{t: t, name: containerName()}
	command := append([]string{"run", "-d", "--name", c.name}, options...)
	t.Cleanup(c.remove)
	docker(t, append(append(command, "lockd"), args...)...)
	return c
}

// serve is start, and returns once lockd serves.
func serve(t *testing.T, options []string, args ...string) *container {
	t.Helper()
	c := start(t, options, args...)
	c.wantLog(`lockd serves`)
	return c
}

func (c *container) remove() {
	if c.t.Failed() {
		c.t.Logf("%s said:\n%s", c.name, c.log())
	}
	try(c.t, "rm", "--force", "--volumes", c.name)
}

func (c *container) log() string {
	out, _ := try(c.t, "logs", c.name)
	return out
}

// wantLog waits until the log has a line.
func (c *container) wantLog(pattern string) {
	c.t.Helper()
	want := regexp.MustCompile(pattern)
	eventually(c.t, c.name+" logs "+pattern, func() bool { return want.MatchString(c.log()) })
}

func (c *container) state(field string) string {
	c.t.Helper()
	return inspect(c.t, c.name, "{{.State."+field+"}}")
}

func (c *container) wantState(field, want string) {
	c.t.Helper()
	eventually(c.t, c.name+" has the state "+field+"="+want, func() bool { return c.state(field) == want })
}

// address is where a port of the container is on Docker's bridge.
func (c *container) address(port string) string {
	c.t.Helper()
	return net.JoinHostPort(inspect(c.t, c.name, "{{.NetworkSettings.IPAddress}}"), port)
}

// client is a connection to a lockd.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func connect(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// connect is for the lock port.
func (c *container) connect() *client {
	c.t.Helper()
	return connect(c.t, c.address("9999"))
}

// ask sends a line and returns the line that answers it, "" at the end.
func (c *client) ask(line string) string {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(line + "\n")); err != nil {
		return ""
	}
	reply, _ := c.in.ReadString('\n')
	return strings.TrimSuffix(reply, "\n")
}

func (c *client) want(line, pattern string) string {
	c.t.Helper()
	got := c.ask(line)
	if !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
		c.t.Errorf("%s: answered %q, want %q", line, got, pattern)
	}
	return got
}

// wantEnd waits for the end of the connection.
func (c *client) wantEnd() {
	c.t.Helper()
	for {
		if _, err := c.in.ReadString('\n'); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				c.t.Error("the connection has not ended")
			}
			return
		}
	}
}
