package container_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"lockd/test/needs"
)

const composePath = "deploy/docker/compose.yaml"

// prometheusTag is the image that the compose file runs.
func prometheusTag() (string, error) {
	text, err := os.ReadFile(filepath.Join(needs.Repository(), composePath))
	if err != nil {
		return "", err
	}
	var file struct {
		Services map[string]struct{ Image string }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return "", err
	}
	image := file.Services["prometheus"].Image
	if !strings.HasPrefix(image, "prom/prometheus:v") {
		return "", fmt.Errorf("%s: Prometheus is of the image %q", composePath, image)
	}
	return image, nil
}

// compose runs docker compose with the file, from the top of the checkout.
func compose(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", append([]string{"compose", "-f", composePath}, args...)...)
	cmd.Dir = needs.Repository()
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker compose %s: %v\n%s", strings.Join(args, " "), err, problems.Bytes())
	}
	return string(out)
}

// A composed is a service as docker compose config tells of it.
type composed struct {
	Image       string            `json:"image"`
	ReadOnly    bool              `json:"read_only"`
	CapDrop     []string          `json:"cap_drop"`
	SecurityOpt []string          `json:"security_opt"`
	StopGrace   string            `json:"stop_grace_period"`
	Environment map[string]string `json:"environment"`
	Ports       []struct {
		HostIP string `json:"host_ip"`
		Target int    `json:"target"`
	} `json:"ports"`
	Volumes []struct {
		Type     string `json:"type"`
		Source   string `json:"source"`
		Target   string `json:"target"`
		ReadOnly bool   `json:"read_only"`
	} `json:"volumes"`
}

func composedServices(t *testing.T) map[string]composed {
	t.Helper()
	var project struct{ Services map[string]composed }
	if err := json.Unmarshal([]byte(compose(t, "config", "--format", "json")), &project); err != nil {
		t.Fatal(err)
	}
	if len(project.Services) != 3 {
		t.Fatalf("there are %d services", len(project.Services))
	}
	return project.Services
}

func TestComposeFileIsValidAndCareful(t *testing.T) {
	need(t)
	for name, s := range composedServices(t) {
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s has capabilities, or may get some", name)
		}
		if !s.ReadOnly && name != "grafana" {
			t.Errorf("%s may write its image", name)
		}
		if name != "lockd" && !regexp.MustCompile(`:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
			t.Errorf("the version of %s is not pinned: %s", name, s.Image)
		}
		if len(s.Ports) == 0 {
			t.Errorf("%s has no ports", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("port %d of %s is open at %q", port.Target, name, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != "bind" {
				continue
			}
			if info, err := os.Stat(v.Source); err != nil || !info.Mode().IsRegular() || !v.ReadOnly {
				t.Errorf("%s mounts %s: %v, read only: %v", name, v.Source, err, v.ReadOnly)
			}
		}
		for variable := range s.Environment {
			if strings.Contains(variable, "PASSWORD") {
				t.Errorf("%s has a password that everybody knows", name)
			}
		}
	}
}

// What the files for Grafana say of each other. Grafana itself is not run: it
// comes from a registry only.
func TestGrafanaFindsItsFiles(t *testing.T) {
	need(t)
	grafana := composedServices(t)["grafana"]
	mounted := make(map[string]string)
	for _, v := range grafana.Volumes {
		mounted[v.Target] = v.Source
	}
	var source struct {
		Datasources []struct{ UID, Type, URL, Access string }
	}
	readYAML(t, mounted["/etc/grafana/provisioning/datasources/lockd.yaml"], &source)
	if len(source.Datasources) != 1 || source.Datasources[0].Type != "prometheus" || source.Datasources[0].URL != "http://prometheus:9090" {
		t.Fatalf("the data sources are %+v", source)
	}
	var dashboards struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, mounted["/etc/grafana/provisioning/dashboards/lockd.yaml"], &dashboards)
	if len(dashboards.Providers) != 1 {
		t.Fatalf("the dashboards come from %+v", dashboards)
	}
	path := dashboards.Providers[0].Options.Path + "/lockd.json"
	text, err := os.ReadFile(mounted[path])
	if err != nil || grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] != path {
		t.Fatalf("the dashboard %s is not there, or not shown first: %v", path, err)
	}
	if !json.Valid(text) {
		t.Error("the dashboard is no JSON")
	}
	for _, uid := range regexp.MustCompile(`"type": "prometheus",\s*"uid": "([^"]*)"`).FindAllSubmatch(text, -1) {
		if string(uid[1]) != source.Datasources[0].UID && !strings.HasPrefix(string(uid[1]), "$") {
			t.Errorf("the dashboard asks the data source %q", uid[1])
		}
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// query asks Prometheus for what its API has under a path.
func query(t *testing.T, path string, into any) {
	t.Helper()
	answer := struct {
		Status string
		Data   any
	}{Data: into}
	body := get(t, "127.0.0.1:9090", "/api/v1/"+path)
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != "success" {
		t.Fatalf("Prometheus answers %v\n%s", err, body)
	}
}

// All that can be had here of the file's three services is started: lockd, built
// from the checkout, and Prometheus.
func TestComposeServesAndPrometheusScrapes(t *testing.T) {
	needImage(t)
	t.Parallel()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(compose(t, "logs"))
		}
		compose(t, "down", "--volumes", "--timeout", "1")
	})
	compose(t, "up", "--detach", "lockd", "prometheus")
	answers(t, "127.0.0.1:9996", "/", "ready")
	holder := connect(t, "127.0.0.1:9999")
	holder.want("g foo", "1 Lock Get Success: foo")
	answers(t, "127.0.0.1:9090", "/-/ready", "Ready")
	wantScraped(t)
	wantRules(t)
	compose(t, "stop", "lockd") // the holder stays: it waits for the grace, within the time it has
	if out := compose(t, "ps", "--all", "--format", "{{.Service}} {{.ExitCode}}", "lockd"); strings.TrimSpace(out) != "lockd 0" {
		t.Errorf("after the stop: %q", out)
	}
}

// wantScraped waits until Prometheus has the lock that is held. It scrapes each
// fifteen seconds, the first time somewhere within these.
func wantScraped(t *testing.T) {
	t.Helper()
	var got struct {
		Result []struct {
			Metric map[string]string
			Value  []any
		}
	}
	eventually(t, "Prometheus has scraped lockd", func() bool {
		query(t, "query?query="+url.QueryEscape(`lockd_locks{job="lockd",mode="exclusive"}`), &got)
		return len(got.Result) == 1 && got.Result[0].Value[1] == "1"
	})
	if instance := got.Result[0].Metric["instance"]; instance != "lockd:9996" {
		t.Errorf("the instance is %s", instance)
	}
}

// wantRules compares the rules that Prometheus has with those of the file.
func wantRules(t *testing.T) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct{ Record, Alert string }
		}
	}
	readYAML(t, filepath.Join(needs.Repository(), "deploy/prometheus/lockd.rules.yml"), &file)
	var want []string
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			want = append(want, rule.Record+rule.Alert)
		}
	}
	if len(want) < 5 {
		t.Fatalf("the file has the rules %q", want)
	}
	eventually(t, "Prometheus has evaluated the rules, and they are healthy", func() bool {
		var loaded struct {
			Groups []struct {
				Rules []struct{ Name, Health string }
			}
		}
		query(t, "rules", &loaded)
		var have []string
		for _, group := range loaded.Groups {
			for _, rule := range group.Rules {
				if rule.Health == "ok" {
					have = append(have, rule.Name)
				}
			}
		}
		slices.Sort(have)
		slices.Sort(want)
		return slices.Equal(have, want)
	})
}
