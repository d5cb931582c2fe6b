package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockd/test/markdown"
)

// README.md shows how another module uses this one. A second module is made and
// does just that.
func TestAnotherModuleCanUseThePackages(t *testing.T) {
	var program, commands, expected string
	for _, b := range markdown.Blocks(t, "../README.md") {
		switch {
		case b.Options != "module":
		case b.Language == "go":
			program = b.Text
		case b.Language == "sh":
			commands, expected = b.Text, b.Output
		}
	}
	if program == "" || expected == "" || !strings.Contains(commands, "/path/to/lockd") {
		t.Fatal("README.md does not show a program and the commands that run it")
	}
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), program)
	// The module's sums are known, so that nobody needs to be asked for them.
	write(t, filepath.Join(dir, "go.sum"), read(t, "../go.sum"))
	script := "set -e\ngo mod init example.com/user 2>/dev/null\n" + strings.ReplaceAll(commands, "/path/to/lockd", checkout)
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil || string(out) != expected {
		t.Errorf("%v\n%swant\n%s%s", err, out, expected, stderrOf(err))
	}
}

func TestGoBlocksAreFormatted(t *testing.T) {
	for _, document := range documents(t) {
		for _, b := range markdown.Blocks(t, document) {
			if b.Language != "go" {
				continue
			}
			cmd := exec.Command("gofmt")
			cmd.Stdin = strings.NewReader(b.Text)
			if out, err := cmd.Output(); err != nil || string(out) != b.Text {
				t.Errorf("%s:%d: not as gofmt writes it: %v%s", document, b.Line, err, stderrOf(err))
			}
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func stderrOf(err error) string {
	if exit, ok := err.(*exec.ExitError); ok {
		return string(exit.Stderr)
	}
	return ""
}
