package monitoring_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
)

// A board is what is looked at of the dashboard.
type board struct {
	Title      string
	Templating struct{ List []variable }
	Panels     []panel
}

type variable struct {
	Name, Type string
	Query      json.RawMessage
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ Type, UID string }
	Targets     []target
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Decimals   *int
			Max        *float64
			Mappings   []mapping
			Thresholds struct{ Steps []threshold }
		}
	}
	Options struct{ TextMode string }
}

type target struct {
	Expr, LegendFormat string
	Instant            bool
	Datasource         struct{ Type, UID string }
}

type threshold struct {
	Color string
	Value *float64
}

type mapping struct {
	Options map[string]struct{ Text, Color string }
}

func readBoard(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal([]byte(read(t, deployed("grafana", "lockd.json"))), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// values are those of the variables of the dashboard, by their names.
type values map[string]string

// labelValues asks what Grafana asks for label_values(METRIC, LABEL), and
// returns the values as it puts them into a regular expression.
func (p *prom) labelValues(t *testing.T, query string) string {
	t.Helper()
	parts := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(query)
	if parts == nil {
		t.Fatalf("%q is no label_values(METRIC, LABEL)", query)
	}
	var found []string
	p.get(t, "/api/v1/label/"+parts[2]+"/values", url.Values{"match[]": {parts[1]}}, &found)
	for i := range found {
		found[i] = regexp.QuoteMeta(found[i])
	}
	if len(found) == 1 {
		return found[0]
	}
	if len(found) == 0 {
		t.Errorf("%s has no values", query)
	}
	return "(" + strings.Join(found, "|") + ")"
}

// variables asks for all of them, with what the ones before have come to.
func (b board) variables(t *testing.T, p *prom, s span) values {
	t.Helper()
	v := values{"__rate_interval": fmt.Sprintf("%dms", max(s.step+scrapeInterval, 4*scrapeInterval).Milliseconds())}
	for _, variable := range b.Templating.List {
		if variable.Type != "query" {
			continue
		}
		var query struct{ Query string }
		if err := json.Unmarshal(variable.Query, &query); err != nil {
			t.Fatal(err)
		}
		v[variable.Name] = p.labelValues(t, v.in(t, query.Query))
	}
	return v
}

// in puts the variables into an expression. In PromQL's quotes each \ is two.
func (v values) in(t *testing.T, expression string) string {
	t.Helper()
	return regexp.MustCompile(`\$\{?\w+\}?`).ReplaceAllStringFunc(expression, func(name string) string {
		value, ok := v[strings.Trim(name, "${}")]
		if !ok {
			t.Errorf("there is no variable %s", name)
		}
		return strings.ReplaceAll(value, `\`, `\\`)
	})
}

// run does what Grafana does: a target is asked for now, or for the whole time.
func (p *prom) run(t *testing.T, target target, v values, s span) model.Matrix {
	t.Helper()
	expression := v.in(t, target.Expr)
	if !target.Instant {
		return p.queryRange(t, expression, s)
	}
	var matrix model.Matrix
	for _, sample := range p.query(t, expression) {
		matrix = append(matrix, &model.SampleStream{Metric: sample.Metric, Values: []model.SamplePair{{Timestamp: sample.Timestamp, Value: sample.Value}}})
	}
	return matrix
}

// legend is what Grafana calls a series.
func legend(format string, metric model.Metric) string {
	return strings.TrimSpace(regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`).ReplaceAllStringFunc(format, func(name string) string {
		return string(metric[model.LabelName(strings.Trim(name, "{} "))])
	}))
}

// always0 are panels all of whose values may be 0, in a server that is well.
var always0 = []string{"Restarts, 24 hours", "Alerts firing"}

// queriesHaveData runs every query of the dashboard over a time in which each
// metric has moved.
func queriesHaveData(t *testing.T, p *prom, s span) {
	b := readBoard(t)
	v := b.variables(t, p, s)
	queries := 0
	for _, panel := range b.Panels {
		moved := slices.Contains(always0, panel.Title) || panel.Type == "row"
		for _, target := range panel.Targets {
			queries++
			result := p.run(t, target, v, s)
			if numbers(result) == 0 {
				t.Errorf("%s: %s has no data", panel.Title, v.in(t, target.Expr))
			}
			for _, series := range result {
				if name := legend(target.LegendFormat, series.Metric); name == "" {
					t.Errorf("%s: a series has no name: %v", panel.Title, series.Metric)
				}
				moved = moved || slices.ContainsFunc(series.Values, func(v model.SamplePair) bool { return v.Value > 0 })
			}
		}
		if !moved {
			t.Errorf("%s: all is 0", panel.Title)
		}
	}
	if queries < 25 {
		t.Errorf("only %d queries were run", queries)
	}
}

// numbers counts the values that are some.
func numbers(m model.Matrix) (n int) {
	for _, series := range m {
		for _, v := range series.Values {
			if !math.IsNaN(float64(v.Value)) {
				n++
			}
		}
	}
	return n
}
