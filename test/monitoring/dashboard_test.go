package monitoring_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// gridWidth is how many columns a dashboard has.
const gridWidth = 24

// strictly is what Grafana's own schema has against a dashboard. Its library
// reports no error as an error without text.
func strictly(raw []byte) string {
	runtime := cog.NewRuntime()
	runtime.RegisterPanelcfgVariant(stat.VariantConfig())
	runtime.RegisterPanelcfgVariant(timeseries.VariantConfig())
	runtime.RegisterDataqueryVariant(prometheus.VariantConfig())
	var problems []string
	note := func(what string, err error) {
		if err != nil && err.Error() != "" {
			problems = append(problems, what+": "+err.Error())
		}
	}
	//lint:ignore SA1019 what is newer, dashboardv2, is no format that Grafana imports everywhere
	var d dashboard.Dashboard
	note("strict", d.UnmarshalJSONStrict(raw))
	note("lenient", json.Unmarshal(raw, &d))
	note("valid", d.Validate())
	// What the library itself does not parse strictly.
	var parts struct {
		Panels []struct{ FieldConfig json.RawMessage }
	}
	note("parts", json.Unmarshal(raw, &parts))
	for i, panel := range parts.Panels {
		var config dashboard.FieldConfigSource
		note(fmt.Sprintf("panels[%d].fieldConfig", i), config.UnmarshalJSONStrict(panel.FieldConfig))
	}
	return strings.Join(problems, "\n")
}

func TestTheDashboardIsAsGrafanasSchemaWants(t *testing.T) {
	raw := read(t, deployed("grafana", "lockd.json"))
	if problems := strictly([]byte(raw)); problems != "" {
		t.Error(problems)
	}
	for was, becomes := range map[string]string{
		`"gridPos"`: `"gridpos"`, `"textMode": "auto"`: `"textMode": 1`, `"lineWidth"`: `"linewidth"`,
		`"thresholds": {`: `"threshold": {`, `"legendFormat"`: `"legend"`, `"templating"`: `"variables"`,
	} {
		if broken := strings.Replace(raw, was, becomes, 1); broken == raw || strictly([]byte(broken)) == "" {
			t.Errorf("%s for %s is taken as well", becomes, was)
		}
	}
}

func TestTheDashboardAnswersFromTopToBottom(t *testing.T) {
	var rows []string
	for _, p := range readBoard(t).Panels {
		if p.Type == "row" {
			rows = append(rows, p.Title)
		}
	}
	want := []string{"Is it up?", "How busy is it?", "Who waits?", "What is slow?", "What is lost?"}
	if !slices.Equal(rows, want) {
		t.Errorf("the rows are %q, want %q", rows, want)
	}
}

func TestPanelsFillTheGridAndLieBesideEachOther(t *testing.T) {
	taken, ids, bottom := map[[2]int]string{}, map[int]string{}, 0
	for _, p := range readBoard(t).Panels {
		if other, twice := ids[p.ID]; twice || p.ID == 0 {
			t.Errorf("%q has the id %d, as has %q", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X < 0 || g.X+g.W > gridWidth {
			t.Fatalf("%q does not fit the grid: %+v", p.Title, g)
		}
		if g.Y < bottom-g.H {
			t.Errorf("%q is above those before it", p.Title)
		}
		bottom = max(bottom, g.Y+g.H)
		for cell := range g.W * g.H {
			at := [2]int{g.X + cell%g.W, g.Y + cell/g.W}
			if other := taken[at]; other != "" {
				t.Fatalf("%q lies on %q", p.Title, other)
			}
			taken[at] = p.Title
		}
	}
	if len(taken) != bottom*gridWidth {
		t.Errorf("panels fill %d of %d cells", len(taken), bottom*gridWidth)
	}
}

func TestEachPanelSaysWhatItShows(t *testing.T) {
	const source = "${datasource}"
	for _, p := range readBoard(t).Panels {
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || len(p.Description) < 20 || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d (%q) lacks a title, description, unit or query", p.ID, p.Title)
		}
		if p.Datasource.UID != source || p.Datasource.Type != "prometheus" {
			t.Errorf("%q asks %+v", p.Title, p.Datasource)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != source || target.LegendFormat == "" {
				t.Errorf("%q has a query without the data source of the dashboard, or without a legend", p.Title)
			}
			if !strings.Contains(target.Expr, `job=~"$job", instance=~"$instance"`) && !strings.Contains(target.Expr, "ALERTS") {
				t.Errorf("%q does not look at the chosen servers: %s", p.Title, target.Expr)
			}
			if strings.Contains(target.Expr, "rate(") && !strings.Contains(target.Expr, "[$__rate_interval]") {
				t.Errorf("%q has a rate over a time that does not fit the picture: %s", p.Title, target.Expr)
			}
		}
	}
}
