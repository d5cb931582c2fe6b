package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSettingsAreAllKeysInTheirOrder(t *testing.T) {
	var got []string
	for _, s := range load(t, alone(t)).Settings() {
		got = append(got, s.Key)
	}
	if !slices.Equal(got, Keys()) {
		t.Errorf("got %q, want %q", got, Keys())
	}
}

func TestPrintShowsValuesWithTheirOrigins(t *testing.T) {
	o := Options{
		Path:      writeFile(t, "listen:\n- tcp://127.0.0.1:1\n- tcp://[::1]:1\n"),
		LookupEnv: environment(map[string]string{"LOCKD_LOG_LEVEL": "debug"}),
		Overrides: []Override{{"features.dump", []string{"false"}, "flag --disable-dump"}},
		Passed:    []string{"http"},
	}
	var out strings.Builder
	if err := load(t, o).Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"listen: ['tcp://127.0.0.1:1', 'tcp://[::1]:1']  # file " + o.Path + ":1\n",
		"features:\n  dump: false     # flag --disable-dump\n  registry: true  # default\nlimits:\n",
		"log:\n  level: debug  # environment LOCKD_LOG_LEVEL\n",
		"http: \"\"", "# systemd socket\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

// texts draws good values of a key, as flags give them.
func texts(rt *rapid.T, key string) []string {
	one := func(words ...string) []string { return []string{rapid.SampledFrom(words).Draw(rt, key)} }
	switch key {
	case "listen":
		return rapid.SliceOf(rapid.SampledFrom([]string{
			"tcp://:9999", "tcp://[::1]:1", "unix:///run/a b, c.sock?mode=0660&group=lockd", "ws://:1", "true", "~", "# x", "- y",
		})).Draw(rt, key)
	case "http":
		return one("", ":0", "127.0.0.1:80", "[::1]:80", "localhost:9996")
	case "http_web_config", "state_dir", "pid_file":
		text := rapid.String().Draw(rt, key)
		if checkText(text) != nil {
			text = `C:\"'#: ` + "\u200b\u202e\U0001f512 "
		}
		return []string{text}
	case "http_pprof", "features.dump", "features.registry":
		return one("true", "false")
	case "allow_from":
		return rapid.SliceOf(rapid.SampledFrom([]string{"loopback", "private", "any", "10.0.0.0/8", "::1", "fe80::/10", "::/0"})).Draw(rt, key)
	case "admin_from":
		return rapid.SliceOf(rapid.SampledFrom([]string{"unix", "loopback", "private", "any", "10.0.0.0/8", "::1"})).Draw(rt, key)
	case "websocket.origins":
		return rapid.SliceOf(rapid.SampledFrom([]string{"a.example", "a.example:1", "127.0.0.1", "[::1]:8443", "null", "1e3", "010"})).Draw(rt, key)
	case "keepalive.idle", "keepalive.interval":
		return one("1s", "1m", "1h1s", "32767s", "59m59s")
	case "keepalive.count":
		return one("1", "3", "127")
	case "keepalive.user_timeout":
		return one("0", "1s", "1.001s", "596h", "1h")
	case "shutdown.grace":
		return one("0", "forever", "1ns", "1h", "1m30s", "100h0m1s", "1.5us")
	case "log.level":
		return one("debug", "info", "warn", "error")
	case "log.format":
		return one("auto", "text", "color", "json", "journal")
	}
	return one("4096", "65536", "1000000")
}

func TestPrintedConfigurationLoadsToTheSame(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		o := Options{DefaultPath: filepath.Join(dir, "none")}
		for _, key := range Keys() {
			if rapid.Bool().Draw(rt, "set "+key) {
				o.Overrides = append(o.Overrides, Override{key, texts(rt, key), "flag --x"})
			}
		}
		first, err := Load(o)
		if err != nil {
			rt.Fatal(err)
		}
		var printed bytes.Buffer
		if err := first.Print(&printed); err != nil {
			rt.Fatal(err)
		}
		path := filepath.Join(dir, "lockd.yaml")
		if err := os.WriteFile(path, printed.Bytes(), 0o600); err != nil {
			rt.Fatal(err)
		}
		second, err := Load(Options{Path: path})
		if err != nil {
			rt.Fatalf("%v\n%s", err, &printed)
		}
		if !reflect.DeepEqual(first.Config, second.Config) {
			rt.Fatalf("\n%+v became\n%+v by\n%s", first.Config, second.Config, &printed)
		}
	})
}

func TestDiffOfTheSameIsEmpty(t *testing.T) {
	if changes := Diff(Default(), Default()); changes != nil {
		t.Errorf("got %+v", changes)
	}
}

func TestDiffNamesEveryChangedKeyAndWhatItNeeds(t *testing.T) {
	o := alone(t)
	for _, key := range Keys() {
		o.Overrides = append(o.Overrides, Override{key, examples()[key].texts, "flag --x"})
	}
	changes := Diff(Default(), load(t, o).Config)
	reloads := map[string]Reload{
		"listen": Restart, "http": Restart, "http_web_config": EachRequest, "http_pprof": Restart, "state_dir": Restart, "pid_file": Restart,
		"allow_from": NewConnections, "keepalive.idle": NewConnections, "keepalive.interval": NewConnections,
		"keepalive.count": NewConnections, "keepalive.user_timeout": NewConnections,
	}
	var keys []string
	for _, c := range changes {
		keys = append(keys, c.Key)
		want := Change{c.Key, yamlText(Default().value(c.Key)), examples()[c.Key].want, reloads[c.Key]}
		if c != want {
			t.Errorf("got %+v, want %+v", c, want)
		}
	}
	if !slices.Equal(keys, Keys()) {
		t.Errorf("changed keys %q, want all", keys)
	}
}

func TestReloadIsEnoughForLiveValuesOnly(t *testing.T) {
	for reload, want := range map[Reload]bool{AtReload: true, NewConnections: true, EachRequest: false, Restart: false} {
		if reload.Applies() != want {
			t.Errorf("%s: Applies() = %t", reload, !want)
		}
	}
}
