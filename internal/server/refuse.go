package server

import "fmt"

// answerToHTTP is what an HTTP client at a lock port is told: the way to what it
// was probably looking for.
func answerToHTTP(metricsURL string) []byte {
	body := "This is the lock port of lockd, which does not speak HTTP.\n"
	if metricsURL != "" {
		body += "Metrics, health and status are at " + metricsURL + "\n"
	}
	return fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}
