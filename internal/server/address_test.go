package server_test

import (
	"strings"
	"testing"

	"lockd/internal/server"
)

func TestParseAddress(t *testing.T) {
	long := "/" + strings.Repeat("x", 106)
	for text, want := range map[string]server.Address{
		"tcp://:9999":                  {Transport: server.TCP, HostPort: ":9999"},
		"tcp://:0":                     {Transport: server.TCP, HostPort: ":0"},
		"tcp://:65535/":                {Transport: server.TCP, HostPort: ":65535"},
		"tcp://127.0.0.1:1":            {Transport: server.TCP, HostPort: "127.0.0.1:1"},
		"tcp://localhost:0080":         {Transport: server.TCP, HostPort: "localhost:80"},
		"tcp://[::1]:9999":             {Transport: server.TCP, HostPort: "[::1]:9999"},
		"TCP://x:1":                    {Transport: server.TCP, HostPort: "x:1"},
		"ws://:9998":                   {Transport: server.WebSocket, HostPort: ":9998"},
		"ws://[::]:9998/":              {Transport: server.WebSocket, HostPort: "[::]:9998"},
		"unix:///run/lockd.sock":       {Transport: server.Unix, Path: "/run/lockd.sock", Mode: 0o660},
		"unix:///a?mode=0600":          {Transport: server.Unix, Path: "/a", Mode: 0o600},
		"unix:///a?mode=777&group=adm": {Transport: server.Unix, Path: "/a", Mode: 0o777, Group: "adm"},
		"unix:///a%20b%3Fc":            {Transport: server.Unix, Path: "/a b?c", Mode: 0o660},
		"unix:///a?group=":             {Transport: server.Unix, Path: "/a", Mode: 0o660},
		"unix://" + long:               {Transport: server.Unix, Path: long, Mode: 0o660},
	} {
		got, err := server.ParseAddress(text)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
		again, err := server.ParseAddress(got.String())
		if err != nil || again != got {
			t.Errorf("%s prints as %s, which is %+v, %v", text, got, again, err)
		}
	}
}

func TestParseAddressSaysWhatIsWrong(t *testing.T) {
	const forms = "want tcp://[HOST]:PORT, unix:///PATH or ws://[HOST]:PORT"
	for text, want := range map[string]string{
		"":                                    forms,
		"9999":                                forms,
		":9999":                               forms,
		"localhost:9999":                      forms,
		"127.0.0.1:9999":                      forms,
		"/run/lockd.sock":                     forms,
		"http://localhost:9999":               forms,
		"tcp:9999":                            forms,
		"unix:/a":                             "", // as good as with three slashes, or an error
		"tcp://":                              "no port; want tcp://[HOST]:PORT",
		"tcp://localhost":                     "no port; want tcp://[HOST]:PORT",
		"ws://localhost:":                     "no port; want ws://[HOST]:PORT",
		"tcp://[::1]":                         "no port; want tcp://[HOST]:PORT",
		"tcp://:65536":                        "port 65536 is not between 0 and 65535",
		"ws://:99999999999":                   "port 99999999999 is not between 0 and 65535",
		"tcp://:http":                         "invalid port",
		"tcp://::1:9999":                      "",
		"tcp://:9999/path":                    "nothing may follow the port",
		"tcp://:9999?mode=0600":               "nothing may follow the port",
		"tcp://:9999#x":                       "nothing may follow the port",
		"tcp://user@host:9999":                "nothing may follow the port; want tcp://[HOST]:PORT",
		"ws://:9998/path":                     "nothing may follow the port; want ws://[HOST]:PORT",
		"unix://":                             "the path must be absolute; want unix:///PATH, with three slashes",
		"unix:///":                            "the path must be absolute",
		"unix://run/lockd.sock":               "the path must be absolute; want unix:///PATH, with three slashes",
		"unix:lockd.sock":                     forms,
		"unix:///a?mode=0888":                 `mode "0888" is not an octal file mode like 0660`,
		"unix:///a?mode=rw":                   `mode "rw" is not an octal file mode like 0660`,
		"unix:///a?mode=":                     `mode "" is not an octal file mode like 0660`,
		"unix:///a?mode=01777":                `mode "01777" is not an octal file mode like 0660`,
		"unix:///a?owner=root":                `unknown option "owner"; known are mode and group`,
		"unix:///a?mode=%zz":                  "invalid URL escape",
		"unix:///a;b?x;y":                     "",
		"unix:///" + strings.Repeat("x", 107): "the path has 108 bytes, a socket's may have 107",
		"tcp://host name:1":                   "invalid character",
		"tcp://[::1:9999":                     "missing ']'",
	} {
		a, err := server.ParseAddress(text)
		if want == "" {
			continue // what matters is below
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %+v, %v; want %q", text, a, err, want)
			continue
		}
		if strings.Count(err.Error(), text) > 1 && len(text) > len("unix:///") || !strings.HasPrefix(err.Error(), "listen address ") {
			t.Errorf("the error for %q reads %q", text, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, text := range []string{
		"tcp://:9999", "ws://[::1]:9998/", "unix:///run/lockd.sock?mode=0600&group=lockd",
		"unix:////a//b", "unix:///%00", "unix:///a%2Fb?group=%26", "tcp://é:1", "tcp://[v1.x]:1", "unix:///a#b", "unix://u@/a",
		"tcp://%41:1", "unix:///a?mode=0", "unix:///a;b", "unix:///%3f",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := server.ParseAddress(text)
		if err != nil {
			return
		}
		again, err := server.ParseAddress(a.String())
		if err != nil || again != a {
			t.Fatalf("%q is %+v, prints as %q, which is %+v, %v", text, a, a.String(), again, err)
		}
	})
}

// A link-local address has a zone, whose % the text must escape.
func TestAnAddressWithAZonePrintsAsItReads(t *testing.T) {
	want := server.Address{Transport: server.TCP, HostPort: "[fe80::1%lo]:9999"}
	const text = "tcp://[fe80::1%25lo]:9999"
	got, err := server.ParseAddress(text)
	if err != nil || got != want {
		t.Fatalf("%s is %+v, %v; want %+v", text, got, err, want)
	}
	if got.String() != text {
		t.Errorf("it prints as %s", got)
	}
	if again, err := server.ParseAddress(got.String()); err != nil || again != got {
		t.Errorf("what it prints as is %+v, %v", again, err)
	}
}

// net/url takes these apart in a way that nobody means.
func TestAnIPv6AddressWithoutBracketsIsAnError(t *testing.T) {
	for _, text := range []string{"tcp://::1:9999", "ws://::0", "tcp://fe80::1:80", "tcp://a:b:1"} {
		if a, err := server.ParseAddress(text); err == nil {
			t.Errorf("%s is %s", text, a)
		}
	}
}

func TestAUnixSocketHasNoFragmentAndNoUser(t *testing.T) {
	for _, text := range []string{"unix:///run/a#b", "unix://user@/run/a", "unix:///run/%00"} {
		if a, err := server.ParseAddress(text); err == nil {
			t.Errorf("%s is %s", text, a)
		}
	}
}
