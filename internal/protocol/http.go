package protocol

import (
	"bytes"
	"fmt"
)

// IsHTTPRequest reports whether a connection's first line is an HTTP request
// line, METHOD TARGET HTTP/1.x: then the peer is a web page's browser or a
// scraper at the wrong port, and nothing it sends may be run
// (docs/protocol.md, "HTTP").
func IsHTTPRequest(line []byte) bool {
	line = bytes.TrimSuffix(line, []byte("\r"))
	method, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || !isMethod(method) {
		return false
	}
	target, version, ok := bytes.Cut(rest, []byte(" "))
	digit, isHTTP := bytes.CutPrefix(version, []byte("HTTP/1."))
	return ok && len(target) > 0 && isHTTP && len(digit) == 1 && '0' <= digit[0] && digit[0] <= '9'
}

// MayBeHTTPRequest is [IsHTTPRequest] for a first line over the limit, whose
// end is not there to be seen: a browser can be made to send one, but always of
// the form METHOD /PATH.
func MayBeHTTPRequest(head []byte) bool {
	method, target, ok := bytes.Cut(head, []byte(" "))
	return ok && isMethod(method) && bytes.HasPrefix(target, []byte("/"))
}

// isMethod tells a method as browsers send them. Lower-case words are no
// methods, so no command of this protocol is ever taken for one.
func isMethod(word []byte) bool {
	for _, c := range word {
		if (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return len(word) > 0
}

// AppendHTTPAnswer appends what an HTTP client at a lock port is told: the way to
// what it was probably looking for, where metricsURL says it.
func AppendHTTPAnswer(dst []byte, metricsURL string) []byte {
	body := "This is the lock port of lockd, which does not speak HTTP.\n"
	if metricsURL != "" {
		body += "Metrics, health and status are at " + metricsURL + "\n"
	}
	return fmt.Appendf(dst, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}
