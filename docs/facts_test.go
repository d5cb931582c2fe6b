package docs_test

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lockd/configs"
	"lockd/internal/config"
	"lockd/internal/locks"
	"lockd/internal/metrics"
	"lockd/internal/server"
	"lockd/test/markdown"
)

func TestKeysThatDocumentsNameExist(t *testing.T) {
	keys := config.Keys()
	sections := make(map[string]bool)
	for _, key := range keys {
		if section, _, nested := strings.Cut(key, "."); nested {
			sections[section] = true
		}
	}
	dotted := regexp.MustCompile("`([a-z]+)\\.([a-z_]+)`")
	for _, path := range documents(t) {
		for _, word := range dotted.FindAllStringSubmatch(prose(t, path), -1) {
			key := word[1] + "." + word[2]
			isFile := slices.Contains([]string{"go", "md", "yaml"}, word[2])
			if sections[word[1]] && !isFile && !slices.Contains(keys, key) {
				t.Errorf("%s names the key %s, which there is not", path, key)
			}
		}
	}
}

// The table of operations.md says of each key what a change needs; the same is
// in configs/lockd.yaml, which tests of the configuration hold against the code.
func TestEveryKeyIsInOperations(t *testing.T) {
	text := prose(t, "operations.md")
	_, table, found := strings.Cut(text, "| needs | keys |")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("operations.md has no table of what a change of a key needs")
	}
	for _, key := range config.Keys() {
		if strings.Count(table, "`"+key+"`") != 1 {
			t.Errorf("the table has the key %s %d times", key, strings.Count(table, "`"+key+"`"))
		}
		if row := rowWith(table, "`"+key+"`"); row != needsOf(t, key) {
			t.Errorf("the table has %s in the row %q, the code in %q", key, row, needsOf(t, key))
		}
		_, last, nested := strings.Cut(key, ".")
		if !nested {
			last = key
		}
		if !strings.Contains(string(configs.Default), "#"+last+":") {
			t.Errorf("configs/lockd.yaml does not explain %s", key)
		}
	}
}

// rowWith returns the first cell of the row of a table that has a text.
func rowWith(table, text string) string {
	for row := range strings.Lines(table) {
		if strings.Contains(row, text) {
			return strings.TrimSpace(strings.Split(row, "|")[1])
		}
	}
	return ""
}

// needsOf changes a key and asks the code what that needs.
func needsOf(t *testing.T, key string) string {
	t.Helper()
	load := func(values ...string) config.Config {
		o := config.Options{DefaultPath: filepath.Join(t.TempDir(), "none")}
		if len(values) > 0 {
			o.Overrides = []config.Override{{Key: key, Values: values, Origin: "test"}}
		}
		loaded, err := config.Load(o)
		if err != nil {
			return config.Config{}
		}
		return loaded.Config
	}
	for _, value := range []string{"4097", "true", "false", "7s", "any", "debug", "json", ":1", "/x", "x.example", "9"} {
		changes := config.Diff(load(), load(value))
		if len(changes) != 1 || changes[0].Key != key {
			continue // not a value of this key
		}
		switch changes[0].Reload {
		case config.AtReload:
			return "a reload"
		case config.NewConnections:
			return "a reload, and holds for clients that connect after it"
		}
		return "a restart"
	}
	t.Fatalf("no value was found to change %s to", key)
	return ""
}

func TestConfigurationsInDocumentsAreGood(t *testing.T) {
	found := 0
	for _, document := range documents(t) {
		for _, b := range markdown.Blocks(t, document) {
			if b.Language != "yaml" {
				continue
			}
			found++
			path := filepath.Join(t.TempDir(), "lockd.yaml")
			if err := os.WriteFile(path, []byte(b.Text), 0o600); err != nil {
				t.Fatal(err)
			}
			check := func(text string) error {
				_, err := server.ParseAddress(text)
				return err
			}
			if _, err := config.Load(config.Options{Path: path, CheckAddress: check}); err != nil {
				t.Errorf("%s:%d: %v", document, b.Line, err)
			}
		}
	}
	if found == 0 {
		t.Error("no configuration was found")
	}
}

// A running server is asked, so that nothing is held against a list that could
// be out of date as well.
func exposition(t *testing.T) string {
	t.Helper()
	table := locks.New(locks.Limits{}, locks.NewTokens(0))
	srv := server.New(server.Options{Table: table, Settings: server.DefaultSettings(), Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(srv.Destroy)
	registry := metrics.NewRegistry(metrics.Options{
		Stats: srv.Stats, Durations: table.Durations, Tokens: func() metrics.TokenStats { return metrics.TokenStats{} },
		Version: "v", Commit: "c", GoVersion: "g",
	})
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestMetricsInDocumentsAreThoseOnThePage(t *testing.T) {
	page := exposition(t)
	types := make(map[string]string)
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (lockd_\w+) (\w+)$`).FindAllStringSubmatch(page, -1) {
		types[line[1]] = line[2]
	}
	if len(types) < 10 {
		t.Fatalf("the page has %d metrics of lockd", len(types))
	}
	operations := read(t, "operations.md")
	for name, kind := range types {
		row := regexp.MustCompile("(?m)^\\| `" + name + "(\\{[a-z,]+\\})?` \\| " + kind + " \\|")
		if !row.MatchString(operations) {
			t.Errorf("operations.md has no row for %s, a %s", name, kind)
		}
	}
	for _, document := range documents(t) {
		for _, name := range regexp.MustCompile(`\b(lockd_[a-z_]+)\b`).FindAllStringSubmatch(read(t, document), -1) {
			family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name[1], "")
			if types[name[1]] == "" && types[family] != "histogram" && name[1] != "lockd_config" {
				t.Errorf("%s names the metric %s, which there is not", document, name[1])
			}
		}
	}
	for _, sample := range regexp.MustCompile("`(lockd_\\w+\\{\\w+=\"\\w+\"\\})`").FindAllStringSubmatch(operations, -1) {
		if !strings.Contains(page, sample[1]+" ") {
			t.Errorf("operations.md names %s, which is not on the page", sample[1])
		}
	}
}

// Every reason of a refusal has its advice.
func TestReasonsInDocumentsAreThoseOnThePage(t *testing.T) {
	operations := read(t, "operations.md")
	reasons := regexp.MustCompile(`(?m)^lockd_refused_connections_total\{reason="(\w+)"\}`).FindAllStringSubmatch(exposition(t), -1)
	if len(reasons) < 5 {
		t.Fatalf("the page has %d reasons", len(reasons))
	}
	for _, reason := range reasons {
		if !strings.Contains(operations, "\n| `"+reason[1]+"` | ") {
			t.Errorf("operations.md has no advice on %s", reason[1])
		}
	}
}

// The messages that operations.md explains are in the code, word for word.
func TestMessagesInDocumentsAreInTheCode(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "operations.md"), "| message | meaning |")
	table, _, _ = strings.Cut(table, "\n\n")
	messages := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1)
	if len(messages) < 5 {
		t.Fatalf("the table has %d messages", len(messages))
	}
	code := source(t)
	for _, m := range append(messages,
		[]string{"", "cannot accept, new clients wait"}, []string{"", "accepting again"},
		[]string{"", "exists and is no socket"}, []string{"", "exists and holds no process id"},
		[]string{"", "connection refused"}, []string{"", "suppressed_before"},
	) {
		for part := range strings.SplitSeq(m[1], `"..."`) {
			if !strings.Contains(code, part) {
				t.Errorf("no code says %q", part)
			}
		}
	}
}

// source is all of the code that runs.
func source(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range []string{"../cmd", "../internal"} {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") {
				b.WriteString(read(t, path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// The flags that operations.md explains are those that lockd explains.
func TestFlagsInDocumentsAreThoseOfTheCommand(t *testing.T) {
	out, err := exec.Command(filepath.Join(binaryDir(t), "lockd"), "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(read(t, "operations.md"), "| flag | key |")
	table, _, _ = strings.Cut(table, "\n\n")
	flag := regexp.MustCompile(`--[a-z][a-z-]+`)
	there := flag.FindAllString(string(out), -1)
	shown := append(flag.FindAllString(table, -1), "--config", "--help")
	for _, f := range there {
		if !slices.Contains(shown, f) {
			t.Errorf("operations.md does not show %s", f)
		}
	}
	for _, f := range shown {
		if !slices.Contains(there, f) {
			t.Errorf("operations.md shows %s, which there is not", f)
		}
	}
	if len(there) < 10 {
		t.Errorf("only %d flags were found", len(there))
	}
}
