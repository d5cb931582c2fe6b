package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"lockd/embedded"
)

// benchJSON runs lockd bench --json with arguments against two servers.
func benchJSON(t *testing.T, args ...string) benchReport {
	t.Helper()
	line := []string{"bench", "--json", "-d", "300ms", "--warmup", "5ms"}
	for _, flag := range []string{"--server", "--compare"} {
		s, err := embedded.Listen(t.Context(), embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Destroy() })
		line = append(line, flag, s.Addrs()[0])
	}
	var stdout, stderr bytes.Buffer
	env := environment{stdout: &stdout, stderr: &stderr, lookupEnv: func(string) (string, bool) { return "", false }}
	if code := run(append(line, args...), env); code != 0 || stderr.Len() > 0 {
		t.Fatalf("exit code %d; %s", code, stderr.String())
	}
	var r benchReport
	d := json.NewDecoder(&stdout)
	if err := d.Decode(&r); err != nil || d.More() {
		t.Fatalf("%v, or more than one object", err)
	}
	return r
}

func TestBenchJSONHasSettingsHostAndAllRounds(t *testing.T) {
	r := benchJSON(t, "-c", "3", "-p", "2", "--op", "inspect", "--rounds", "2")
	want := benchSettings{Connections: 3, PipelineDepth: 2, Operations: "inspect", Duration: 0.3, Warmup: 0.005, Rounds: 2}
	if r.Settings != want || r.Interrupted {
		t.Errorf("%+v, interrupted: %v; want %+v", r.Settings, r.Interrupted, want)
	}
	if r.Host.CPUs < 1 || !strings.HasPrefix(r.Host.GoVersion, "go1.") || r.Host.LockdVersion == "" {
		t.Errorf("%+v", r.Host)
	}
	if len(r.Targets) != 2 {
		t.Fatalf("%d targets", len(r.Targets))
	}
	second := r.Targets[1].Name
	for _, target := range r.Targets {
		if len(target.Rounds) != 2 || target.Ratios[second] <= 0 || target.Median.OpsPerSecond <= 0 {
			t.Errorf("%+v", target)
		}
		for _, x := range target.Rounds {
			if x.Succeeded == 0 || x.Errors != 0 || x.P50 <= 0 || x.P50 > x.P99 || x.P99 > x.P999 {
				t.Errorf("%+v", x)
			}
		}
	}
}

// Scripts depend on the names.
func TestBenchJSONNamesItsFieldsWithTheirUnits(t *testing.T) {
	text, err := json.Marshal(benchJSON(t, "-c", "1", "--rounds", "1").Targets[0])
	if err != nil {
		t.Fatal(err)
	}
	var target struct {
		Median map[string]any   `json:"median"`
		Rounds []map[string]any `json:"rounds"`
	}
	if err := json.Unmarshal(text, &target); err != nil {
		t.Fatal(err)
	}
	figures := []string{
		"generator_cpu_microseconds_per_operation", "max_microseconds", "ops_per_second", "p50_microseconds",
		"p99_9_microseconds", "p99_microseconds", "server_cpu_microseconds_per_operation",
	}
	if got := slices.Sorted(maps.Keys(target.Median)); !slices.Equal(got, figures) {
		t.Errorf("the median has %q", got)
	}
	round := slices.Sorted(slices.Values(append(figures, "duration_seconds", "errors", "operations", "refused")))
	if got := slices.Sorted(maps.Keys(target.Rounds[0])); !slices.Equal(got, round) {
		t.Errorf("a round has %q", got)
	}
}
