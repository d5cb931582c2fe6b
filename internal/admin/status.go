package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"lockd/internal/human"
)

var (
	//go:embed status.html
	statusHTML string
	//go:embed status.css
	statusCSS string
)

// Status is what the status page shows.
type Status struct {
	Version, Commit, GoVersion string
	Uptime                     time.Duration
	Addresses                  []string // that clients are served at, as URLs
	Transports                 []Transport
	Modes                      []Mode
	OldestWaiter               time.Duration // how long the one waits who waits longest, where anybody does
	TableBytes                 int64         // that the names and bookkeeping of locks and waiters take
	Watchers                   uint64        // connections that watch locks now
	LostEvents                 uint64        // that watchers were too slow for, since the start
	Commands                   []Count
	InvalidCommands            uint64
	Refused                    []Count // connections, by reason
	Limited                    []Count // commands, by the limit that made them fail
}

// A Transport is one way to connect.
type Transport struct {
	Name     string
	Open     uint64 // connections now
	Accepted uint64 // connections since the start
}

// A Mode is one name space of locks, exclusive or shared.
type Mode struct {
	Name                    string
	Locks, Holders, Waiters uint64 // now
	Orphans                 uint64 // since the start
}

// A Count is one of a family of counters, since the start.
type Count struct {
	Name  string
	Value uint64
}

// statusPage answers with what Status returns: HTML to who asks for it, as
// browsers do, and text to all others, as to curl.
type statusPage struct {
	opts   Options
	html   *template.Template
	policy string // Content-Security-Policy
}

func newStatusPage(opts Options) *statusPage {
	sum := sha256.Sum256([]byte(statusCSS))
	return &statusPage{
		opts: opts,
		html: template.Must(template.New("status").Funcs(template.FuncMap{"digits": human.Digits}).Parse(statusHTML)),
		policy: "default-src 'none'; img-src data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

// view is what both forms of the page are made of.
type view struct {
	Status
	Ready  bool
	Up     string
	Pprof  bool
	Style  template.CSS
	Tables []table
}

// A table has a name and values in each row.
type table struct {
	Title   string
	Columns []string // that of the names first; none where the names say it all
	Rows    []row
	Note    string
}

// A row has numbers, or a text instead.
type row struct {
	Name    string
	Numbers []uint64
	Text    string
}

// ServeHTTP implements [http.Handler].
func (p *statusPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status := p.opts.Status()
	v := view{
		Status: status,
		Ready:  p.opts.Ready(),
		Up:     human.Age(status.Uptime),
		Pprof:  p.opts.Pprof,
		Style:  template.CSS(statusCSS), // our own, so it needs no escaping
		Tables: tables(status),
	}
	w.Header().Add("Vary", "Accept")
	if !wantsHTML(r.Header.Values("Accept")) {
		answer(w, http.StatusOK, v.text())
		return
	}
	p.serveHTML(w, v)
}

func (p *statusPage) serveHTML(w http.ResponseWriter, v view) {
	var page bytes.Buffer
	if err := p.html.Execute(&page, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	setDefault(w.Header(), "Content-Security-Policy", p.policy)
	_, _ = page.WriteTo(w) // fails only where nobody reads any more
}

// wantsHTML tells whether an Accept header names HTML; "*/*", which curl sends,
// does not.
func wantsHTML(accept []string) bool {
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil || kind != "text/html" {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		return err != nil || q > 0
	}
	return false
}

func tables(s Status) []table {
	list := []table{transportTable(s.Transports), modeTable(s), waitingTable(s)}
	for _, t := range []table{
		countTable("Refused connections", "reason", s.Refused),
		countTable("Commands over a limit", "limit", s.Limited),
		countTable("Commands", "command", s.Commands, Count{"(invalid)", s.InvalidCommands}),
	} {
		if len(t.Rows) > 0 {
			list = append(list, t)
		}
	}
	return list
}

func transportTable(transports []Transport) table {
	t := table{Title: "Connections", Columns: []string{"transport", "open", "accepted"}}
	for _, tr := range transports {
		t.Rows = append(t.Rows, row{Name: tr.Name, Numbers: []uint64{tr.Open, tr.Accepted}})
	}
	return t
}

func modeTable(s Status) table {
	t := table{
		Title:   "Locks",
		Columns: []string{"mode", "locks", "holders", "waiters", "orphans"},
		Note: "Orphans are holds that ended with their connection. " +
			"Names and bookkeeping take " + human.Bytes(s.TableBytes) + ".",
	}
	for _, m := range s.Modes {
		t.Rows = append(t.Rows, row{Name: m.Name, Numbers: []uint64{m.Locks, m.Holders, m.Waiters, m.Orphans}})
	}
	return t
}

func waitingTable(s Status) table {
	oldest := "none"
	for _, m := range s.Modes {
		if m.Waiters > 0 {
			oldest = human.Age(s.OldestWaiter)
		}
	}
	return table{
		Title: "Waiting and watching",
		Rows: []row{
			{Name: "oldest waiter", Text: oldest},
			{Name: "watchers", Numbers: []uint64{s.Watchers}},
			{Name: "lost events", Numbers: []uint64{s.LostEvents}},
		},
		Note: "Lost events are those that watchers were too slow for.",
	}
}

func countTable(title, column string, counts []Count, more ...Count) table {
	t := table{Title: title, Columns: []string{column, "count"}}
	for _, c := range append(counts[:len(counts):len(counts)], more...) {
		t.Rows = append(t.Rows, row{Name: c.Name, Numbers: []uint64{c.Value}})
	}
	return t
}

// text is the page for terminals, its numbers as programs read them.
func (v view) text() string {
	var b strings.Builder
	state := "ready"
	if !v.Ready {
		state = "not ready"
	}
	fmt.Fprintf(&b, "lockd %s (commit %s, %s), %s, up %s\n\n", v.Version, v.Commit, v.GoVersion, state, v.Up)
	addresses := v.Addresses
	if len(addresses) == 0 {
		addresses = []string{"none"}
	}
	fmt.Fprintf(&b, "Addresses\n  %s\n", strings.Join(addresses, "\n  "))
	for _, t := range v.Tables {
		b.WriteString("\n" + t.Title + "\n")
		t.writeText(&b)
	}
	return b.String()
}

func (t table) writeText(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(t.Columns) > 0 {
		fmt.Fprintf(tw, "  %s\n", strings.Join(t.Columns, "\t"))
	}
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "  %s", r.Name)
		for _, n := range r.Numbers {
			fmt.Fprintf(tw, "\t%d", n)
		}
		if r.Text != "" {
			fmt.Fprintf(tw, "\t%s", r.Text)
		}
		fmt.Fprintln(tw)
	}
	_ = tw.Flush() // w keeps what it is given in memory
	if t.Note != "" {
		fmt.Fprintf(w, "  %s\n", t.Note)
	}
}
