package admin

import (
	"io"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newHandler returns the handler of all listeners. The mux is our own:
// packages that are linked in put debug pages on http.DefaultServeMux. It
// answers methods other than GET and HEAD by itself.
func (s *Server) newHandler() http.Handler {
	page := newStatusPage(s.opts)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorLog:          s.errorLog(),
	}))
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /{$}", page)
	if s.opts.Pprof {
		handleProfiles(mux)
	}
	return withHeaders(mux)
}

func handleProfiles(mux *http.ServeMux) {
	for path, handler := range map[string]http.HandlerFunc{
		"":        pprof.Index, // and all named profiles below it
		"cmdline": pprof.Cmdline,
		"profile": pprof.Profile,
		"symbol":  pprof.Symbol,
		"trace":   pprof.Trace,
	} {
		mux.HandleFunc("GET /debug/pprof/"+path, handler)
	}
}

// healthz answers as long as there is a process to answer.
func healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "ok\n")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.opts.Ready() {
		answer(w, http.StatusServiceUnavailable, "not ready: starting or closing\n")
		return
	}
	answer(w, http.StatusOK, "ok\n")
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // fails only where nobody reads any more
}

// withHeaders keeps answers out of caches and of other sites' frames, and
// browsers from guessing what they are.
func withHeaders(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setDefault(w.Header(), "Cache-Control", "no-store")
		setDefault(w.Header(), "Referrer-Policy", "no-referrer")
		setDefault(w.Header(), "X-Content-Type-Options", "nosniff")
		setDefault(w.Header(), "X-Frame-Options", "deny")
		h.ServeHTTP(w, r)
	})
}

// setDefault leaves a header alone that the web configuration has set.
func setDefault(h http.Header, key, value string) {
	if h.Get(key) == "" {
		h.Set(key, value)
	}
}
