package admin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/internal/admin"
)

// bcrypt hashes of two passwords, of the cheapest kind.
const (
	sesame    = "open sesame"
	hashed    = "$2a$04$YL9Obsq4ml47Qw/Wwi3xZuLtKNeTFVKkcflbs3fmOFpInlXY76Dwq"
	swordfish = "swordfish"
	hashed2   = "$2a$04$NAICjcI3p3wOHuh.EqANTuJFtlVXQqoIbmVWsieFv0Zfbsz/PhRD6"
)

// webConfig writes a web configuration file and returns its path.
func webConfig(t *testing.T, dir string, lines ...string) string {
	t.Helper()
	path := filepath.Join(dir, "web.yaml")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate writes cert.pem and key.pem for 127.0.0.1 into dir and returns
// who trusts them.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "lockd test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for name, content := range map[string][]byte{"cert.pem": certPEM, "key.pem": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

// as asks for /healthz with a password and returns the status.
func (e *endpoint) as(t *testing.T, user, password string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestTheWebConfigurationBringsTLSAndPasswordsAndIsReadAtEachRequest(t *testing.T) {
	dir := t.TempDir()
	trusted := certificate(t, dir)
	encrypted := []string{"tls_server_config:", "  cert_file: cert.pem", "  key_file: key.pem", "basic_auth_users:"}
	path := webConfig(t, dir, append(encrypted, "  ada: "+hashed)...)

	e := serve(t, admin.Options{WebConfig: path})
	if got := e.get(t, "/healthz"); got.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %s", got.Status)
	}
	e.url = "https://" + e.addr
	e.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	if got := e.get(t, "/healthz"); got.StatusCode != http.StatusUnauthorized || got.ProtoMajor != 2 {
		t.Errorf("without a password: %s over %s, want 401 over HTTP/2", got.Status, got.Proto)
	}
	if got := e.as(t, "ada", sesame); got != http.StatusOK {
		t.Errorf("with the password: %d", got)
	}
	for user, password := range map[string]string{"ada": swordfish, "bob": sesame} {
		if got := e.as(t, user, password); got != http.StatusUnauthorized {
			t.Errorf("%s with %q: %d", user, password, got)
		}
	}

	webConfig(t, dir, append(encrypted, "  ada: "+hashed2)...)
	if got := e.as(t, "ada", swordfish); got != http.StatusOK {
		t.Errorf("with the new password: %d", got)
	}
	if got := e.as(t, "ada", sesame); got != http.StatusUnauthorized {
		t.Errorf("with the old password: %d", got)
	}
}

func TestHeadersOfTheWebConfigurationWin(t *testing.T) {
	path := webConfig(t, t.TempDir(), "http_server_config:", "  headers:",
		"    X-Frame-Options: sameorigin", "    Content-Security-Policy: default-src *")
	e := serve(t, admin.Options{WebConfig: path})
	got := e.get(t, "/", "Accept", "text/html")
	for header, want := range map[string]string{
		"X-Frame-Options":         "sameorigin",
		"Content-Security-Policy": "default-src *",
		"X-Content-Type-Options":  "nosniff",
	} {
		if v := got.Header.Values(header); len(v) != 1 || v[0] != want {
			t.Errorf("%s: %q, want %s", header, v, want)
		}
	}
}

func TestABrokenWebConfigurationKeepsTheServerFromServingAndIsNamed(t *testing.T) {
	for name, lines := range map[string][]string{
		"unknown key":      {"tls_config: {}"},
		"not YAML":         {"\t:"},
		"no such key file": {"tls_server_config:", "  cert_file: cert.pem", "  key_file: gone.pem"},
		"half of TLS":      {"tls_server_config:", "  cert_file: cert.pem"},
		"plain password":   {"basic_auth_users:", "  ada: secret"},
		"foreign header":   {"http_server_config:", "  headers:", "    Server: x"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			certificate(t, dir)
			fails(t, webConfig(t, dir, lines...))
		})
	}
	t.Run("no such file", func(t *testing.T) { fails(t, filepath.Join(t.TempDir(), "gone.yaml")) })
}

// fails holds when the configuration at path is refused by name, by the check
// and by Serve, which leaves nothing behind that listens.
func fails(t *testing.T, path string) {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0")
	for who, err := range map[string]error{
		"CheckWebConfig": admin.CheckWebConfig(path),
		"Serve":          admin.New(withDefaults(admin.Options{WebConfig: path})).Serve(l),
	} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names %s", who, err, path)
		}
	}
	refusesConnections(t, l.Addr().String())
}

func TestASoundWebConfigurationIsNoError(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	for _, path := range []string{
		"",
		webConfig(t, dir, "tls_server_config:", "  cert_file: cert.pem", "  key_file: key.pem"),
	} {
		if err := admin.CheckWebConfig(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestAWebConfigurationThatBreaksLaterAnswers500AndDoesNotFloodTheLog(t *testing.T) {
	const requests = 100
	dir := t.TempDir()
	var log logged
	e := serve(t, admin.Options{WebConfig: webConfig(t, dir, "basic_auth_users: {}"), Log: slog.New(&log)})
	if got := e.get(t, "/healthz"); got.StatusCode != 200 {
		t.Fatalf("while it is sound: %s", got.Status)
	}
	if all, loud := log.count(); all == 0 || loud != 0 {
		t.Errorf("the start left %d records, %d of them above debug; want none of them", all, loud)
	}
	webConfig(t, dir, "broken")
	for range requests {
		if got := e.get(t, "/healthz"); got.StatusCode != 500 {
			t.Fatalf("while it is broken: %s", got.Status)
		}
	}
	if all, loud := log.count(); all < requests || loud == 0 || loud > 10 {
		t.Errorf("%d records, %d of them above debug; want at least %d and a few", all, loud, requests)
	}
}
