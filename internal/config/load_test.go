package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// example is a good value of a key that is not its default, in every way users
// write it.
type example struct {
	file  string   // as YAML
	texts []string // as flags give it; joined with blanks it is the environment's
	want  string   // as Settings shows it
}

func examples() map[string]example {
	return map[string]example{
		"listen": {
			`["tcp://[::1]:1", unix:///run/lockd.sock]`,
			[]string{"tcp://[::1]:1", "unix:///run/lockd.sock"},
			`['tcp://[::1]:1', 'unix:///run/lockd.sock']`,
		},
		"http":                        {`"[::1]:80"`, []string{"[::1]:80"}, `'[::1]:80'`},
		"http_web_config":             {`/etc/lockd/web.yaml`, []string{"/etc/lockd/web.yaml"}, `/etc/lockd/web.yaml`},
		"http_pprof":                  {`true`, []string{"true"}, `true`},
		"allow_from":                  {`[any, 10.0.0.0/8]`, []string{"any", "10.0.0.0/8"}, `[any, 10.0.0.0/8]`},
		"admin_from":                  {`[unix, 10.0.0.0/8]`, []string{"unix", "10.0.0.0/8"}, `[unix, 10.0.0.0/8]`},
		"features.dump":               {`false`, []string{"false"}, `false`},
		"features.registry":           {`false`, []string{"false"}, `false`},
		"limits.connections":          {`100`, []string{"100"}, `100`},
		"limits.connections_per_ip":   {`10`, []string{"10"}, `10`},
		"limits.locks_per_connection": {`7`, []string{"7"}, `7`},
		"limits.table_bytes":          {`9223372036854775807`, []string{"9223372036854775807"}, `9223372036854775807`},
		"limits.snapshot_bytes":       {`1`, []string{"1"}, `1`},
		"limits.line_bytes":           {`64`, []string{"64"}, `64`},
		"limits.reply_backlog_bytes":  {`4096`, []string{"4096"}, `4096`},
		"websocket.origins":           {"\n    - a.example\n    - '[::1]:8443'", []string{"a.example", "[::1]:8443"}, `[a.example, '[::1]:8443']`},
		"keepalive.idle":              {`32767s`, []string{"32767s"}, `9h6m7s`},
		"keepalive.interval":          {`1m`, []string{"1m"}, `1m`},
		"keepalive.count":             {`127`, []string{"127"}, `127`},
		"keepalive.user_timeout":      {`0`, []string{"0"}, `0s`},
		"shutdown.grace":              {`forever`, []string{"forever"}, `forever`},
		"log.level":                   {`debug`, []string{"debug"}, `debug`},
		"log.format":                  {`json`, []string{"json"}, `json`},
		"state_dir":                   {`"/var/lib/my lockd"`, []string{"/var/lib/my lockd"}, `/var/lib/my lockd`},
		"pid_file":                    {`"/run/my lockd.pid"`, []string{"/run/my lockd.pid"}, `/run/my lockd.pid`},
	}
}

// yamlFor returns the lines of a file that sets key.
func yamlFor(key, value string) string {
	section, last, nested := strings.Cut(key, ".")
	if !nested {
		return key + ": " + value + "\n"
	}
	return section + ":\n  " + last + ": " + value + "\n"
}

func writeFile(t testing.TB, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lockd.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func environment(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		text, found := variables[name]
		return text, found
	}
}

// alone returns options under which nothing of this machine counts.
func alone(t testing.TB) Options {
	return Options{DefaultPath: filepath.Join(t.TempDir(), "none")}
}

func load(t *testing.T, o Options) *Loaded {
	t.Helper()
	loaded, err := Load(o)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return loaded
}

// setting returns what users see of one key.
func setting(t *testing.T, loaded *Loaded, key string) Setting {
	t.Helper()
	settings := loaded.Settings()
	i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == key })
	if i < 0 {
		t.Fatalf("Settings has no %s", key)
	}
	return settings[i]
}

func TestEveryKeyHasAnExampleThatIsNotItsDefault(t *testing.T) {
	names := slices.Sorted(slices.Values(Keys()))
	if got := slices.Sorted(maps.Keys(examples())); !slices.Equal(got, names) {
		t.Fatalf("examples for %q, keys are %q", got, names)
	}
	for name, e := range examples() {
		if e.want == yamlText(Default().value(name)) {
			t.Errorf("%s: the example is the default", name)
		}
	}
}

// otherKeysAreDefault fails where anything but key differs from the defaults.
func otherKeysAreDefault(t *testing.T, key string, c Config) {
	t.Helper()
	for _, change := range Diff(Default(), c) {
		if change.Key != key {
			t.Errorf("%s changed too: %s", change.Key, change.New)
		}
	}
}

func TestEveryKeyCanBeSetInTheFile(t *testing.T) {
	for key, e := range examples() {
		t.Run(key, func(t *testing.T) {
			o := Options{Path: writeFile(t, "# first line\n"+yamlFor(key, e.file))}
			loaded := load(t, o)
			line := "2"
			if strings.Contains(key, ".") {
				line = "3"
			}
			want := Setting{key, e.want, "file " + o.Path + ":" + line}
			if got := setting(t, loaded, key); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			otherKeysAreDefault(t, key, loaded.Config)
		})
	}
}

func TestEveryKeyCanBeSetInTheEnvironment(t *testing.T) {
	for key, e := range examples() {
		t.Run(key, func(t *testing.T) {
			o := alone(t)
			name := "LOCKD_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
			o.LookupEnv = environment(map[string]string{name: strings.Join(e.texts, " ")})
			loaded := load(t, o)
			want := Setting{key, e.want, "environment " + name}
			if got := setting(t, loaded, key); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			otherKeysAreDefault(t, key, loaded.Config)
		})
	}
}

func TestEveryKeyCanBeOverridden(t *testing.T) {
	for key, e := range examples() {
		t.Run(key, func(t *testing.T) {
			o := alone(t)
			o.Overrides = []Override{{key, e.texts, "flag --x"}}
			loaded := load(t, o)
			want := Setting{key, e.want, "flag --x"}
			if got := setting(t, loaded, key); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			otherKeysAreDefault(t, key, loaded.Config)
		})
	}
}

func TestFlagWinsOverEnvironmentOverFileOverSocketOverDefault(t *testing.T) {
	o := Options{
		Path: writeFile(t, "listen: [\"tcp://:1\"]\nhttp: \":1\"\npid_file: file\nlog:\n  level: debug\n"),
		LookupEnv: environment(map[string]string{
			"LOCKD_HTTP": ":2", "LOCKD_PID_FILE": "environment", "LOCKD_LOG_FORMAT": "json",
		}),
		Overrides: []Override{
			{"pid_file", []string{"first"}, "flag -p"},
			{"pid_file", []string{"second"}, "flag --pid-file"},
			{"shutdown.grace", []string{"1s"}, "flag --shutdown-grace"},
		},
		Passed: []string{"lockd"},
	}
	loaded := load(t, o)
	for _, want := range []Setting{
		{"listen", "['tcp://:1']", "file " + o.Path + ":1"},
		{"http", ":2", "environment LOCKD_HTTP"},
		{"pid_file", "second", "flag --pid-file"},
		{"log.level", "debug", "file " + o.Path + ":5"},
		{"log.format", "json", "environment LOCKD_LOG_FORMAT"},
		{"shutdown.grace", "1s", "flag --shutdown-grace"},
		{"keepalive.idle", "15s", "default"},
	} {
		if got := setting(t, loaded, want.Key); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if loaded.File != o.Path {
		t.Errorf("File = %q, want %q", loaded.File, o.Path)
	}
}

func TestSocketsFromSystemdChangeOnlyTheirDefault(t *testing.T) {
	for _, test := range []struct {
		passed       []string
		listen, http Setting
	}{
		{nil, Setting{"listen", "['tcp://:9999']", "default"}, Setting{"http", ":9996", "default"}},
		{[]string{"lockd"}, Setting{"listen", "[]", "systemd socket"}, Setting{"http", ":9996", "default"}},
		{[]string{"ws", "http"}, Setting{"listen", "['tcp://:9999']", "default"}, Setting{"http", `""`, "systemd socket"}},
		{[]string{"lockd", "lockd", "http"}, Setting{"listen", "[]", "systemd socket"}, Setting{"http", `""`, "systemd socket"}},
	} {
		o := alone(t)
		o.Passed = test.passed
		loaded := load(t, o)
		for _, want := range []Setting{test.listen, test.http} {
			if got := setting(t, loaded, want.Key); got != want {
				t.Errorf("passed %q: got %+v, want %+v", test.passed, got, want)
			}
		}
	}
}

func TestStateDirectoryFromSystemdChangesOnlyTheDefault(t *testing.T) {
	const fromSystemd = "environment STATE_DIRECTORY"
	set := map[string]string{"STATE_DIRECTORY": "/var/lib/lockd"}
	both := map[string]string{"STATE_DIRECTORY": "/var/lib/lockd", "LOCKD_STATE_DIR": "/e"}
	for name, test := range map[string]struct {
		variables map[string]string
		file      string
		flags     []Override
		want      Setting
	}{
		"one directory": {set, "", nil, Setting{"state_dir", "/var/lib/lockd", fromSystemd}},
		"the first of several": {
			map[string]string{"STATE_DIRECTORY": "/var/lib/a b:/var/lib/c"},
			"", nil,
			Setting{"state_dir", "/var/lib/a b", fromSystemd},
		},
		"an empty variable":       {map[string]string{"STATE_DIRECTORY": ""}, "", nil, Setting{"state_dir", `""`, "default"}},
		"no variable":             {nil, "", nil, Setting{"state_dir", `""`, "default"}},
		"a file over it":          {set, "state_dir: /f\n", nil, Setting{"state_dir", "/f", "file PATH:1"}},
		"a file that wants none":  {set, "state_dir: \"\"\n", nil, Setting{"state_dir", `""`, "file PATH:1"}},
		"the environment over it": {both, "state_dir: /f\n", nil, Setting{"state_dir", "/e", "environment LOCKD_STATE_DIR"}},
		"the environment that wants none": {
			map[string]string{"STATE_DIRECTORY": "/var/lib/lockd", "LOCKD_STATE_DIR": ""},
			"state_dir: /f\n", nil,
			Setting{"state_dir", `""`, "environment LOCKD_STATE_DIR"},
		},
		"a flag over all": {
			both, "state_dir: /f\n",
			[]Override{{"state_dir", []string{"/o"}, "flag --x"}},
			Setting{"state_dir", "/o", "flag --x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Path: writeFile(t, test.file), LookupEnv: environment(test.variables), Overrides: test.flags}
			loaded := load(t, o)
			test.want.Origin = strings.ReplaceAll(test.want.Origin, "PATH", o.Path)
			if got := setting(t, loaded, "state_dir"); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			otherKeysAreDefault(t, "state_dir", loaded.Config)
		})
	}
}

// What systemd hands over is held to what everybody else may say: it is shown
// again as YAML.
func TestStateDirectoryFromSystemdIsCheckedLikeAnyOther(t *testing.T) {
	for value, want := range map[string]string{
		"/var/lib/a\nb": `"/var/lib/a\nb" holds a control character; remove it`,
		"/var/lib/\xff": `"/var/lib/\xff" is not UTF-8; write it in UTF-8`,
	} {
		o := alone(t)
		o.LookupEnv = environment(map[string]string{"STATE_DIRECTORY": value})
		_, err := Load(o)
		if want := "environment STATE_DIRECTORY: " + want; err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", value, err, want)
		}
	}
}

func TestNothingGivesTheDefaults(t *testing.T) {
	for name, content := range map[string]string{
		"nothing": "", "comments": "# a\n\n# b\n", "a document without content": "---\n",
		"empty sections with braces": "limits: {}\nlog: {}\n", "a byte order mark": "\ufeff", "CR LF": "# a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			loaded := load(t, Options{Path: writeFile(t, content)})
			if !reflect.DeepEqual(loaded.Config, Default()) {
				t.Errorf("got %+v, want %+v", loaded.Config, Default())
			}
		})
	}
	o := alone(t)
	loaded := load(t, o)
	if loaded.File != "" || !reflect.DeepEqual(loaded.Config, Default()) {
		t.Errorf("without a file: file %q, %+v", loaded.File, loaded.Config)
	}
}

func TestFileIsFoundByFlagThenEnvironmentThenDefaultPath(t *testing.T) {
	byFlag, byEnvironment, byDefault := writeFile(t, ""), writeFile(t, ""), writeFile(t, "")
	named := environment(map[string]string{"LOCKD_CONFIG": byEnvironment})
	empty := environment(map[string]string{"LOCKD_CONFIG": ""})
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Path: byFlag, LookupEnv: named, DefaultPath: byDefault}, byFlag},
		{Options{LookupEnv: named, DefaultPath: byDefault}, byEnvironment},
		{Options{LookupEnv: empty, DefaultPath: byDefault}, byDefault},
		{Options{DefaultPath: byDefault}, byDefault},
	} {
		if got := load(t, test.o).File; got != test.want {
			t.Errorf("read %q, want %q", got, test.want)
		}
	}
}

func TestNamedFileMustBeReadable(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "lockd.yaml")
	_, err := Load(Options{Path: missing})
	if want := "read configuration named by --config: open " + missing + ": no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("missing: %v, want %s", err, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	_, err = Load(Options{LookupEnv: environment(map[string]string{"LOCKD_CONFIG": missing})})
	if want := "read configuration named by environment LOCKD_CONFIG: open " + missing + ": no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("missing: %v, want %s", err, want)
	}
	dir := t.TempDir()
	if _, err = Load(Options{Path: dir}); err == nil || !strings.Contains(err.Error(), dir+": is a directory") {
		t.Errorf("directory: %v", err)
	}
	if _, err = Load(Options{Path: "/dev/zero"}); err == nil || !strings.Contains(err.Error(), "/dev/zero: more than 1048576 bytes") {
		t.Errorf("endless: %v", err)
	}
}

func TestDefaultFileThatExistsMustBeReadable(t *testing.T) {
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{DefaultPath: loop}); err == nil || !strings.Contains(err.Error(), "read configuration: open "+loop) {
		t.Errorf("got %v, want an error that names %s", err, loop)
	}
	if _, err := Load(Options{DefaultPath: t.TempDir()}); err == nil {
		t.Error("a directory is taken for a configuration")
	}
}

func TestEmptyVariableIsAValueOnlyWhereNothingIsOne(t *testing.T) {
	empty := map[string]string{}
	for _, k := range table(nil) {
		empty[k.environmentName()] = ""
	}
	o := alone(t)
	o.LookupEnv = environment(empty)
	loaded := load(t, o)
	for _, s := range loaded.Settings() {
		isSet := s.Origin != "default"
		if want := s.Value == "[]" || s.Value == `""`; isSet != want {
			t.Errorf("%+v", s)
		}
	}
	want := Default()
	want.Listen, want.HTTP, want.AllowFrom, want.AdminFrom = []string{}, "", MustParseNetworks(), MustParseNetworks()
	if changes := Diff(want, loaded.Config); changes != nil {
		t.Errorf("differs from what is wanted: %+v", changes)
	}
}

func TestOtherVariablesAreIgnored(t *testing.T) {
	o := alone(t)
	o.LookupEnv = environment(map[string]string{
		"LOCKD_SERVER": "tcp://h:1", "LOCKD_PORT": "tcp://10.0.0.1:9999", "LOCKD_LIMITS": "5", "HTTP": "x", "lockd_http": "x",
	})
	if loaded := load(t, o); !reflect.DeepEqual(loaded.Config, Default()) {
		t.Errorf("got %+v", loaded.Config)
	}
}
