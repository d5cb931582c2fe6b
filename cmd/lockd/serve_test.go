package main

import (
	"testing"

	"lockd/internal/server"
)

func TestTCPAddressIsShortForAURL(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"9999", "tcp://:9999"},
		{":9999", "tcp://:9999"},
		{"127.0.0.1:9999", "tcp://127.0.0.1:9999"},
		{"[::1]:9999", "tcp://[::1]:9999"},
		{"lock.example.com:0", "tcp://lock.example.com:0"},
	} {
		got := tcpAddress(tc.text)
		if got != tc.want {
			t.Errorf("tcpAddress(%q) = %q, want %q", tc.text, got, tc.want)
		}
		if _, err := server.ParseAddress(got); err != nil {
			t.Errorf("-t %s: %v", tc.text, err)
		}
	}
}

func TestWhatIsNoTCPAddressIsRefused(t *testing.T) {
	for _, text := range []string{"", "localhost", "::1", "[::1]", "127.0.0.1", "99999", "-1", "9999/x", "tcp://:9999", "a b:1"} {
		if a, err := server.ParseAddress(tcpAddress(text)); err == nil {
			t.Errorf("-t %q is taken for %s", text, a)
		}
	}
}
