// Package monitoring_test runs a real Prometheus against a real lockd: the
// metrics, the rules in deploy/prometheus and the dashboard in deploy/grafana.
//
// What needs no Prometheus is in the quick check too: the dashboard's structure,
// and that each alert has its tests and its section in docs/operations.md.
//
// With -draw FILE, as `make dashboard` gives it, the package draws the picture
// in docs instead: see draw_test.go.
package monitoring_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockd/test/needs"
)

// patience bounds each wait for something that happens within moments, on a
// machine that is busy with other tests.
const patience = 30 * time.Second

// A suite runs the tests of the package, and builds lockd for them.
type suite struct{ m *testing.M }

func (s suite) Run() int { return needs.Run(s.m) }

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// deployed is the path of a file in deploy.
func deployed(path ...string) string {
	return filepath.Join(append([]string{needs.Repository(), "deploy"}, path...)...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until done says so. What it says is the reason if it never does.
func eventually(t *testing.T, done func() (ok bool, last any)) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		ok, last := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", patience, last)
		}
	}
}
