package e2e

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a booted systemd with lockd and its units installed and nothing
// started. It lives as long as its test.
type machine struct {
	t    *testing.T
	name string
	pid  int // of its PID 1, seen from outside
	env  []string
}

// installed lists what a package would put where.
func installed() map[string]string {
	units := "/usr/lib/systemd/system/"
	return map[string]string{
		os.Getenv(binaryVariable):                "/usr/bin/lockd",
		"../../deploy/systemd/lockd.service":     units + "lockd.service",
		"../../deploy/systemd/lockd.socket":      units + "lockd.socket",
		"../../deploy/systemd/lockd-http.socket": units + "lockd-http.socket",
		"../../deploy/systemd/lockd-ws.socket":   units + "lockd-ws.socket",
		"../../deploy/systemd/lockd.sysusers":    "/usr/lib/sysusers.d/lockd.conf",
	}
}

func boot(t *testing.T) *machine {
	t.Helper()
	needSystemd(t)
	var copies []string
	for src, dst := range installed() {
		abs, err := filepath.Abs(src)
		if err != nil {
			t.Fatal(err)
		}
		copies = append(copies, abs+":"+dst)
	}
	m := &machine{
		t:    t,
		name: "lockd-" + strconv.Itoa(os.Getpid()),
		env:  append(os.Environ(), "BOOT_DIR="+t.TempDir(), "BOOT_COPY="+strings.Join(copies, " ")),
	}
	t.Cleanup(m.down)
	if out, err := m.script(t.Context(), "up"); err != nil {
		t.Fatalf("boot systemd: %v\n%s", err, out)
	}
	out, err := m.script(t.Context(), "pid")
	if err != nil {
		t.Fatal(err)
	}
	if m.pid, err = strconv.Atoi(strings.TrimSpace(out)); err != nil {
		t.Fatal(err)
	}
	m.run("systemd-sysusers")
	return m
}

// down shows the machine's journal if the test failed, and ends the machine.
func (m *machine) down() {
	if m.t.Failed() {
		out, _ := m.script(context.Background(), "exec", "journalctl", "--no-pager", "-n", "60", "-o", "short-precise")
		m.t.Logf("the machine's journal:\n%s", out)
	}
	if out, err := m.script(context.Background(), "down"); err != nil {
		m.t.Errorf("end systemd: %v\n%s", err, out)
	}
}

func (m *machine) script(ctx context.Context, verb string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, bootScript, append([]string{verb, m.name}, args...)...)
	cmd.Env = m.env
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// try runs a command inside and returns its output and whether it exited 0.
func (m *machine) try(args ...string) (string, bool) {
	m.t.Helper()
	out, err := m.script(m.t.Context(), "exec", args...)
	if ctx := m.t.Context(); ctx.Err() != nil {
		m.t.Fatal(ctx.Err())
	}
	return strings.TrimSpace(out), err == nil
}

// run is try for a command that must exit 0.
func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, ok := m.try(args...)
	if !ok {
		m.t.Fatalf("%s failed:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// property returns a property of lockd.service.
func (m *machine) property(name string) string {
	m.t.Helper()
	return m.run("systemctl", "show", "--value", "--property", name, "lockd.service")
}

func (m *machine) wantProperty(name, want string) {
	m.t.Helper()
	if got := m.property(name); got != want {
		m.t.Errorf("lockd.service has %s=%s, want %s", name, got, want)
	}
}

// write writes a file inside, world-readable as a package's are.
func (m *machine) write(path, content string) {
	m.t.Helper()
	outer := m.outer(path)
	if err := os.MkdirAll(filepath.Dir(outer), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(outer, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// configure writes lockd's configuration.
func (m *machine) configure(yaml string) {
	m.t.Helper()
	m.write("/etc/lockd/lockd.yaml", yaml)
}

// dropIn adds lines to the [Service] section of lockd.service.
func (m *machine) dropIn(lines string) {
	m.t.Helper()
	m.write("/etc/systemd/system/lockd.service.d/test.conf", "[Service]\n"+lines+"\n")
	m.run("systemctl", "daemon-reload")
}

// outer is how a path inside is called outside.
func (m *machine) outer(path string) string {
	return filepath.Join("/proc", strconv.Itoa(m.pid), "root", path)
}

// eventually waits until ok returns true.
func (m *machine) eventually(what string, ok func() bool) {
	m.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(deadline)
	for !ok() {
		select {
		case <-timeout:
			m.t.Fatalf("not within %v: %s", deadline, what)
		case <-ticker.C:
		}
	}
}

// dial connects from inside the machine.
func (m *machine) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	if network == "unix" {
		return d.DialContext(ctx, network, m.outer(address))
	}
	// A socket belongs for ever to the network namespace that its thread was in
	// when it was made. For a literal address that is this thread.
	runtime.LockOSThread()
	leave, err := enterNetwork(m.pid)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	conn, err := d.DialContext(ctx, network, address)
	if back := leave(); back != nil {
		return nil, back // and leave the thread locked: it is not fit for others
	}
	runtime.UnlockOSThread()
	return conn, err
}

// enterNetwork puts this thread into the network namespace of a process, until
// leave is called.
func enterNetwork(pid int) (leave func() error, err error) {
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	there, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		here.Close()
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		here.Close()
		return nil, err
	}
	return func() error {
		defer here.Close()
		return unix.Setns(int(here.Fd()), unix.CLONE_NEWNET)
	}, nil
}

// client is a connection to lockd.
type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// connect connects to lockd, which must accept, though perhaps not answer yet.
func (m *machine) connect(network, address string) *client {
	m.t.Helper()
	conn, err := m.dial(m.t.Context(), network, address)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * deadline)); err != nil {
		m.t.Fatal(err)
	}
	return &client{t: m.t, conn: conn, in: bufio.NewReader(conn)}
}

// ask sends a line and returns the line that answers it.
func (c *client) ask(line string) string {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(line + "\n")); err != nil {
		c.t.Fatal(err)
	}
	return c.readLine()
}

func (c *client) readLine() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read a reply: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *client) want(line, want string) {
	c.t.Helper()
	if got := c.ask(line); got != want {
		c.t.Errorf("%s: answered %q, want %q", line, got, want)
	}
}
