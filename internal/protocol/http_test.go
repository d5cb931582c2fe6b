package protocol_test

import (
	"strings"
	"testing"

	"lockd/internal/protocol"
)

func TestHTTPRequestLinesAreKnown(t *testing.T) {
	tests := []struct {
		line string
		http bool
	}{
		{"GET / HTTP/1.1", true},
		{"GET / HTTP/1.1\r", true},
		{"GET / HTTP/1.0", true},
		{"GET / HTTP/1.9", true},
		{"POST /g%20x HTTP/1.1", true},
		{"OPTIONS * HTTP/1.1", true},
		{"CONNECT example.org:443 HTTP/1.1", true},
		{"GET http://example.org/ HTTP/1.1", true},
		{"M-SEARCH * HTTP/1.1", true},
		{"GET /\xff HTTP/1.1", true},
		{"", false},
		{"GET", false},
		{"GET /", false},
		{"GET /\r", false},
		{"GET  HTTP/1.1", false},
		{" GET / HTTP/1.1", false},
		{" / HTTP/1.1", false},
		{"GET / HTTP/1.1 ", false},
		{"GET / HTTP/1.", false},
		{"GET / HTTP/1.x", false},
		{"GET / HTTP/1.11", false},
		{"GET / HTTP/2.0", false},
		{"GET / http/1.1", false},
		{"GET / / HTTP/1.1", false},
		{"GET\t/\tHTTP/1.1", false},
		{"PRI * HTTP/2.0", false},
		{"get / HTTP/1.1", false},
		{"Get / HTTP/1.1", false},
		{"g / HTTP/1.1", false},
		{"who / HTTP/1.1", false},
		{"g GET / HTTP/1.1", false},
		{"GET1 / HTTP/1.1", false},
	}
	for _, tt := range tests {
		if got := protocol.IsHTTPRequest([]byte(tt.line)); got != tt.http {
			t.Errorf("IsHTTPRequest(%q) = %t", tt.line, got)
		}
	}
}

func TestTheBeginningOfAnHTTPRequestLineIsKnown(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	tests := []struct {
		head string
		http bool
	}{
		{"GET /", true},
		{"GET /" + long, true},
		{"GET /?g " + long, true},
		{"POST /a HTTP/1.1", true},
		{"", false},
		{"GET", false},
		{"GET ", false},
		{"GET x" + long, false},
		{"GET  /", false},
		{" GET /", false},
		{" /", false},
		{"get /" + long, false},
		{"g /" + long, false},
		{"GET\t/", false},
		{long, false},
		{strings.ToUpper(long), false},
	}
	for _, tt := range tests {
		if got := protocol.MayBeHTTPRequest([]byte(tt.head)); got != tt.http {
			t.Errorf("MayBeHTTPRequest(%.20q) = %t", tt.head, got)
		}
	}
}

func TestNoCommandIsTakenForHTTP(t *testing.T) {
	for word := range words {
		if line := []byte(word + " / HTTP/1.1"); protocol.IsHTTPRequest(line) || protocol.MayBeHTTPRequest(line) {
			t.Errorf("%q is taken for HTTP", line)
		}
	}
}

func TestWhatIsHTTPMayBeHTTP(t *testing.T) {
	// A request line in origin form is told by its beginning, wherever it is
	// cut behind the slash.
	const line = "GET /index.html HTTP/1.1"
	for n := len("GET /"); n <= len(line); n++ {
		if !protocol.MayBeHTTPRequest([]byte(line[:n])) {
			t.Errorf("%q is not taken for the beginning of a request", line[:n])
		}
	}
}
