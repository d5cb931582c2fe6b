package monitoring_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lockd/test/needs"
)

// What docs/operations.md asks a Prometheus on this machine is asked here of the
// one that runs, and its answer must be what the document shows. The tests in
// docs leave these blocks out.
func documentIsRight(t *testing.T, p *prom) {
	operations := read(t, filepath.Join(needs.Repository(), "docs", "operations.md"))
	blocks := regexp.MustCompile("(?ms)^```sh prometheus\n(.*?)^```\n\n```text\n(.*?)^```$").FindAllStringSubmatch(operations, -1)
	if len(blocks) < 2 || len(blocks) != strings.Count(operations, "```sh prometheus\n") {
		t.Fatalf("%d blocks for Prometheus were found", len(blocks))
	}
	for _, block := range blocks {
		cmd := exec.Command("sh", "-ec", strings.ReplaceAll(block[1], "localhost:9090", p.address))
		out, err := cmd.CombinedOutput()
		want := "^" + strings.ReplaceAll(regexp.QuoteMeta(block[2]), `\.\.\.`, ".*") + "$"
		if err != nil || !regexp.MustCompile(want).MatchString(string(out)) {
			t.Errorf("%sprints\n%swant\n%s(%v)", block[1], out, block[2], err)
		}
	}
}
