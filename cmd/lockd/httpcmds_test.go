package main

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rogpeppe/go-internal/testscript"

	dto "github.com/prometheus/client_model/go"
)

// cmdGet gets a page, holds its status and body against what is wanted, and has its body
// as standard output: get [-eventually] URL STATUS [REGEXP]. With ! there must be
// no answer.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		if status, _, err := get(args[0]); err == nil {
			ts.Fatalf("answered %d", status)
		}
		return
	}
	try := func(f func() error) error { return f() }
	if args[0] == "-eventually" {
		args, try = args[1:], eventually
	}
	re, err := regexp.Compile("(?m)" + append(args, "")[2])
	ts.Check(err)
	body := ""
	err = try(func() error {
		status, text, err := get(args[0])
		if err == nil && strconv.Itoa(status) != args[1] {
			err = fmt.Errorf("answered %d, want %s:\n%s", status, args[1], text)
		}
		body = text
		if err == nil && !re.MatchString(text) {
			err = fmt.Errorf("no match for %q in\n%s", re, text)
		}
		return err
	})
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), body)
}

// get asks over a connection of its own, which is then closed: one kept open
// would be one more thing for the server to end.
func get(url string) (status int, body string, err error) {
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// cmdTally holds every counter of q, as a client is told it, against its metric:
// tally CLIENT URL.
func cmdTally(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	counters, err := askCounters(clientOf(ts, args[0]))
	ts.Check(err)
	_, text, err := get(args[1])
	ts.Check(err)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	ts.Check(err)
	for name, want := range counters {
		if got, err := metricOf(families, name); err != nil || got != want {
			ts.Fatalf("%s is %v by q and %v on /metrics, %v", name, want, got, err)
		}
	}
	fmt.Fprintf(ts.Stdout(), "%d counters agree\n", len(counters))
}

// askCounters returns what q tells, brought up to date: the me before it makes
// command_me one of the counters, the me behind it is how its end is seen, at
// level 1 too.
func askCounters(c *peer) (map[string]float64, error) {
	if _, err := io.WriteString(c.conn, "me\nq\nme\n"); err != nil {
		return nil, err
	}
	if _, err := c.lines(1); err != nil {
		return nil, err
	}
	counters := make(map[string]float64)
	for {
		lines, err := c.lines(1)
		if err != nil {
			return nil, err
		}
		if lines[0] == "" { // ends q at level 2
			continue
		}
		name, value, found := strings.Cut(lines[0], ": ")
		if !found {
			counters["command_me"]++
			return counters, nil
		}
		if counters[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, err
		}
	}
}

// metricOf returns the metric that shows a counter of q; of connections it is a
// sum.
func metricOf(families map[string]*dto.MetricFamily, counter string) (float64, error) {
	sample, label := counter, ""
	switch counter {
	case "invalid_commands":
		sample = "lockd_invalid_commands_total"
	case "connections":
		sample = "lockd_connections"
	case "locks", "shared_locks":
		sample, label = "lockd_locks", modeOf(counter)
	case "orphans", "shared_orphans":
		sample, label = "lockd_orphans_total", modeOf(counter)
	default:
		sample, label = "lockd_commands_total", strings.TrimPrefix(counter, "command_")
	}
	sum, found := 0.0, false
	for _, m := range families[sample].GetMetric() {
		if label == "" || m.GetLabel()[0].GetValue() == label {
			sum, found = sum+m.GetCounter().GetValue()+m.GetGauge().GetValue(), true
		}
	}
	if !found {
		return 0, fmt.Errorf("there is no %s with the label %q", sample, label)
	}
	return sum, nil
}

func modeOf(counter string) string {
	if strings.HasPrefix(counter, "shared_") {
		return "shared"
	}
	return "exclusive"
}
