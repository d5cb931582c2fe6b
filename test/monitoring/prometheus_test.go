package monitoring_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// scrapeInterval is that of the Prometheus here, in place of the 15 seconds that
// are deployed.
const scrapeInterval = 500 * time.Millisecond

// A prom is a running Prometheus.
type prom struct {
	*process
	dir     string
	address string
}

// startPrometheus starts one with the files of deploy/prometheus: scraping
// quicker, with rules changed by a function, and the configuration edited.
func startPrometheus(t *testing.T, target string, rules func(string) string, edits ...func(config string) string) *prom {
	t.Helper()
	dir := t.TempDir()
	p := &prom{dir: dir}
	p.configure(t, target, edits...)
	write(t, filepath.Join(dir, "lockd.rules.yml"), rules(read(t, deployed("prometheus", "lockd.rules.yml"))))
	p.process = start(t, dir, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
		"--web.listen-address=127.0.0.1:0")
	p.address = p.says(`msg="Listening on" address=(\S+)`)[1]
	p.says("Server is ready to receive web requests")
	return p
}

// configure writes the configuration.
func (p *prom) configure(t *testing.T, target string, edits ...func(config string) string) {
	t.Helper()
	config := read(t, deployed("prometheus", "prometheus.yml"))
	for was, becomes := range map[string]string{"lockd:9996": target, "_interval: 15s": "_interval: " + scrapeInterval.String()} {
		if !strings.Contains(config, was) {
			t.Fatalf("there is no %q in prometheus.yml", was)
		}
		config = strings.ReplaceAll(config, was, becomes)
	}
	for _, edit := range edits {
		config = edit(config)
	}
	write(t, filepath.Join(p.dir, "prometheus.yml"), config)
}

func asDeployed(rules string) string { return rules }

// quicker has alerts fire after a second, and a client wait for long after one.
func quicker(rules string) string {
	rules = regexp.MustCompile(`(?m)^(\s+for: ).*$`).ReplaceAllString(rules, "${1}1s")
	return strings.ReplaceAll(rules, "lockd_oldest_waiter_seconds > 600", "lockd_oldest_waiter_seconds > 1")
}

// get asks the API and decodes the data of its answer.
func (p *prom) get(t *testing.T, path string, values url.Values, data any) {
	t.Helper()
	answer, err := http.Get("http://" + p.address + path + "?" + values.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if body.Status != "success" {
		t.Fatalf("%s of %q: %s", path, values, body.Error)
	}
}

// query returns what an expression is now.
func (p *prom) query(t *testing.T, expression string) model.Vector {
	t.Helper()
	var data struct{ Result model.Vector }
	p.get(t, "/api/v1/query", url.Values{"query": {expression}}, &data)
	return data.Result
}

// A span is a time with steps, as that of a dashboard.
type span struct {
	from, to time.Time
	step     time.Duration
}

// queryRange returns what an expression was.
func (p *prom) queryRange(t *testing.T, expression string, s span) model.Matrix {
	t.Helper()
	var data struct{ Result model.Matrix }
	p.get(t, "/api/v1/query_range", url.Values{
		"query": {expression},
		"start": {seconds(s.from)}, "end": {seconds(s.to)}, "step": {fmt.Sprint(s.step.Seconds())},
	}, &data)
	return data.Result
}

func seconds(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }

// value is that of an expression with one result, and whether there is one.
func (p *prom) value(t *testing.T, expression string) (float64, bool) {
	t.Helper()
	result := p.query(t, expression)
	if len(result) != 1 {
		return 0, false
	}
	return float64(result[0].Value), true
}

// becomes waits until an expression has a value.
func (p *prom) becomes(t *testing.T, expression string, want float64) {
	t.Helper()
	eventually(t, func() (bool, any) {
		got, ok := p.value(t, expression)
		return ok && got == want, fmt.Sprintf("%s is %v (there: %v), want %v", expression, got, ok, want)
	})
}

// alerts waits until an alert is in a state, and returns its annotations.
func (p *prom) alerts(t *testing.T, name, state string) map[string]string {
	t.Helper()
	var found map[string]string
	eventually(t, func() (bool, any) {
		var data struct {
			Alerts []struct {
				Labels, Annotations map[string]string
				State               string
			}
		}
		p.get(t, "/api/v1/alerts", nil, &data)
		for _, a := range data.Alerts {
			if a.Labels["alertname"] == name && (a.State == state || a.State == "firing") {
				found = a.Annotations
			}
		}
		return found != nil, fmt.Sprintf("%s is not %s; there are %+v", name, state, data.Alerts)
	})
	return found
}
