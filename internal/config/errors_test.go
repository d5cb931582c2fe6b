package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const look = "; look at indentation, quotes and colons here and on the line above"

// fileErrors holds files and all that is wrong with them, each without the path.
func fileErrors() map[string]struct {
	file string
	want []string
} {
	return map[string]struct {
		file string
		want []string
	}{
		"unknown keys": {
			"limts:\n  connections: 5\nlimits:\n  conections: 5\n  frob: 1\nLog:\n  level: info\npid-file: x\nfrobnicate: 1\nlimit: {}\nLISTEN: []\n",
			[]string{
				"2: limts.connections: unknown key; did you mean limits.connections?",
				"4: limits.conections: unknown key; did you mean limits.connections?",
				"5: limits.frob: unknown key; limits has connections, connections_per_ip, locks_per_connection, table_bytes, snapshot_bytes, line_bytes, reply_backlog_bytes",
				"7: Log.level: unknown key; did you mean log.level?",
				"8: pid-file: unknown key; did you mean pid_file?",
				`9: frobnicate: unknown key; "lockd config default" shows all keys`,
				"10: limit: unknown key; did you mean limits?",
				"11: LISTEN: unknown key; did you mean listen?",
			},
		},
		"keys in the wrong place": {
			"connections: 5\nfeatures:\n  grace: 5s\nlimits.connections: 5\nhttp:\n  pprof: true\nlog:\n  level:\n    x: 1\n",
			[]string{
				`1: connections: unknown key; did you mean limits.connections? Write "limits:" and, indented below it, "connections:"`,
				"3: features.grace: unknown key; did you mean shutdown.grace?",
				"4: limits.connections: a dot does not open a section; write the part before it and a colon on one line, the rest indented below",
				"5: http: a list or section where one value is needed; quote the value if it begins with [ or {",
				"8: log.level: a list or section where one value is needed; quote the value if it begins with [ or {",
			},
		},
		"keys that are no words": {
			"1: 2\n? [a]\n: b\n\"\": 1\n\"a\\e[1m\": 1\n",
			[]string{
				`1: 1: unknown key; "lockd config default" shows all keys`,
				`2: "": a key must be a plain word; quote the value if it begins with { or [`,
				`4: "": unknown key; "lockd config default" shows all keys`,
				`5: "a\x1b[1m": unknown key; "lockd config default" shows all keys`,
			},
		},
		"keys set twice": {
			"http: \":1\"\nlimits:\n  line_bytes: 64\n  line_bytes: 65\nhttp: \":2\"\nlimits:\n  table_bytes: 1\n",
			[]string{
				"4: limits.line_bytes: set twice, first on line 3; keep one of the two",
				"5: http: set twice, first on line 1; keep one of the two",
				"6: limits: set twice, first on line 2; keep one of the two",
			},
		},
		"nothing behind the colon": {
			"features: null\nlimits:\nlisten:\nhttp: ~\nlog:\n  level:\nallow_from:\n  -\n",
			[]string{
				"1: features: this section is empty; write a key below it, indented, or comment it out",
				"2: limits: this section is empty; write a key below it, indented, or comment it out",
				"3: listen: no value; write [] for none, or comment the line out",
				`4: http: no value; write "" for none, or comment the line out`,
				"6: log.level: no value; write one, or comment the line out",
				"8: allow_from: an item without a value; write one or remove it",
			},
		},
		"sections and lists that are something else": {
			"limits: 5\nfeatures: [dump]\nlisten: tcp://:1\nallow_from: {loopback: true}\nwebsocket:\n  origins:\n    - [a]\n",
			[]string{
				"1: limits: this is a section; write its keys below it, indented",
				"2: features: this is a section; write its keys below it, indented",
				`3: listen: one value where a list is needed; write ["VALUE", "VALUE"], or - VALUE on the lines below`,
				`4: allow_from: one value where a list is needed; write ["VALUE", "VALUE"], or - VALUE on the lines below`,
				"7: websocket.origins: a list or section where one value is needed; quote the value if it begins with [ or {",
			},
		},
		"booleans": {
			"http_pprof: yes\nfeatures:\n  dump: \"true\"\n  registry: 1\n",
			[]string{
				"1: http_pprof: yes is neither true nor false; write true or false",
				"3: features.dump: true is text here; write it without quotes",
				"4: features.registry: 1 is neither true nor false; write true or false",
			},
		},
		"numbers": {
			"limits:\n  connections: -1\n  connections_per_ip: 1e3\n  locks_per_connection: 010\n  table_bytes: 9223372036854775808\n" +
				"  snapshot_bytes: 0\n  line_bytes: true\n  reply_backlog_bytes: 4095\nkeepalive:\n  count: \"3\"\n",
			[]string{
				"2: limits.connections: -1 is not a whole number in plain digits; write a plain number, 0 or more",
				"3: limits.connections_per_ip: 1e3 is not a whole number in plain digits; write a plain number, 0 or more",
				"4: limits.locks_per_connection: 010 is not a whole number in plain digits; write a plain number, 0 or more",
				"5: limits.table_bytes: 9223372036854775808 is too large; write a plain number, 0 or more",
				"6: limits.snapshot_bytes: 0 is too small; write a plain number, 1 or more",
				"7: limits.line_bytes: true is not a whole number in plain digits; write a plain number from 64 to 16777216",
				"8: limits.reply_backlog_bytes: 4095 is too small; write a plain number, 4096 or more",
				"10: keepalive.count: 3 is text here; write it without quotes",
			},
		},
		"durations": {
			"keepalive:\n  idle: 1500ms\n  interval: 0\n  user_timeout: 597h\nshutdown:\n  grace: 5\n",
			[]string{
				"2: keepalive.idle: 1500ms is too fine; write whole seconds from 1s to 32767s",
				"3: keepalive.interval: 0 is out of range; write whole seconds from 1s to 32767s",
				"4: keepalive.user_timeout: 597h is out of range; write 0 for off or whole milliseconds from 1s to 596h",
				"6: shutdown.grace: 5 has no unit; write 5s",
			},
		},
		"texts": {
			"http: 9996\nhttp_web_config: 5\npid_file: \"/run/\\x07\"\nlog:\n  level: warning\n  format: JSON\n",
			[]string{
				"1: http: 9996 is not HOST:PORT; write :9996",
				"2: http_web_config: 5 is not text to YAML; write it in quotes",
				`3: pid_file: "/run/\a" holds a control character; remove it`,
				"5: log.level: warning is unknown; write one of debug, info, warn, error",
				"6: log.format: JSON is unknown; write one of auto, text, color, json, journal",
			},
		},
		"items of lists, each with its own line": {
			"allow_from:\n  - any\n  - localhost\nwebsocket:\n  origins: [a.example,\n    \"https://b.example\"]\n",
			[]string{
				"3: allow_from: localhost is not a network; write an IP address, a CIDR such as 10.0.0.0/8, loopback, private or any",
				"6: websocket.origins: https://b.example has a scheme; write b.example",
			},
		},
		"anchors, aliases, merges and tags": {
			"log: &log\n  level: info\nhttp: &h \":1\"\npid_file: *h\n<<: *log\nlisten: !!seq []\n&k websocket: {}\nallow_from: [!x any]\n",
			[]string{
				"1: log: anchors and aliases are not supported; write the value out",
				"3: http: anchors and aliases are not supported; write the value out",
				"4: pid_file: anchors and aliases are not supported; write the value out",
				"5: <<: merge keys are not supported; write the keys out",
				"6: listen: the tag !!seq is not supported; remove it",
				"7: websocket: anchors and aliases are not supported; write the value out",
				"8: allow_from: the tag !x is not supported; remove it",
			},
		},
		"a list at the top":    {"# x\n- a\n", []string{"2: this is not a list of keys; write KEY: VALUE, a line each"}},
		"a word at the top":    {"null\n", []string{"1: this is not a list of keys; write KEY: VALUE, a line each"}},
		"a tag at the top":     {"!x {}\n", []string{"1: the tag !x is not supported; remove it"}},
		"a second document":    {"http: \"\"\n---\nhttp: \"\"\n", []string{"2: a second document begins here; write all keys in one, without a line ---"}},
		"a tab":                {"limits:\n\tline_bytes: 5\n", []string{"2: a tab indents this line; use spaces"}},
		"Latin-1":              {"# a\n# \xe4\n", []string{"2: this is not UTF-8; save the file as UTF-8"}},
		"UTF-16":               {"\xff\xfeh\x00", []string{"1: this is not UTF-8; save the file as UTF-8"}},
		"a NUL":                {"# a\n\nx: \x00\n", []string{"3: the invisible character U+0000 is in this line; remove it"}},
		"a line separator":     {"# a\u2028http: x\n", []string{"1: the invisible character U+2028 is in this line; remove it"}},
		"the first line":       {"http: ]\nlog: {}\n", []string{"1: did not find expected node content" + look}},
		"an open list":         {"http: \"\"\nlisten: [\n\nlog: {}\n", []string{"2: did not find expected ',' or ']'" + look}},
		"an open quote":        {"http: \"\"\n\npid_file: 'x\nlog: {}\n", []string{"3: found unexpected end of stream" + look}},
		"a section not opened": {"# a\n  connections: 5\nhttp: \"\"\n", []string{"3: did not find expected <document start>" + look}},
		"wrong indentation":    {"http: \"\"\nlimits:\n    line_bytes: 64\n  connections: 5\n", []string{"4: did not find expected key" + look}},
		"an address unquoted":  {"log: {}\nhttp: [::1]:99\n", []string{"2: did not find expected node content" + look}},
		"an unknown alias":     {"log: {}\nhttp: *x\n", []string{"2: unknown anchor 'x' referenced" + look}},
	}
}

func TestFileErrorsNameFileLineKeyAndWhatIsRight(t *testing.T) {
	for name, test := range fileErrors() {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, test.file)
			_, err := Load(Options{Path: path})
			if err == nil {
				t.Fatal("no error")
			}
			want := path + ":" + strings.Join(test.want, "\n"+path+":")
			if err.Error() != want {
				t.Errorf("got\n%s\nwant\n%s", err, want)
			}
		})
	}
}

func TestValuesNotTaken(t *testing.T) {
	const (
		hostPort = ` is not HOST:PORT; write for example :9996, 127.0.0.1:9996 or "[::1]:9996"`
		network  = " is not a network; write an IP address, a CIDR such as 10.0.0.0/8, loopback, private or any"
		client   = " is not a network; write an IP address, a CIDR such as 10.0.0.0/8, loopback, private, any or unix"
		several  = "; if these are several, separate them by blanks, or give the flag for each"
		host     = " is not a host; write for example app.example.com or app.example.com:8443"
		seconds  = "; write whole seconds from 1s to 32767s"
		grace    = "; write 0, a time with its unit such as 5s or 1m30s, or forever"
	)
	for _, test := range []struct{ key, text, want string }{
		{"http", "http://:9996", "http://:9996" + hostPort},
		{"http", "localhost", "localhost" + hostPort},
		{"http", "*:9996", "*:9996" + hostPort},
		{"http", ":65536", ":65536" + hostPort},
		{"http", ":http", ":http" + hostPort},
		{"http", " :9996", `" :9996"` + hostPort},
		{"http_pprof", "TRUE", "TRUE is neither true nor false; write true or false"},
		{"http_pprof", "", `"" is neither true nor false; write true or false`},
		{"allow_from", "unix", "unix is no network; Unix sockets always pass, leave it out"},
		{"allow_from", "privat", "privat" + network},
		{"allow_from", "10.0.0.0/33", "10.0.0.0/33" + network},
		{"allow_from", "loopback,private", "loopback,private" + network + several},
		{"allow_from", "10.1.2.3/8", "10.1.2.3/8 is not the first address of a network; write 10.0.0.0/8 or 10.1.2.3"},
		{"allow_from", "fe80::1%eth0", "fe80::1%eth0 has a zone, which is not looked at; write fe80::1"},
		{"allow_from", "::ffff:10.0.0.0/104", "::ffff:10.0.0.0/104 never matches, IPv4 clients are judged as IPv4; write 10.0.0.0/8"},
		{"allow_from", "::ffff:10.0.0.1", "::ffff:10.0.0.1 never matches, IPv4 clients are judged as IPv4; write 10.0.0.1/32"},
		{"admin_from", "privat", "privat" + client},
		{"admin_from", "UNIX", "UNIX" + client},
		{"admin_from", "unix:", "unix:" + client},
		{"admin_from", "loopback,unix", "loopback,unix" + client + several},
		{"admin_from", "", `""` + client},
		{"admin_from", "10.1.2.3/8", "10.1.2.3/8 is not the first address of a network; write 10.0.0.0/8 or 10.1.2.3"},
		{"admin_from", "fe80::1%eth0", "fe80::1%eth0 has a zone, which is not looked at; write fe80::1"},
		{"state_dir", "a\nb", `"a\nb" holds a control character; remove it`},
		{"websocket.origins", "*", "*" + host},
		{"websocket.origins", "a/b", "a/b" + host},
		{"websocket.origins", "a:x", "a:x" + host},
		{"websocket.origins", "http://a:8/", "http://a:8/" + host},
		{"websocket.origins", "http://a:8", "http://a:8 has a scheme; write a:8"},
		{"websocket.origins", "", `""` + host},
		{"limits.line_bytes", "63", "63 is too small; write a plain number from 64 to 16777216"},
		{"limits.line_bytes", "16777217", "16777217 is too large; write a plain number from 64 to 16777216"},
		{"limits.line_bytes", "64k", "64k is not a whole number in plain digits; write a plain number from 64 to 16777216"},
		{"keepalive.idle", "999ms", "999ms is out of range" + seconds},
		{"keepalive.idle", "32768s", "32768s is out of range" + seconds},
		{"keepalive.interval", "-5s", "-5s is out of range" + seconds},
		{"keepalive.interval", "1.5", "1.5 has no unit; write 1.5s"},
		{"keepalive.interval", ".", ". is not a duration" + seconds},
		{"keepalive.count", "0", "0 is too small; write a plain number from 1 to 127"},
		{"keepalive.count", "128", "128 is too large; write a plain number from 1 to 127"},
		{"keepalive.user_timeout", "1000001us", "1000001us is too fine; write 0 for off or whole milliseconds from 1s to 596h"},
		{"keepalive.user_timeout", "999ms", "999ms is out of range; write 0 for off or whole milliseconds from 1s to 596h"},
		{"shutdown.grace", "-1s", "-1s is out of range" + grace},
		{"shutdown.grace", "1d", "1d is not a duration" + grace},
		{"shutdown.grace", "Forever", "Forever is not a duration" + grace},
		{"shutdown.grace", "2562048h", "2562048h is not a duration" + grace},
		{"log.level", "INFO", "INFO is unknown; write one of debug, info, warn, error"},
		{"log.level", "info+1", "info+1 is unknown; write one of debug, info, warn, error"},
		{"pid_file", "a\nb", `"a\nb" holds a control character; remove it`},
		{"pid_file", "\xff", `"\xff" is not UTF-8; write it in UTF-8`},
		{"log.format", "\x1b" + strings.Repeat("x", 99), `"\x1b` + strings.Repeat("x", 79) + `..." holds a control character; remove it`},
		{"log.format", "\u202etxt", `"\u202etxt" is unknown; write one of auto, text, color, json, journal`},
	} {
		o := alone(t)
		o.Overrides = []Override{{test.key, []string{test.text}, "flag --x"}}
		_, err := Load(o)
		if want := "flag --x: " + test.want; err == nil || err.Error() != want {
			t.Errorf("%s %q\n got %v\nwant %s", test.key, test.text, err, want)
		}
	}
}

func TestValuesAtTheBoundsAreTaken(t *testing.T) {
	for _, test := range []struct{ key, text, want string }{
		{"http", "", `""`},
		{"http", "localhost:0", "localhost:0"},
		{"http", "[fe80::1%eth0]:65535", "'[fe80::1%eth0]:65535'"},
		{"limits.line_bytes", "16777216", "16777216"},
		{"limits.connections", "0", "0"},
		{"keepalive.idle", "1s", "1s"},
		{"keepalive.idle", "1000ms", "1s"},
		{"keepalive.interval", "32767s", "9h6m7s"},
		{"keepalive.count", "1", "1"},
		{"keepalive.user_timeout", "0s", "0s"},
		{"keepalive.user_timeout", "1001ms", "1.001s"},
		{"keepalive.user_timeout", "596h", "596h"},
		{"shutdown.grace", "0", "0s"},
		{"shutdown.grace", "1ns", "1ns"},
		{"shutdown.grace", "1h0m30s", "1h0m30s"},
		{"shutdown.grace", "90s", "1m30s"},
		{"shutdown.grace", "100h", "100h"},
		{"shutdown.grace", "10m", "10m"},
		{"websocket.origins", "localhost:8080", "['localhost:8080']"},
		{"websocket.origins", "::1", "['::1']"},
	} {
		o := alone(t)
		o.Overrides = []Override{{test.key, []string{test.text}, "flag --x"}}
		if got := setting(t, load(t, o), test.key).Value; got != test.want {
			t.Errorf("%s %q: got %s, want %s", test.key, test.text, got, test.want)
		}
	}
}

func TestErrorsOfAllSourcesComeTogetherAndNameTheirSource(t *testing.T) {
	o := Options{
		Path: writeFile(t, "pid_file: x\nhttp: x\n"),
		LookupEnv: environment(map[string]string{
			"LOCKD_LIMITS_LINE_BYTES": "64k", "LOCKD_ALLOW_FROM": "any nowhere",
		}),
		Overrides: []Override{
			{"shutdown.grace", []string{"5"}, "flag --shutdown-grace"},
			{"pid_file", nil, "flag -p"},
			{"pidfile", []string{"x"}, "flag -q"},
		},
	}
	_, err := Load(o)
	want := o.Path + `:2: http: x is not HOST:PORT; write for example :9996, 127.0.0.1:9996 or "[::1]:9996"
environment LOCKD_ALLOW_FROM: nowhere is not a network; write an IP address, a CIDR such as 10.0.0.0/8, loopback, private or any
environment LOCKD_LIMITS_LINE_BYTES: 64k is not a whole number in plain digits; write a plain number from 64 to 16777216
flag --shutdown-grace: 5 has no unit; write 5s
flag -p: 0 values where one is needed; give one
flag -q: pidfile: unknown key`
	if err == nil || err.Error() != want {
		t.Fatalf("got\n%v\nwant\n%s", err, want)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 6 {
		t.Errorf("%T does not unwrap to six errors", err)
	}
}

func TestAddressesOfListenAreJudgedByTheCaller(t *testing.T) {
	errBad := errors.New("sentinel")
	check := func(address string) error {
		if address == "bad" {
			return fmt.Errorf("bad is bad; write good: %w", errBad)
		}
		return nil
	}
	for origin, o := range map[string]Options{
		"environment LOCKD_LISTEN": {LookupEnv: environment(map[string]string{"LOCKD_LISTEN": "good bad"})},
		"flag -t":                  {Overrides: []Override{{"listen", []string{"good", "bad"}, "flag -t"}}},
	} {
		o.DefaultPath, o.CheckAddress = alone(t).DefaultPath, check
		_, err := Load(o)
		if want := origin + ": bad is bad; write good: sentinel"; err == nil || err.Error() != want || !errors.Is(err, errBad) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	path := writeFile(t, "listen:\n  - good\n  - bad\n")
	_, err := Load(Options{Path: path, CheckAddress: check})
	if want := path + ":3: listen: bad is bad; write good: sentinel"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
