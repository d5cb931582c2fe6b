// Package machine boots a real systemd with lockd for a test, in namespaces: all
// that is done to it is thrown away with it.
package machine

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockd/test/needs"
)

// Deadline bounds each wait for something that happens within moments, on a
// machine that is busy with other tests.
const Deadline = 20 * time.Second

// Options say what machine it is.
type Options struct {
	// Root is the root directory to boot; empty means this machine's own.
	Root string
	// Copy has the files and directories to put inside before it boots: from
	// where, absolute or relative to the top of the checkout, and to where.
	Copy map[string]string
}

// A Machine is a booted systemd. It lives as long as its test, which its methods
// fail where they cannot do what they say. They are for the test's goroutine.
type Machine struct {
	t    testing.TB
	name string
	pid  int // of its PID 1, seen from outside
	env  []string
}

// Boot boots a machine, on which nothing is started but systemd's own services.
// The test is left out where that cannot be had.
func Boot(t testing.TB, o Options) *Machine {
	t.Helper()
	needs.Full(t, "/lib/systemd/systemd", "systemctl", "dbus-daemon", "nsenter", "unshare")
	dir := t.TempDir()
	m := &Machine{
		t:    t,
		name: filepath.Base(filepath.Dir(dir)), // the test's, and no other's
		env:  append(os.Environ(), "BOOT_DIR="+dir, "BOOT_ROOT="+o.Root, "BOOT_COPY="+o.copies()),
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
	return m
}

// Units are the files of the checkout that a package puts where systemd looks,
// and lockd itself.
func Units(t testing.TB) map[string]string {
	t.Helper()
	units := "/usr/lib/systemd/system/"
	return map[string]string{
		needs.Lockd(t):                     "/usr/bin/lockd",
		"deploy/systemd/lockd.service":     units + "lockd.service",
		"deploy/systemd/lockd.socket":      units + "lockd.socket",
		"deploy/systemd/lockd-http.socket": units + "lockd-http.socket",
		"deploy/systemd/lockd-ws.socket":   units + "lockd-ws.socket",
		"deploy/systemd/lockd.sysusers":    "/usr/lib/sysusers.d/lockd.conf",
	}
}

// copies is Copy as the script wants it.
func (o Options) copies() string {
	var all []string
	for from, to := range o.Copy {
		if !filepath.IsAbs(from) {
			from = filepath.Join(needs.Repository(), from)
		}
		all = append(all, from+":"+to)
	}
	return strings.Join(all, " ")
}

// down shows the machine's journal if the test failed, and ends the machine.
func (m *Machine) down() {
	if m.t.Failed() {
		out, _ := m.script(context.Background(), "exec", "journalctl", "--no-pager", "-n", "60", "-o", "short-precise")
		m.t.Logf("the machine's journal:\n%s", out)
	}
	if out, err := m.script(context.Background(), "down"); err != nil {
		m.t.Errorf("end systemd: %v\n%s", err, out)
	}
}

func (m *Machine) script(ctx context.Context, verb string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*Deadline)
	defer cancel()
	cmd := m.command(ctx, verb, args...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (m *Machine) command(ctx context.Context, verb string, args ...string) *exec.Cmd {
	script := filepath.Join(needs.Repository(), "test", "systemd-boot.sh")
	cmd := exec.CommandContext(ctx, script, append([]string{verb, m.name}, args...)...)
	cmd.Env = m.env
	return cmd
}

// Command returns a command that runs inside, for the caller to start.
func (m *Machine) Command(args ...string) *exec.Cmd {
	return m.command(m.t.Context(), "exec", args...)
}

// Try runs a command inside and returns its output and whether it exited 0.
func (m *Machine) Try(args ...string) (string, bool) {
	m.t.Helper()
	out, err := m.script(m.t.Context(), "exec", args...)
	if ctx := m.t.Context(); ctx.Err() != nil {
		m.t.Fatal(ctx.Err())
	}
	return strings.TrimSpace(out), err == nil
}

// Run is Try for a command that must exit 0.
func (m *Machine) Run(args ...string) string {
	m.t.Helper()
	out, ok := m.Try(args...)
	if !ok {
		m.t.Fatalf("%s failed:\n%s", strings.Join(args, " "), out)
	}
	return out
}

// Property returns a property of lockd.service.
func (m *Machine) Property(name string) string {
	m.t.Helper()
	return m.Run("systemctl", "show", "--value", "--property", name, "lockd.service")
}

func (m *Machine) WantProperty(name, want string) {
	m.t.Helper()
	if got := m.Property(name); got != want {
		m.t.Errorf("lockd.service has %s=%s, want %s", name, got, want)
	}
}

// Write writes a file inside, world-readable as a package's are.
func (m *Machine) Write(path, content string) {
	m.t.Helper()
	outer := m.Outer(path)
	if err := os.MkdirAll(filepath.Dir(outer), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(outer, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// Configure writes lockd's configuration.
func (m *Machine) Configure(yaml string) {
	m.t.Helper()
	m.Write("/etc/lockd/lockd.yaml", yaml)
}

// DropIn adds lines to the [Service] section of lockd.service.
func (m *Machine) DropIn(lines string) {
	m.t.Helper()
	m.Write("/etc/systemd/system/lockd.service.d/test.conf", "[Service]\n"+lines+"\n")
	m.Run("systemctl", "daemon-reload")
}

// Outer is how a path inside is called outside.
func (m *Machine) Outer(path string) string {
	return filepath.Join("/proc", strconv.Itoa(m.pid), "root", path)
}

// Eventually waits until ok returns true.
func (m *Machine) Eventually(what string, ok func() bool) {
	m.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(Deadline)
	for !ok() {
		select {
		case <-timeout:
			m.t.Fatalf("not within %v: %s", Deadline, what)
		case <-ticker.C:
		}
	}
}
