package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockd/configs"
	"lockd/internal/config"
)

func TestConfigPageHasEveryKeyWithItsTextAndDefault(t *testing.T) {
	header, keys := splitShipped(string(configs.Default))
	if !strings.Contains(header, "A flag wins over the environment") {
		t.Errorf("the page begins with %q", header)
	}
	var names []string
	for _, k := range keys {
		if k.name == "" {
			continue
		}
		names = append(names, k.dotted())
		if k.text == "" || k.value == "" {
			t.Errorf("%s: text %q, default %q", k.dotted(), k.text, k.value)
		}
	}
	if want := config.Keys(); !slices.Equal(names, want) {
		t.Errorf("the page has the keys\n%q, want\n%q", names, want)
	}
}

func TestExampleOfConfigPageIsAGoodConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lockd.yaml")
	if err := os.WriteFile(path, []byte(configPageExample), 0o600); err != nil {
		t.Fatal(err)
	}
	none := func(string) (string, bool) { return "", false }
	loaded, err := config.Load(configOptions(path, environment{lookupEnv: none}))
	if err != nil || loaded.Config.Limits.LocksPerConnection != 1000 {
		t.Errorf("%v: %+v", err, loaded)
	}
}

func TestNothingInTextActsAsRoff(t *testing.T) {
	for text, want := range map[string]string{
		".TH":        `\&.TH`,
		"a\n.b\n'c":  "a\n\\&.b\n\\(aqc",
		`\fB -w ~^'`: `\efB \-w \(ti\(ha\(aq`,
		"`d`":        `\(gad\(ga`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
