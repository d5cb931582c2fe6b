package serverurl_test

import (
	"testing"

	"lockd/internal/serverurl"
)

func TestParse(t *testing.T) {
	form := serverurl.Form{Ports: map[string]string{"tcp": "9999", "ws": "9998"}, Want: "what there is"}
	for text, want := range map[string]string{
		"tcp://host:1":        "tcp host:1",
		"tcp://host":          "tcp host:9999",
		"host":                "tcp host:9999",
		"host:1":              "tcp host:1",
		"[::1]":               "tcp [::1]:9999",
		"tcp://host:1/":       "tcp host:1",
		"ws://host":           "ws host:9998",
		"unix:///run/s.sock":  "unix /run/s.sock",
		"redis://host":        `address "redis://host": want what there is`,
		"unix://run/s.sock":   `address "unix://run/s.sock": the path must be absolute; want unix:///PATH, with three slashes`,
		"unix:///":            `address "unix:///": the path must be absolute; want unix:///PATH, with three slashes`,
		"tcp://host:1/x":      `address "tcp://host:1/x": nothing may follow the port; want tcp://HOST:PORT`,
		"tcp://host:1?x":      `address "tcp://host:1?x": nothing may follow the port; want tcp://HOST:PORT`,
		"tcp://user@host:1":   `address "tcp://user@host:1": nothing may follow the port; want tcp://HOST:PORT`,
		"ws://host:1#x":       `address "ws://host:1#x": nothing may follow the port; want ws://HOST:PORT`,
		"tcp://host:65536":    `address "tcp://host:65536": port 65536 is not between 0 and 65535`,
		"tcp://host:port":     `address "tcp://host:port": invalid port ":port" after host`,
		"tcp://fe80::1:9999/": `address "tcp://fe80::1:9999/": an IPv6 address goes in brackets: [::1]:9999`,
	} {
		scheme, target, err := form.Parse(text)
		got := scheme + " " + target
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
