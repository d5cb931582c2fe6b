package docs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Both documents show how to install by hand. That is done on a machine whose
// every change is thrown away.
func TestInstallingAsTheDocumentsSayServes(t *testing.T) {
	for _, document := range []string{"../README.md", "operations.md"} {
		t.Run(filepath.Base(document), func(t *testing.T) {
			m := bootMachine(t)
			m.run(t, "sudo() { \"$@\"; }\nset -e\n"+installCommands(t, document))
			out := m.run(t, `systemctl is-active lockd.service lockd.socket
				echo me | nc -q1 -U /run/lockd.sock
				echo 'g foo' | nc -q1 127.0.0.1 9999
				curl -s http://127.0.0.1:9996/readyz
				stat -c '%G %a' /run/lockd.sock`)
			want := "active\nactive\n1 unix:1 unix:1\n1 Lock Get Success: foo\nok\nlockd 660\n"
			if out != want {
				t.Errorf("after the installation:\n%swant\n%s", out, want)
			}
		})
	}
}

// installCommands are the first block with sudo.
func installCommands(t *testing.T, document string) string {
	t.Helper()
	for _, b := range blocks(t, document) {
		if b.language == "sh" && strings.HasPrefix(b.text, "sudo install ") {
			return b.text
		}
	}
	t.Fatalf("%s does not show how to install", document)
	return ""
}

// A throwAway is a machine in namespaces, with a systemd of its own and what is
// installed of the checkout.
type throwAway struct {
	name string
	env  []string
}

// copied is where a throwAway has its part of the checkout.
const copied = "/opt/lockd"

func bootMachine(t *testing.T) *throwAway {
	t.Helper()
	if os.Geteuid() != 0 {
		leaveOut(t, "a machine of its own needs root")
	}
	for _, tool := range []string{"/lib/systemd/systemd", "systemctl", "dbus-daemon", "nsenter", "unshare", "nc", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			leaveOut(t, "there is no "+tool)
		}
	}
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	copies := filepath.Join(binaryDir(t), "lockd") + ":" + copied + "/bin/lockd " + checkout + "/deploy:" + copied + "/deploy"
	m := &throwAway{
		name: "lockd-docs-" + strconv.Itoa(os.Getpid()),
		env:  append(os.Environ(), "BOOT_DIR="+t.TempDir(), "BOOT_COPY="+copies),
	}
	t.Cleanup(func() {
		if out, err := m.script("down"); err != nil {
			t.Errorf("end the machine: %v\n%s", err, out)
		}
	})
	if out, err := m.script("up"); err != nil {
		t.Fatalf("boot: %v\n%s", err, out)
	}
	return m
}

func (m *throwAway) script(verb string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../test/systemd-boot.sh", append([]string{verb, m.name}, args...)...)
	cmd.Env = m.env
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run runs commands of a shell, where the checkout is.
func (m *throwAway) run(t *testing.T, commands string) string {
	t.Helper()
	out, err := m.script("exec", "sh", "-c", "cd "+copied+"\n"+commands)
	if err != nil {
		t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	return out
}
