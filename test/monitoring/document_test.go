package monitoring_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockd/test/markdown"
	"lockd/test/needs"
)

// What docs/operations.md asks a Prometheus on this machine is asked here of the
// one that runs, and its answer must be what the document shows. The tests in
// docs leave these blocks out.
func documentIsRight(t *testing.T, p *prom) {
	operations := filepath.Join(needs.Repository(), "docs", "operations.md")
	for _, b := range markdown.Marked(t, operations, "sh", "prometheus") {
		if b.Output == "" {
			t.Errorf("%s:%d shows no answer", operations, b.Line)
		}
		cmd := exec.Command("sh", "-ec", strings.ReplaceAll(b.Text, "localhost:9090", p.address))
		out, err := cmd.CombinedOutput()
		if err != nil || !markdown.Pattern(b.Output, true).MatchString(string(out)) {
			t.Errorf("%sprints\n%swant\n%s(%v)", b.Text, out, b.Output, err)
		}
	}
}
