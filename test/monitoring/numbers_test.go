package monitoring_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockd/test/needs"
)

// page is /metrics as it is.
func page(t *testing.T, l *lockd) string {
	t.Helper()
	answer, err := http.Get("http://" + l.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// metric is a sample of the page.
func metric(t *testing.T, l *lockd, sample string) float64 {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(page(t, l))); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), sample+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("%s is not on the page", sample)
	return 0
}

// q is what the command q shows, itself counted.
func (c *client) q() map[string]int {
	c.Helper()
	numbers := make(map[string]int)
	for _, line := range c.list("q") {
		key, value, _ := strings.Cut(line, ": ")
		n, err := strconv.Atoi(value)
		if err != nil {
			c.Fatal(err)
		}
		numbers[key] = n
	}
	return numbers
}

// expression is what a key of q is in Prometheus.
func expression(key string) string {
	if command, ok := strings.CutPrefix(key, "command_"); ok {
		return `lockd_commands_total{command="` + command + `"}`
	}
	return map[string]string{
		"connections":      "sum(lockd_connections)",
		"invalid_commands": "lockd_invalid_commands_total",
		"locks":            `lockd_locks{mode="exclusive"}`,
		"shared_locks":     `lockd_locks{mode="shared"}`,
		"orphans":          `lockd_orphans_total{mode="exclusive"}`,
		"shared_orphans":   `lockd_orphans_total{mode="shared"}`,
	}[key]
}

// differences are the keys in which two maps differ, with both values. A
// command that nobody sent need not be there.
func differences(got, want map[string]int) (all []string) {
	keys := maps.Clone(got)
	maps.Copy(keys, want)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if got[key] != want[key] {
			all = append(all, fmt.Sprintf("%s is %d, want %d", key, got[key], want[key]))
		}
	}
	return all
}

// TestPrometheusAgainstALoadedServer puts one server under a load that moves
// each metric, with one Prometheus that scrapes it, and looks at both.
func TestPrometheusAgainstALoadedServer(t *testing.T) {
	needs.Full(t, "prometheus", "promtool")
	t.Parallel()
	server := startLockd(t, crowded)
	p := startPrometheus(t, server.http, quicker)
	p.becomes(t, `up{job="lockd"}`, 1)
	s := span{from: time.Now(), step: scrapeInterval}
	load, admin := everything(t, server)

	t.Run("Prometheus has the numbers of q", func(t *testing.T) { equal(t, p, load, admin) })
	t.Run("promtool finds nothing wrong with the page", func(t *testing.T) {
		if out := promtool(t, page(t, server), "check", "metrics"); out != "" {
			t.Errorf("promtool check metrics says\n%s", out)
		}
	})
	t.Run("alerts fire", func(t *testing.T) { alertsFire(t, p, server) })
	s.to = time.Now()
	t.Run("every query of the dashboard has data", func(t *testing.T) { queriesHaveData(t, p, s) })
	t.Run("Prometheus answers as docs/operations.md says", func(t *testing.T) { documentIsRight(t, p) })
	t.Run("alerts fire as the server ends", func(t *testing.T) { alertsOfTheEnd(t, p, server) })
}

func equal(t *testing.T, p *prom, load *load, admin *client) {
	numbers := admin.q()
	if d := differences(numbers, load.counted()); d != nil {
		t.Errorf("q is not what the clients did: %s", strings.Join(d, "; "))
	}
	// A scrape that has this q has all that was before it, and nothing comes after.
	p.becomes(t, expression("command_q"), float64(numbers["command_q"]))
	scraped := make(map[string]int)
	for key := range numbers {
		value, ok := p.value(t, expression(key))
		if !ok {
			t.Errorf("Prometheus has no %s for %s", expression(key), key)
		}
		scraped[key] = int(value)
	}
	if d := differences(scraped, numbers); d != nil {
		t.Errorf("Prometheus has not the numbers of q: %s", strings.Join(d, "; "))
	}
	if len(numbers) < 25 || numbers["orphans"] == 0 || numbers["shared_locks"] == 0 {
		t.Errorf("q has too little to compare: %v", numbers)
	}
	for expression, want := range map[string]float64{
		`lockd_waiters{mode="exclusive"}`:                                               3,
		`lockd_waiters{mode="shared"}`:                                                  3,
		`lockd_holders{mode="exclusive"}`:                                               1,
		`lockd_watchers`:                                                                1,
		`lockd_connections{transport="websocket"}`:                                      1,
		`lockd_refused_connections_total{reason="allow_from"}`:                          enough,
		`lockd_refused_connections_total{reason="connections"}`:                         enough,
		`lockd_refused_connections_total{reason="connections_per_ip"}`:                  enough,
		`lockd_refused_connections_total{reason="http_request"}`:                        enough,
		`lockd_refused_connections_total{reason="websocket_origin"}`:                    enough,
		`lockd_limited_commands_total{reason="locks_per_connection"}`:                   enough,
		`lockd_limited_commands_total{reason="table_bytes"}`:                            enough,
		`lockd_connections_limit`:                                                       60,
		`lockd_table_bytes_limit`:                                                       300_000,
		`lockd_connections_limit - on (instance) instance:lockd_connections:ratio * 60`: 0,
	} {
		p.becomes(t, expression, want)
	}
}
