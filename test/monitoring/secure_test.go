package monitoring_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"lockd/test/needs"
)

const password = "correct horse battery staple"

// secured writes what http_web_config needs for TLS and a password, and returns
// the configuration. DIR/cert.pem is also what clients trust.
func secured(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	write(t, filepath.Join(dir, "web.yml"), fmt.Sprintf(
		"tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {prometheus: %q}\n", hash))
	return "http_web_config: " + filepath.Join(dir, "web.yml") + "\n"
}

// withTLS makes the lines on TLS and passwords in prometheus.yml, which are
// comments there, part of the configuration.
func withTLS(t *testing.T, dir string) func(string) string {
	return func(config string) string {
		start := strings.Index(config, "    #scheme: https")
		if start < 0 {
			t.Fatal("prometheus.yml does not tell how to scrape by TLS")
		}
		lines := regexp.MustCompile(`(?m)^    #`).ReplaceAllString(config[start:], "    ")
		lines = strings.ReplaceAll(lines, "lockd-ca.pem", filepath.Join(dir, "cert.pem"))
		return config[:start] + strings.ReplaceAll(lines, "lockd-password", filepath.Join(dir, "password"))
	}
}

func TestPrometheusScrapesByTLSAndPasswordAndIsRefusedWithAWrongOne(t *testing.T) {
	needs.Full(t, "prometheus", "promtool")
	t.Parallel()
	dir := t.TempDir()
	server := startLockd(t, secured(t, dir))
	write(t, filepath.Join(dir, "password"), password)
	p := startPrometheus(t, server.http, quicker, withTLS(t, dir))
	p.becomes(t, `up{job="lockd"}`, 1)
	p.becomes(t, `sum(lockd_connections)`, 0)
	newLoad(t, server).connect(unixOnly)
	p.becomes(t, `lockd_connections{transport="unix"}`, 1)
	promtool(t, "", "check", "config", filepath.Join(p.dir, "prometheus.yml"))

	for _, tc := range []struct{ name, password string }{{"a wrong password", "wrong"}, {"none", ""}} {
		write(t, filepath.Join(dir, "password"), tc.password)
		p.becomes(t, `up{job="lockd"}`, 0)
		p.alerts(t, "LockdDown", "firing")
		write(t, filepath.Join(dir, "password"), password)
		p.becomes(t, `up{job="lockd"}`, 1)
	}

	// Nor does one who speaks no TLS learn anything.
	answer, err := http.Get("http://" + server.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS the answer is %s", answer.Status)
	}

	// A Prometheus that has lost its target says so.
	p.configure(t, server.http, func(config string) string {
		return strings.Replace(config, `["`+server.http+`"]`, "[]", 1)
	})
	p.signal(syscall.SIGHUP)
	p.alerts(t, "LockdNotScraped", "firing")
}
