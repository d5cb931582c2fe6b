package docs_test

import (
	"path/filepath"
	"strings"
	"testing"

	"lockd/test/machine"
	"lockd/test/markdown"
	"lockd/test/needs"
)

// Both documents show how to install by hand. That is done on a machine whose
// every change is thrown away.
func TestInstallingAsTheDocumentsSayServes(t *testing.T) {
	for _, document := range []string{"../README.md", "operations.md"} {
		t.Run(filepath.Base(document), func(t *testing.T) {
			needs.Full(t, "nc", "curl")
			m := bootMachine(t, t.TempDir())
			shellIn(t, m, "sudo() { \"$@\"; }\nset -e\n"+installCommands(t, document))
			out := shellIn(t, m, `systemctl is-active lockd.service lockd.socket
				echo me | nc -q1 -U /run/lockd.sock
				echo 'g foo' | nc -q1 127.0.0.1 9999
				curl -s http://127.0.0.1:9996/readyz
				stat -c '%G %a' /run/lockd.sock`)
			want := "active\nactive\n1 unix:1 unix:1\n1 Lock Get Success: foo\nok\nlockd 660"
			if out != want {
				t.Errorf("after the installation:\n%swant\n%s", out, want)
			}
		})
	}
}

// installCommands are the first block with sudo.
func installCommands(t *testing.T, document string) string {
	t.Helper()
	for _, b := range markdown.Blocks(t, document) {
		if b.Language == "sh" && strings.HasPrefix(b.Text, "sudo install ") {
			return b.Text
		}
	}
	t.Fatalf("%s does not show how to install", document)
	return ""
}

// copied is where a machine of these tests has its part of the checkout.
const copied = "/opt/lockd"

// bootMachine boots one with the checkout, as `make build` and `make dist` leave it.
func bootMachine(t *testing.T, dist string) *machine.Machine {
	t.Helper()
	return machine.Boot(t, machine.Options{Copy: map[string]string{
		needs.Lockd(t): copied + "/bin/lockd",
		"deploy":       copied + "/deploy",
		dist:           copied + "/dist",
	}})
}

// shellIn runs commands of a shell in a machine, where the checkout is.
func shellIn(t *testing.T, m *machine.Machine, commands string) string {
	t.Helper()
	return m.Run("sh", "-c", "cd "+copied+"\n"+commands)
}
