package admin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockd/internal/admin"
)

func status() admin.Status {
	return admin.Status{
		Version:   "1.2.3",
		Commit:    "0123abc",
		GoVersion: "go1.26.0",
		Uptime:    3*24*time.Hour + 4*time.Hour + 5*time.Minute,
		Addresses: []string{"tcp://[::]:9999", "unix:///run/lockd.sock"},
		Transports: []admin.Transport{
			{Name: "tcp", Open: 12, Accepted: 3456789},
			{Name: "unix", Open: 1, Accepted: 2},
			{Name: "websocket"},
		},
		Modes: []admin.Mode{
			{Name: "exclusive", Locks: 1017, Holders: 1017, Waiters: 2345, Orphans: 5},
			{Name: "shared", Locks: 3, Holders: 9, Orphans: 1},
		},
		OldestWaiter:    3*time.Minute + 12*time.Second + 900*time.Millisecond,
		TableBytes:      1234567,
		Watchers:        8,
		LostEvents:      76543,
		Commands:        []admin.Count{{Name: "d", Value: 0}, {Name: "g", Value: 1234567890}, {Name: "q", Value: 999}},
		InvalidCommands: 7,
		Refused:         []admin.Count{{Name: "allow_from", Value: 4}, {Name: "connections", Value: 0}},
		Limited:         []admin.Count{{Name: "locks_per_connection", Value: 0}, {Name: "table_bytes", Value: 6}},
	}
}

func page(t *testing.T, opts admin.Options, accept string) reply {
	t.Helper()
	return serve(t, opts).get(t, "/", "Accept", accept)
}

func TestTheTextPageIsTheOneInTestdata(t *testing.T) {
	want, err := os.ReadFile("testdata/status.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := page(t, admin.Options{Status: status}, "*/*")
	if got.body != string(want) {
		t.Errorf("the page is not that of testdata/status.txt, but:\n%s", got.body)
	}
}

func TestTheHTMLPageShowsAllOfTheStatus(t *testing.T) {
	got := page(t, admin.Options{Status: status}, "text/html")
	text := regexp.MustCompile(`(?:<style>[^<]*</style>|<[^>]*>|[ \n])+`).ReplaceAllString(got.body, " ")
	for _, want := range []string{
		"ready version 1.2.3 · commit 0123abc · go1.26.0 · up&nbsp;3d4h",
		"tcp://[::]:9999", "unix:///run/lockd.sock",
		"transport open accepted tcp 12 3\u202f456\u202f789 unix 1 2 websocket 0 0",
		"mode locks holders waiters orphans exclusive 1\u202f017 1\u202f017 2\u202f345 5 shared 3 9 0 1",
		"Names and bookkeeping take 1.2 MiB.",
		"oldest waiter 3m12s watchers 8 lost events 76\u202f543",
		"command count d 0 g 1\u202f234\u202f567\u202f890 q 999 (invalid) 7",
		"reason count allow_from 4 connections 0",
		"limit count locks_per_connection 0 table_bytes 6",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
}

func TestAServerWithoutAddressesSaysSo(t *testing.T) {
	for accept, want := range map[string]string{"text/html": ">none</li>", "text/plain": "Addresses\n  none\n"} {
		if got := page(t, admin.Options{}, accept); !strings.Contains(got.body, want) {
			t.Errorf("%s: no %q in\n%s", accept, want, got.body)
		}
	}
}

func TestThePageSaysWhetherTheServerIsReady(t *testing.T) {
	for _, accept := range []string{"text/html", "text/plain"} {
		for ready, want := range map[bool]bool{true: false, false: true} {
			got := page(t, admin.Options{Ready: func() bool { return ready }}, accept)
			if strings.Contains(got.body, "not ready") != want {
				t.Errorf("%s, ready=%v: %s", accept, ready, got.body)
			}
		}
	}
}

func TestThePageIsEscapedAndLoadsNothing(t *testing.T) {
	const hostile = `<script>alert("1")</script><img src=x onerror=alert(1)>`
	got := page(t, admin.Options{Pprof: true, Status: func() admin.Status {
		return admin.Status{
			Version:    hostile,
			Commit:     hostile,
			GoVersion:  hostile,
			Addresses:  []string{hostile},
			Transports: []admin.Transport{{Name: hostile}},
			Modes:      []admin.Mode{{Name: hostile}},
			Commands:   []admin.Count{{Name: hostile}},
			Refused:    []admin.Count{{Name: hostile}},
			Limited:    []admin.Count{{Name: hostile}},
		}
	}}, "text/html")
	if found := regexp.MustCompile(`<(script|img|iframe|object)`).FindString(got.body); found != "" {
		t.Errorf("%s is in the page:\n%s", found, got.body)
	}
	if found := regexp.MustCompile(`(?:src|href)="?(?:https?:|//)|@import|url\(`).FindString(got.body); found != "" {
		t.Errorf("the page loads something by %s", found)
	}
	policy := got.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", policy)
	}
}

func TestThePolicyAllowsThePagesOwnStyle(t *testing.T) {
	got := page(t, admin.Options{}, "text/html")
	_, rest, _ := strings.Cut(got.body, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"
	if policy := got.Header.Get("Content-Security-Policy"); style == "" || !strings.Contains(policy, want) {
		t.Errorf("no %s for the style of the page in %s", want, policy)
	}
}

func TestEveryLinkOfThePageLeadsSomewhere(t *testing.T) {
	link := regexp.MustCompile(`<a href="([^"]*)"`)
	for pprof, want := range map[bool]int{false: 3, true: 4} {
		e := serve(t, admin.Options{Pprof: pprof})
		links := link.FindAllStringSubmatch(e.get(t, "/", "Accept", "text/html").body, -1)
		if len(links) != want {
			t.Errorf("pprof=%v: %d links, want %d", pprof, len(links), want)
		}
		for _, l := range links {
			if got := e.get(t, "/"+l[1]); got.StatusCode != 200 {
				t.Errorf("%s: %s", l[1], got.Status)
			}
		}
	}
}

func TestHTMLIsForThoseWhoNameIt(t *testing.T) {
	e := serve(t, admin.Options{})
	for accept, html := range map[string]bool{
		"": false, "*/*": false, "text/plain": false, "text/*": false, "nonsense;;": false,
		"text/html;q=0, */*":                  false,
		"text/html":                           true,
		"TEXT/HTML; charset=x":                true,
		"text/html;q=0.5, */*":                true,
		"application/json, text/html;level=1": true,
	} {
		got := e.get(t, "/", "Accept", accept)
		if strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") != html {
			t.Errorf("Accept: %q: got %s", accept, got.Header.Get("Content-Type"))
		}
		if got.Header.Get("Vary") != "Accept" {
			t.Errorf("Accept: %q: Vary: %q", accept, got.Header.Get("Vary"))
		}
	}
}

func TestUptimesAndSizesAreShownInReadableUnits(t *testing.T) {
	for _, tc := range []struct {
		uptime time.Duration
		bytes  int64
		want   []string
	}{
		{0, 0, []string{"up 0s\n", "take 0 bytes."}},
		{59*time.Second + 999*time.Millisecond, 1023, []string{"up 59s\n", "take 1023 bytes."}},
		{time.Minute, 1024, []string{"up 1m0s\n", "take 1.0 KiB."}},
		{time.Hour - 1, 1536, []string{"up 59m59s\n", "take 1.5 KiB."}},
		{time.Hour + 2*time.Minute, 3 << 20, []string{"up 1h2m\n", "take 3.0 MiB."}},
		{24 * time.Hour, 5 << 30, []string{"up 1d0h\n", "take 5.0 GiB."}},
		{400*24*time.Hour + time.Hour, 7 << 40, []string{"up 400d1h\n", "take 7.0 TiB."}},
	} {
		got := page(t, admin.Options{Status: func() admin.Status {
			return admin.Status{Uptime: tc.uptime, TableBytes: tc.bytes}
		}}, "")
		for _, want := range tc.want {
			if !strings.Contains(got.body, want) {
				t.Errorf("%v, %d bytes: no %q in\n%s", tc.uptime, tc.bytes, want, got.body)
			}
		}
	}
}

func TestTheOldestWaiterIsTheOneOfAnyModeOrNone(t *testing.T) {
	for _, tc := range []struct {
		exclusive, shared uint64
		oldest            time.Duration
		want              string
	}{
		{0, 0, 0, "none"},
		{1, 0, 0, "0s"}, // this moment
		{1, 0, time.Hour + 7*time.Second, "1h0m"},
		{0, 1, 26 * time.Hour, "1d2h"},
		{2, 1, 45 * time.Second, "45s"},
	} {
		status := func() admin.Status {
			return admin.Status{
				Modes:        []admin.Mode{{Name: "exclusive", Waiters: tc.exclusive}, {Name: "shared", Waiters: tc.shared}},
				OldestWaiter: tc.oldest,
			}
		}
		for accept, want := range map[string]string{
			"text/html": `<th scope="row">oldest waiter</th><td>` + tc.want + "</td>",
			"*/*":       "\n  oldest waiter  " + tc.want + "\n",
		} {
			if got := page(t, admin.Options{Status: status}, accept); !strings.Contains(got.body, want) {
				t.Errorf("%+v: no %q in\n%s", tc, want, got.body)
			}
		}
	}
}
