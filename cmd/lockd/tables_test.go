package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"lockd/client"
	"lockd/internal/human"
)

func TestNoLineIsWiderThanTheScreen(t *testing.T) {
	names := []string{"", "a", strings.Repeat("long", 40), strings.Repeat("鎖", 60), "\x1b[31m" + strings.Repeat("\u202e", 20)}
	var entries []client.Entry
	for _, name := range names {
		entries = append(entries, client.Entry{
			Lock: name, Mode: client.Exclusive, Token: 1 << 62,
			Client: client.Identity{Address: "[2001:db8::1]:65535", Name: name}, Since: time.Now(), Age: 100 * 24 * time.Hour,
		})
	}
	for width := 1; width < 300; width++ {
		table := entryTable(entries).render(screen{width: width})
		for line := range strings.Lines(table) {
			if got := text.StringWidth(strings.TrimSuffix(line, "\n")); got > width {
				t.Fatalf("on a screen of %d a line takes %d: %q", width, got, line)
			}
		}
	}
}

func TestAPipeGetsTheWholeNames(t *testing.T) {
	name := strings.Repeat("long", 400)
	table := entryTable([]client.Entry{{Lock: name, Mode: client.Shared, Client: client.Identity{Name: name}}}).render(screen{})
	if strings.Count(table, name) != 2 || strings.Contains(table, cut) {
		t.Errorf("the table is\n%s", table)
	}
}

func TestJSONHasNothingThatActsOnATerminal(t *testing.T) {
	const hostile = "\x1b[31m \u009b31m \u202e \U000e0001 \x7f \u2028 ok 鎖 \""
	var b bytes.Buffer
	if err := printJSON(environment{stdout: &b}, map[string]string{"name": hostile}); err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if human.Hidden(r) {
			t.Errorf("%U stands in %q", r, b.String())
		}
	}
	var got map[string]string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got["name"] != hostile {
		t.Errorf("%s is read as %q, %v", b.String(), got, err)
	}
}

func TestMissingEventsAreToldLoudly(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var stdout, stderr bytes.Buffer
		env := environment{stdout: &stdout, stderr: &stderr}
		at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
		if err := printEvent(env, client.Event{Kind: client.Lost, Missed: 12}, at, asJSON); err != nil {
			t.Fatal(err)
		}
		want := ""
		if asJSON {
			want = `{"time":"2026-03-04T05:06:07.000Z","event":"lost","count":12}` + "\n"
		}
		if stdout.String() != want || !strings.HasPrefix(stderr.String(), "lockd: warning: up to 12 events are missing") {
			t.Errorf("JSON %v: stdout %q, stderr %q", asJSON, stdout.String(), stderr.String())
		}
	}
}

func TestRatesArePerSecondAndOfCountersOnly(t *testing.T) {
	start := time.Now()
	first := sample{at: start, counters: map[string]uint64{"command_g": 10, "locks": 5, "orphans": 7}}
	next := sample{at: start.Add(2 * time.Second), counters: map[string]uint64{"command_g": 15, "locks": 9, "orphans": 1, "command_iam": 4}}
	if got := first.rates(sample{}); got != nil {
		t.Errorf("the first sample has the rates %v", got)
	}
	got := fmt.Sprint(next.rates(first))
	if want := "map[command_g:2.5 command_iam:2 orphans:0]"; got != want { // a server that was started anew counts from 0
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCompletionsAreSafeAndFew(t *testing.T) {
	all := []string{"b", "b", "", "-v", "bad\x1b", "bad\tdescription", "other", "b c"}
	if got := fmt.Sprintf("%q", offer(all, "")); got != `["b" "other" "b c"]` {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprintf("%q", offer(all, "b")); got != `["b" "b c"]` {
		t.Errorf("got %s for b", got)
	}
	all = nil
	for n := range 5 * mostCompletions {
		all = append(all, fmt.Sprint("lock", n))
	}
	if got := len(offer(all, "lock")); got != mostCompletions {
		t.Errorf("%d are offered", got)
	}
}

func TestAMomentHasItsDayWhereThatIsNotClear(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	for age, want := range map[time.Duration]string{time.Minute: "05:06:07", 48 * time.Hour: "2026-03-04 05:06"} {
		if got := sinceText(client.Entry{Since: at, Age: age}); got != want {
			t.Errorf("%v ago: %q, want %q", age, got, want)
		}
	}
}
