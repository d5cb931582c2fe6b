package admin_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"lockd/internal/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// endpoint is a server on a loopback listener.
type endpoint struct {
	*admin.Server
	addr   string // HOST:PORT
	url    string // http://HOST:PORT
	client *http.Client
	served chan error // gets what Serve returned
}

// withDefaults fills in what every endpoint needs.
func withDefaults(opts admin.Options) admin.Options {
	if opts.Gatherer == nil {
		registry := prometheus.NewRegistry()
		registry.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "answer", Help: "The answer."}, func() float64 { return 42 }))
		opts.Gatherer = registry
	}
	if opts.Ready == nil {
		opts.Ready = func() bool { return true }
	}
	if opts.Status == nil {
		opts.Status = func() admin.Status { return admin.Status{Version: "1.2.3"} }
	}
	return opts
}

// serve starts an endpoint and ends it with the test.
func serve(t *testing.T, opts admin.Options) *endpoint {
	t.Helper()
	l := listen(t, "tcp", "127.0.0.1:0")
	e := &endpoint{
		Server: admin.New(withDefaults(opts)),
		addr:   l.Addr().String(),
		url:    "http://" + l.Addr().String(),
		client: &http.Client{Transport: &http.Transport{}, Timeout: patience},
		served: make(chan error, 1),
	}
	go func() { e.served <- e.Serve(l) }()
	t.Cleanup(func() {
		e.client.CloseIdleConnections()
		e.end(t)
	})
	return e
}

// end closes the endpoint at once, whatever is under way.
func (e *endpoint) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = e.Shutdown(ctx) // complains about what the test has left under way
	e.returned(t)
}

// returned waits for Serve, which must have seen nothing wrong.
func (e *endpoint) returned(t *testing.T) {
	t.Helper()
	select {
	case err := <-e.served:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
		e.served <- nil // for who waits again
	case <-time.After(patience):
		t.Error("Serve did not return")
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// reply is an answer whose body was read.
type reply struct {
	*http.Response
	body string
}

// get asks for path; headers are pairs of a name and a value.
func (e *endpoint) get(t *testing.T, path string, headers ...string) reply {
	t.Helper()
	return e.do(t, http.MethodGet, path, headers...)
}

func (e *endpoint) do(t *testing.T, method, path string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, e.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := e.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp, string(body)}
}

// dial opens a connection that the test closes.
func (e *endpoint) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends a request on a raw connection.
func ask(t *testing.T, conn net.Conn, path string) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: lockd\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

// answered reads one answer from a raw connection and returns its status.
func answered(t *testing.T, conn net.Conn) int {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func TestEachPathAnswers(t *testing.T) {
	e := serve(t, admin.Options{})
	for _, tc := range []struct {
		path, accept string
		status       int
		kind         string // Content-Type begins with
		body         string // contains
	}{
		{"/metrics", "", 200, "text/plain; version=0.0.4", "\nanswer 42\n"},
		{"/metrics", "application/openmetrics-text;version=1.0.0", 200, "application/openmetrics-text; version=1.0.0", "\n# EOF\n"},
		{"/healthz", "", 200, "text/plain; charset=utf-8", "ok\n"},
		{"/readyz", "", 200, "text/plain; charset=utf-8", "ok\n"},
		{"/", "*/*", 200, "text/plain; charset=utf-8", "lockd 1.2.3 "},
		{"/", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", 200, "text/html; charset=utf-8", "<h1>lockd</h1>"},
		{"/nothing", "", 404, "text/plain; charset=utf-8", "404"},
		{"/index.html", "text/html", 404, "text/plain; charset=utf-8", "404"},
		{"/metrics/", "", 404, "text/plain; charset=utf-8", "404"},
		{"/debug/pprof/", "", 404, "text/plain; charset=utf-8", "404"},
		{"/debug/pprof/cmdline", "", 404, "text/plain; charset=utf-8", "404"},
		// Registered on http.DefaultServeMux by a package that is linked in.
		{"/debug/requests", "", 404, "text/plain; charset=utf-8", "404"},
	} {
		t.Run(tc.path+" "+tc.accept, func(t *testing.T) {
			got := e.get(t, tc.path, "Accept", tc.accept)
			if got.StatusCode != tc.status || !strings.Contains(got.body, tc.body) {
				t.Errorf("%s: %q", got.Status, got.body)
			}
			if kind := got.Header.Get("Content-Type"); !strings.HasPrefix(kind, tc.kind) {
				t.Errorf("Content-Type: %s", kind)
			}
			for header, want := range map[string]string{
				"X-Content-Type-Options": "nosniff",
				"X-Frame-Options":        "deny",
				"Referrer-Policy":        "no-referrer",
				"Cache-Control":          "no-store",
			} {
				if v := got.Header.Values(header); len(v) == 0 || v[0] != want {
					// The 404 of net/http takes caching headers away.
					if header != "Cache-Control" || tc.status != 404 {
						t.Errorf("%s: %q, want %s", header, v, want)
					}
				}
			}
		})
	}
}

func TestOnlyGETAndHEADAreMethods(t *testing.T) {
	e := serve(t, admin.Options{Pprof: true})
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/symbol"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get"} {
			got := e.do(t, method, path)
			if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %s, Allow: %s", method, path, got.Status, got.Header.Get("Allow"))
			}
		}
		if got := e.do(t, http.MethodHead, path); got.StatusCode != http.StatusOK || got.body != "" {
			t.Errorf("HEAD %s: %s with %q", path, got.Status, got.body)
		}
	}
}

func TestReadyzSaysWhetherTheServerIsReadyAndHealthzDoesNotCare(t *testing.T) {
	var ready atomic.Bool
	e := serve(t, admin.Options{Ready: ready.Load})
	for _, tc := range []struct {
		ready  bool
		status int
		body   string
	}{
		{false, 503, "not ready: starting or closing\n"},
		{true, 200, "ok\n"},
		{false, 503, "not ready: starting or closing\n"},
	} {
		ready.Store(tc.ready)
		if got := e.get(t, "/readyz"); got.StatusCode != tc.status || got.body != tc.body {
			t.Errorf("/readyz, ready=%v: %s %q", tc.ready, got.Status, got.body)
		}
		if got := e.get(t, "/healthz"); got.StatusCode != 200 || got.body != "ok\n" {
			t.Errorf("/healthz, ready=%v: %s %q", tc.ready, got.Status, got.body)
		}
	}
}

func TestProfilesAreThereWhereSwitchedOn(t *testing.T) {
	e := serve(t, admin.Options{Pprof: true})
	for path, want := range map[string]string{
		"/debug/pprof/":                    "full goroutine stack dump",
		"/debug/pprof/goroutine?debug=1":   "goroutine profile:",
		"/debug/pprof/cmdline":             "test",
		"/debug/pprof/symbol?0x0":          "num_symbols",
		"/debug/pprof/trace?seconds=0.001": "go 1.",
		"/debug/pprof/profile?seconds=1":   "\x1f\x8b",
	} {
		if got := e.get(t, path); got.StatusCode != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %s, %.200q", path, got.Status, got.body)
		}
	}
}

func TestMetricsThatCannotBeGatheredAreAnError(t *testing.T) {
	registry := prometheus.NewRegistry()
	desc := prometheus.NewDesc("broken", "Broken.", nil, nil)
	registry.MustRegister(prometheus.CollectorFunc(func(ch chan<- prometheus.Metric) {
		ch <- prometheus.NewInvalidMetric(desc, context.Canceled)
	}))
	e := serve(t, admin.Options{Gatherer: registry})
	if got := e.get(t, "/metrics"); got.StatusCode != http.StatusInternalServerError {
		t.Errorf("%s: %q", got.Status, got.body)
	}
}

// slowGatherer blocks a scrape, which tells entered that it began, until
// release is closed.
type slowGatherer struct{ entered, release chan struct{} }

func newSlowGatherer() slowGatherer {
	return slowGatherer{make(chan struct{}, 1), make(chan struct{})}
}

func (g slowGatherer) Gather() ([]*dto.MetricFamily, error) {
	g.entered <- struct{}{}
	<-g.release
	return nil, nil
}

func TestShutdownLetsARequestUnderWayFinish(t *testing.T) {
	slow := newSlowGatherer()
	e := serve(t, admin.Options{Gatherer: slow})
	conn := e.dial(t)
	ask(t, conn, "/metrics")
	<-slow.entered

	ended := make(chan error, 1)
	go func() { ended <- e.Shutdown(t.Context()) }()
	refusesConnections(t, e.addr)
	select {
	case err := <-ended:
		t.Fatalf("Shutdown did not wait: %v", err)
	case <-e.served:
		t.Fatal("Serve did not wait")
	default:
	}
	close(slow.release)
	if status := answered(t, conn); status != 200 {
		t.Errorf("the request under way: %d", status)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	e.returned(t)
}

// refusesConnections waits until nothing listens any more.
func refusesConnections(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
	}
	t.Fatal("still accepts connections")
}

func TestShutdownWhoseTimeIsOverClosesWhatIsLeft(t *testing.T) {
	slow := newSlowGatherer()
	defer close(slow.release)
	e := serve(t, admin.Options{Gatherer: slow})
	conn := e.dial(t)
	ask(t, conn, "/metrics")
	<-slow.entered

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(nil)
	if err := e.Shutdown(ctx); err == nil {
		t.Error("Shutdown gave up on a request and returned no error")
	}
	e.returned(t)
	closedWithoutAByte(t, conn)
}

// closedWithoutAByte holds when the peer has closed, by FIN or reset.
func closedWithoutAByte(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(make([]byte, 1))
	var netErr net.Error
	if n != 0 || err == nil || isTimeout(err, &netErr) {
		t.Errorf("read %d bytes, error %v; want a closed connection", n, err)
	}
}

func TestShutdownCanBeRepeatedAndKeepsLaterListenersOut(t *testing.T) {
	e := serve(t, admin.Options{})
	for range 3 {
		if err := e.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	e.returned(t)
	l := listen(t, "tcp", "127.0.0.1:0")
	<-e.served // of the first Serve, seen already
	go func() { e.served <- e.Serve(l) }()
	e.returned(t)
	refusesConnections(t, l.Addr().String())
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	l.Close()
	err := admin.New(withDefaults(admin.Options{})).Serve(l)
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Serve: %v, want an error that names %s", err, l.Addr())
	}
}

func TestOneServerServesSeveralListeners(t *testing.T) {
	e := serve(t, admin.Options{})
	second := listen(t, "tcp", "127.0.0.1:0")
	served := make(chan error, 1)
	go func() { served <- e.Serve(second) }()
	for _, url := range []string{e.url, "http://" + second.Addr().String()} {
		e.url = url
		if got := e.get(t, "/healthz"); got.StatusCode != 200 {
			t.Errorf("%s: %s", url, got.Status)
		}
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve of the second: %v", err)
	}
}
