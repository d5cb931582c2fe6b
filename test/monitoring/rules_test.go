package monitoring_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"lockd/test/needs"
)

// An alert is one of the rules. The recording rules have no name here.
type alert struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) (all []alert) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	if err := yaml.Unmarshal([]byte(read(t, deployed("prometheus", "lockd.rules.yml"))), &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	for _, rule := range rules(t) {
		if rule.Alert != "" {
			all = append(all, rule)
		}
	}
	if len(all) < 7 {
		t.Fatalf("only %d alerts were found", len(all))
	}
	return all
}

func TestPromtoolFindsNothingWrong(t *testing.T) {
	promtool(t, "", "check", "config", deployed("prometheus", "prometheus.yml"))
	promtool(t, "", "check", "rules", deployed("prometheus", "lockd.rules.yml"))
	promtool(t, "", "test", "rules", deployed("prometheus", "lockd.rules.test.yml"))
}

func TestEachRuleIsTestedAndEachAlertWhereItFiresAndWhereNot(t *testing.T) {
	var file struct {
		Tests []struct {
			Alerts []struct {
				Alertname string
				Expected  []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
			Records []struct{ Expr string } `yaml:"promql_expr_test"`
		}
	}
	text := read(t, deployed("prometheus", "lockd.rules.test.yml"))
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	fires, silent, records := map[string]int{}, map[string]int{}, ""
	for _, test := range file.Tests {
		fired := false
		for _, a := range test.Alerts {
			fired = fired || len(a.Expected) > 0
			fires[a.Alertname] += len(a.Expected)
		}
		for _, a := range test.Alerts {
			if !fired { // with series of its own
				silent[a.Alertname]++
			}
		}
		for _, r := range test.Records {
			records += r.Expr + "\n"
		}
	}
	for _, rule := range rules(t) {
		switch {
		case rule.Record != "" && !strings.Contains(records, rule.Record):
			t.Errorf("%s is not tested", rule.Record)
		case rule.Alert != "" && (fires[rule.Alert] == 0 || silent[rule.Alert] == 0):
			t.Errorf("%s has %d tests in which it fires and %d in which it must not", rule.Alert, fires[rule.Alert], silent[rule.Alert])
		}
	}
}

func TestEachAlertSaysWhatItIsAndWhereAndWhatToDo(t *testing.T) {
	jargon := regexp.MustCompile(`(?i)goroutine|mutex|panic|EMFILE|rate\(|\bsession\b|_total`)
	operations := read(t, filepath.Join(needs.Repository(), "docs", "operations.md"))
	_, section, found := strings.Cut(operations, "\n## Alerts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("docs/operations.md has no section Alerts")
	}
	for _, a := range alerts(t) {
		summary, description := a.Annotations["summary"], a.Annotations["description"]
		if severity := a.Labels["severity"]; !strings.Contains(severity, "warning") && severity != "critical" {
			t.Errorf("%s has the severity %q", a.Alert, severity)
		}
		if !strings.Contains(summary, "lockd") || len(summary) > 120 || len(description) < 80 || jargon.MatchString(summary+description) {
			t.Errorf("%s is not told plainly: %q, %q", a.Alert, summary, description)
		}
		if a.Alert != "LockdNotScraped" && !strings.Contains(summary+description, "$labels.instance") {
			t.Errorf("%s does not say which server it is about", a.Alert)
		}
		if want := "docs/operations.md#" + strings.ToLower(a.Alert); a.Annotations["runbook"] != want {
			t.Errorf("%s has the runbook %q, want %q", a.Alert, a.Annotations["runbook"], want)
		}
		if strings.Count(section, "\n### "+a.Alert+"\n") != 1 {
			t.Errorf("docs/operations.md has not one section %s", a.Alert)
		}
	}
	names := regexp.MustCompile(`\bLockd[A-Z]\w+`).FindAllString(operations+read(t, deployed("grafana", "lockd.json")), -1)
	for _, name := range names {
		if !slices.ContainsFunc(alerts(t), func(a alert) bool { return a.Alert == name }) {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// Every metric that the rules and the dashboard name is one of the table in
// docs/operations.md, which is held against a running server.
func TestRulesAndDashboardNameMetricsThatThereAre(t *testing.T) {
	operations := read(t, filepath.Join(needs.Repository(), "docs", "operations.md"))
	text := read(t, deployed("prometheus", "lockd.rules.yml")) + read(t, deployed("prometheus", "lockd.rules.test.yml")) +
		read(t, deployed("grafana", "lockd.json"))
	found := 0
	for _, name := range regexp.MustCompile(`(^|[^:\w])(lockd_[a-z_]+)\b([^:]|$)`).FindAllStringSubmatch(text, -1) {
		found++
		metric := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name[2], "")
		if !regexp.MustCompile("(?m)^\\| `" + metric + "[`{]").MatchString(operations) {
			t.Errorf("there is no metric %s", name[2])
		}
	}
	if found < 50 {
		t.Errorf("only %d names of metrics were found", found)
	}
}

func TestProvisioningNamesWhatThereIs(t *testing.T) {
	for file, wants := range map[string][]string{
		"datasources/lockd.yaml": {"type: prometheus", "uid: prometheus", "timeInterval: 15s"},
		"dashboards/lockd.yaml":  {"type: file", "path: /var/lib/grafana/dashboards"},
	} {
		path := deployed("grafana", "provisioning", file)
		text := read(t, path)
		var parsed map[string]any
		if err := yaml.Unmarshal([]byte(text), &parsed); err != nil || parsed["apiVersion"] != 1 {
			t.Errorf("%s: %v, %v", file, parsed["apiVersion"], err)
		}
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %q", file, want)
			}
		}
	}
	if _, err := os.Stat(deployed("grafana", "lockd.json")); err != nil {
		t.Error(err)
	}
}
