package config

import (
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/configs"
)

// leaves returns the dotted tags of all fields that are no sections.
func leaves(t reflect.Type, prefix string) []string {
	var names []string
	for i := range t.NumField() {
		field := t.Field(i)
		name := prefix + field.Tag.Get("mapstructure")
		if field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[Networks]() {
			names = append(names, leaves(field.Type, name+".")...)
		} else {
			names = append(names, name)
		}
	}
	return names
}

func TestEveryFieldIsAKeyAndEveryKeyAField(t *testing.T) {
	fields, keys := slices.Sorted(slices.Values(leaves(reflect.TypeFor[Config](), ""))), slices.Sorted(slices.Values(Keys()))
	if !slices.Equal(fields, keys) {
		t.Errorf("fields %q, keys %q", fields, keys)
	}
}

func TestDefaults(t *testing.T) {
	got := Default()
	want := Config{
		Listen:    []string{"tcp://:9999"},
		HTTP:      ":9996",
		AllowFrom: got.AllowFrom,
		AdminFrom: got.AdminFrom,
		Features:  Features{true, true},
		Limits:    Limits{0, 0, 0, 0, 268435456, 65536, 1048576},
		WebSocket: WebSocket{[]string{}},
		Keepalive: Keepalive{15 * time.Second, 5 * time.Second, 3, 20 * time.Second},
		Shutdown:  Shutdown{Grace(5 * time.Second)},
		Log:       Log{slog.LevelInfo, "auto"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got.AllowFrom.String() != "loopback private" {
		t.Errorf("allow_from is %q", got.AllowFrom)
	}
	if got.AdminFrom.String() != "unix" || !got.AdminFrom.Contains(netip.Addr{}) || got.AdminFrom.Contains(netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("admin_from is %q", got.AdminFrom)
	}
}

func TestGrace(t *testing.T) {
	for _, test := range []struct {
		g       Grace
		forever bool
		text    string
	}{
		{Forever, true, "forever"}, {0, false, "0s"}, {Grace(90 * time.Minute), false, "1h30m"}, {Forever - 1, false, "2562047h47m16.854775806s"},
	} {
		if test.g.Forever() != test.forever || test.g.String() != test.text || test.g.Duration() != time.Duration(test.g) {
			t.Errorf("%d: %t %s %s", test.g, test.g.Forever(), test.g, test.g.Duration())
		}
	}
}

func TestNetworksContain(t *testing.T) {
	for _, test := range []struct {
		words   string
		in, out string
	}{
		{"loopback", "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::1%lo", "128.0.0.1 10.0.0.1 ::2 fe80::1"},
		{
			"private",
			"10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 169.254.1.1 fc00::1 fdff::1 fe80::1 fe80::1%eth0 febf::1 ::ffff:10.0.0.1",
			"127.0.0.1 9.255.255.255 11.0.0.0 172.15.0.1 172.32.0.0 192.169.0.1 169.255.0.1 ::1 fe00::1 fec0::1 8.8.8.8 2001:db8::1",
		},
		{"any", "0.0.0.0 8.8.8.8 2001:db8::1 ::ffff:8.8.8.8 :: fe80::1%eth0", ""},
		{"", "", "127.0.0.1 ::1 0.0.0.0"},
		{"192.0.2.7 2001:db8::/32", "192.0.2.7 ::ffff:192.0.2.7 2001:db8::1 2001:db8:ffff::1%x", "192.0.2.6 192.0.2.8 2001:db9::"},
		{"0.0.0.0/0", "1.2.3.4 ::ffff:1.2.3.4", "::1 2001:db8::1"},
		{"::/0", "::1 2001:db8::1", "1.2.3.4 ::ffff:1.2.3.4"},
		{"10.0.0.0/8 loopback", "10.1.1.1 127.0.0.1", "192.168.0.1"},
	} {
		n := MustParseNetworks(strings.Fields(test.words)...)
		if n.String() != test.words {
			t.Errorf("String() = %q, want %q", n, test.words)
		}
		for _, addr := range strings.Fields(test.in) {
			if !n.Contains(netip.MustParseAddr(addr)) {
				t.Errorf("%q does not contain %s", test.words, addr)
			}
		}
		for _, addr := range strings.Fields(test.out) {
			if n.Contains(netip.MustParseAddr(addr)) {
				t.Errorf("%q contains %s", test.words, addr)
			}
		}
		if n.Contains(netip.Addr{}) {
			t.Errorf("%q contains Unix sockets", test.words)
		}
	}
}

func TestClientsContainUnixSocketsOnlyWhereTheySaySo(t *testing.T) {
	for _, test := range []struct {
		words       string
		unix        bool
		in, outside string
	}{
		{"unix", true, "", "127.0.0.1 ::1 10.0.0.1 0.0.0.0 ::"},
		{"unix unix", true, "", "127.0.0.1 ::1"},
		{"loopback unix", true, "127.0.0.1 ::1 ::ffff:127.0.0.1", "10.0.0.1"},
		{"unix 192.0.2.0/24 unix fe80::/10", true, "192.0.2.1 fe80::1%eth0", "127.0.0.1"},
		{"any", false, "127.0.0.1 8.8.8.8 ::1", ""},
		{"loopback private", false, "127.0.0.1 10.0.0.1", "8.8.8.8"},
		{"", false, "", "127.0.0.1 ::1"},
	} {
		n, err := ParseClients(strings.Fields(test.words)...)
		if err != nil {
			t.Errorf("%q: %v", test.words, err)
		}
		if n.String() != test.words || strings.Join(n.Words(), " ") != test.words {
			t.Errorf("%q became %q, %q", test.words, n, n.Words())
		}
		if got := n.Contains(netip.Addr{}); got != test.unix {
			t.Errorf("%q contains Unix sockets: %t", test.words, got)
		}
		for _, addr := range strings.Fields(test.in) {
			if !n.Contains(netip.MustParseAddr(addr)) {
				t.Errorf("%q does not contain %s", test.words, addr)
			}
		}
		for _, addr := range strings.Fields(test.outside) {
			if n.Contains(netip.MustParseAddr(addr)) {
				t.Errorf("%q contains %s", test.words, addr)
			}
		}
	}
}

func TestNobodyIsAClientWhereAWordIsWrong(t *testing.T) {
	n, err := ParseClients("unix", "any", "nowhere")
	if err == nil || n.Contains(netip.Addr{}) || n.Contains(netip.MustParseAddr("127.0.0.1")) || n.String() != "" {
		t.Errorf("got %q, %v", n, err)
	}
}

func TestWordsAreNotSharedWithTheCaller(t *testing.T) {
	for name, parse := range map[string]func(...string) (Networks, error){"networks": ParseNetworks, "clients": ParseClients} {
		words := []string{"any", "loopback"}
		n, err := parse(words...)
		if err != nil {
			t.Fatal(err)
		}
		words[0], n.Words()[1] = "x", "y"
		if n.String() != "any loopback" {
			t.Errorf("%s: became %q", name, n)
		}
	}
}

func TestMustParseNetworksPanicsOnWrongWords(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	MustParseNetworks("nowhere")
}

// The shipped file: a key's line is "#key: value", behind blanks in a section,
// an explanation's "# text".

func keyLine() *regexp.Regexp { return regexp.MustCompile(`(?m)^( *)#([a-z_]+:.*)$`) }

func TestShippedFileChangesNothing(t *testing.T) {
	for line := range strings.Lines(string(configs.Default)) {
		if code := strings.TrimSpace(line); code != "" && !strings.HasPrefix(code, "#") {
			t.Errorf("not commented out: %q", line)
		}
	}
	loaded := load(t, Options{Path: writeFile(t, string(configs.Default))})
	if !reflect.DeepEqual(loaded.Config, Default()) {
		t.Errorf("got %+v", loaded.Config)
	}
}

func TestShippedFileUncommentedIsEveryKeyWithItsDefault(t *testing.T) {
	path := writeFile(t, keyLine().ReplaceAllString(string(configs.Default), "$1$2"))
	loaded := load(t, Options{Path: path})
	if !reflect.DeepEqual(loaded.Config, Default()) {
		t.Errorf("got %+v, want %+v", loaded.Config, Default())
	}
	for _, s := range loaded.Settings() {
		if !strings.HasPrefix(s.Origin, "file "+path+":") {
			t.Errorf("%s is not in the file", s.Key)
		}
	}
}

func TestEveryKeyOfTheShippedFileCanBeUncommentedAloneWithItsSection(t *testing.T) {
	for _, key := range Keys() {
		section, last, nested := strings.Cut(key, ".")
		if !nested {
			section, last = "", key
		}
		content := string(configs.Default)
		if nested {
			content = strings.Replace(content, "\n#"+section+":\n", "\n"+section+":\n", 1)
		}
		content = strings.Replace(content, "\n#"+last+":", "\n"+last+":", 1)
		content = strings.Replace(content, "\n  #"+last+":", "\n  "+last+":", 1)
		loaded := load(t, Options{Path: writeFile(t, content)})
		for _, s := range loaded.Settings() {
			if set := s.Origin != "default"; set != (s.Key == key) {
				t.Errorf("uncommented %s: %+v", key, s)
			}
		}
	}
}

func TestShippedFileExplainsEveryKeyAndWhatAChangeNeeds(t *testing.T) {
	before := map[string]string{} // the explanation above a key, by its line
	explanation := ""
	for line := range strings.Lines(string(configs.Default)) {
		code := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(code, "# "):
			explanation += " " + strings.TrimPrefix(code, "# ")
		case keyLine().MatchString(line):
			name, _, _ := strings.Cut(strings.TrimPrefix(code, "#"), ":")
			before[name] = explanation
			explanation = ""
		default:
			explanation = ""
		}
	}
	for _, k := range table(nil) {
		text := before[k.last()]
		if text == "" {
			t.Errorf("%s has no explanation", k.name)
		}
		want := k.reload != AtReload
		if got := strings.HasSuffix(text, "["+k.reload.String()+"]"); got != want || !want && strings.HasSuffix(text, "]") {
			t.Errorf("%s needs %q, the file says %q", k.name, k.reload, text)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(string(configs.Default))
	f.Add(keyLine().ReplaceAllString(string(configs.Default), "$1$2"))
	for _, test := range fileErrors() {
		f.Add(test.file)
	}
	f.Add(strings.Repeat("# more than locate looks through\n", 1000) + "]\n")
	for key, e := range examples() {
		f.Add(yamlFor(key, e.file))
	}
	path := writeFile(f, "")
	f.Fuzz(func(t *testing.T, content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(Options{Path: path})
		if err == nil {
			loaded.Settings()
			return
		}
		for line := range strings.Lines(err.Error()) {
			if ok, _ := regexp.MatchString(`^`+regexp.QuoteMeta(path)+`:[1-9][0-9]*: .+\n?$`, line); !ok {
				t.Errorf("no file and line: %q", line)
			}
		}
	})
}
