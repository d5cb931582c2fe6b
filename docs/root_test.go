package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"lockd/test/markdown"
	"lockd/test/needs"
)

// What the documents tell root to do is done on a machine whose every change is
// thrown away.
func TestRootBlocksDoWhatTheDocumentsSay(t *testing.T) {
	for _, document := range []string{"../README.md", "operations.md"} {
		t.Run(filepath.Base(document), func(t *testing.T) {
			t.Parallel()
			needs.Full(t, "nc", "curl", "dpkg")
			runRootBlocks(t, document)
		})
	}
}

func runRootBlocks(t *testing.T, document string) {
	t.Helper()
	m := bootMachine(t, packages(t))
	shell := startShell(t, m.Command("sh"))
	shell.run("the beginning", "cd "+copied+"\nexec 2>&1\nsudo() { \"$@\"; }\n")
	for _, b := range markdown.Marked(t, document, "sh", "root") {
		at := fmt.Sprintf("%s:%d", document, b.Line)
		// None of its commands may fail without the document showing that.
		text := "(set -e\n" + b.Text + ") || echo \"exit code $?\"\n"
		if b.Output != "" {
			shell.wantOutput(at, text, b.Output)
		} else if out := shell.run(at, text); strings.Contains(out, "exit code") {
			t.Errorf("%s fails:\n%s", at, out)
		}
	}
	shell.end()
}

// packages builds those of this machine, and returns the directory.
func packages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("../deploy/packages/build.sh", dir)
	build.Env = append(os.Environ(), "VERSION=1.2.3", "ARCHES="+runtime.GOARCH)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the packages: %v\n%s", err, out)
	}
	return dir
}
