package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/internal/server"
)

// ls reads a listing: objects by the names of their fields.
func (c *client) ls(arg string) (entries []map[string]any) {
	c.Helper()
	c.send(strings.TrimSpace("ls "+arg) + "\n")
	for line := c.line(); line != "\n"; line = c.line() {
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		entry := make(map[string]any)
		if err := decoder.Decode(&entry); err != nil || decoder.More() {
			c.Fatalf("%q is no object: %v", line, err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// brief shows entries: name mode state addr.
func briefEntries(entries []map[string]any) (lines []string) {
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("%v %v %v %v", e["name"], e["mode"], e["state"], e["addr"]))
	}
	return lines
}

func TestLsHasTheFieldsOfTheProtocol(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		before := time.Now()
		a, b := s.connect(transport), s.connect(transport)
		a.ask("iam alpha 1", "1 ok\n")
		a.ask("gw 0 foo", "1 Lock Get Success: token=1 waited=0 name=foo\n")
		a.ask("sgw 0 3 foo", "1 Shared Lock Get Success: token=2 max=3 waited=0 name=foo\n")
		b.send("sgw -1 1 foo\n")
		s.waits(b)
		c := s.connect(transport)
		c.send("gw -1 foo\n")
		s.waits(c)
		const least = 20
		passed(t, time.Now(), least*time.Millisecond)
		got := s.connect(transport).ls("")
		want := []map[string]any{
			{"name": "foo", "mode": "exclusive", "state": "held", "addr": a.addr, "who": "alpha 1", "token": "1"},
			{"name": "foo", "mode": "exclusive", "state": "waiting", "addr": c.addr, "who": ""},
			{"name": "foo", "mode": "shared", "state": "held", "addr": a.addr, "who": "alpha 1", "token": "2"},
			{"name": "foo", "mode": "shared", "state": "waiting", "addr": b.addr, "who": "", "max": json.Number("1")},
		}
		for i, e := range got {
			checkAge(t, e, before, least)
			delete(e, "since")
			delete(e, "ms")
			if i >= len(want) || fmt.Sprint(e) != fmt.Sprint(want[i]) {
				t.Errorf("entry %d is %v, want %v", i, e, want[i])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d entries, want %d", len(got), len(want))
		}
	})
}

// checkAge wants since and ms to tell the same time, after before and at least so
// many milliseconds ago.
func checkAge(t *testing.T, entry map[string]any, before time.Time, least int64) {
	t.Helper()
	text, _ := entry["since"].(string)
	since, err := time.Parse(time.RFC3339, text)
	if err != nil || !strings.HasSuffix(text, "Z") {
		t.Errorf("since is %q, %v", text, err)
	}
	number, _ := entry["ms"].(json.Number)
	ms, err := number.Int64()
	if err != nil || ms < least || ms > time.Since(before).Milliseconds() {
		t.Errorf("ms is %q, %v", number, err)
	}
	// A second for clocks that are set.
	if since.Before(before.Add(-time.Second)) || time.Since(since) < time.Duration(ms)*time.Millisecond-time.Second {
		t.Errorf("since is %v, ms %d; the test has begun at %v", since, ms, before)
	}
}

func TestLsChoosesModesAndPrefixes(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a := s.connect(transport)
		for _, command := range []string{"g a", "g ab", "g ab c", "g b", "g", "sg a", "sg ab c", "sg B"} {
			a.send(command + "\n")
			a.line()
		}
		for arg, want := range map[string][]string{
			"":         {" x", "B s", "a x", "a s", "ab x", "ab c x", "ab c s", "b x"},
			"-":        {" x", "B s", "a x", "a s", "ab x", "ab c x", "ab c s", "b x"},
			"x":        {" x", "a x", "ab x", "ab c x", "b x"},
			"s":        {"B s", "a s", "ab c s"},
			"- a":      {"a x", "a s", "ab x", "ab c x", "ab c s"},
			"x ab":     {"ab x", "ab c x"},
			"x  ab \t": {"ab x", "ab c x"},
			"x ab  c":  {"ab c x"},
			"s ab c":   {"ab c s"},
			"s b":      nil,
			"- abc":    nil,
			"x x":      nil,
		} {
			var got []string
			for _, e := range a.ls(arg) {
				got = append(got, fmt.Sprint(e["name"], " ", map[any]string{"exclusive": "x", "shared": "s"}[e["mode"]]))
			}
			if !slices.Equal(got, want) {
				t.Errorf("ls %s has %q, want %q", arg, got, want)
			}
		}
	})
}

func TestLsIsSortedAndShowsTheQueueInItsOrder(t *testing.T) {
	s := start(t)
	a, watching := s.connect("tcp4"), s.connect("tcp6")
	a.send("g zz\ng foo\nsg foo\ng aa\n")
	a.want("1 Lock Get Success: zz\n1 Lock Get Success: foo\n1 Shared Lock Get Success: foo\n1 Lock Get Success: aa\n")
	b := s.connect("unix")
	b.ask("sg foo", "2 Shared Lock Get Success: foo\n")
	want := []string{
		"aa exclusive held " + a.addr, "foo exclusive held " + a.addr,
		"foo shared held " + a.addr, "foo shared held " + b.addr, "zz exclusive held " + a.addr,
	}
	if got := briefEntries(watching.ls("")); !slices.Equal(got, want) {
		t.Errorf("ls has %q, want %q", got, want)
	}
	var exclusive, shared []string
	var waiters []*client
	for i := range 16 {
		c := s.connect(everyTransport[i%len(everyTransport)])
		if i%3 == 0 {
			c.send("sgw -1 1 foo\n")
			shared = append(shared, "foo shared waiting "+c.addr)
		} else {
			c.send("gw -1 foo\n")
			exclusive = append(exclusive, "foo exclusive waiting "+c.addr)
		}
		s.waits(c)
		waiters = append(waiters, c)
	}
	want = slices.Insert(slices.Insert(want, 4, shared...), 2, exclusive...)
	if got := briefEntries(watching.ls("")); !slices.Equal(got, want) {
		t.Errorf("ls has %q, want %q", got, want)
	}
	// The head of the queue is a holder now, and all others one place ahead.
	a.ask("r foo", "1 Lock Release Success: foo\n")
	waiters[1].wantGranted("foo")
	want = append(slices.Clone(exclusive), shared...)
	want[0] = "foo exclusive held " + waiters[1].addr
	var got []string
	for _, line := range briefEntries(watching.ls("- foo")) {
		if !strings.Contains(line, "shared held") {
			got = append(got, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("ls has %q, want %q", got, want)
	}
}

func TestLsOfNamesThatAreNoText(t *testing.T) {
	names := []string{"\xff\xfe", "a\x80b", "\xc3", "\x00", "ünï \u2028", "\"\\<>&", "{}", ""}
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a := s.connect(transport)
		want := make(map[string]bool)
		for _, name := range names {
			a.ask("g "+name, "1 Lock Get Success: "+name+"\n")
			want[name] = true
		}
		for _, who := range []string{"\xff who", "\x00", "ünï"} {
			a.ask("iam "+who, "1 ok\n")
			for _, e := range a.ls("x") {
				if name := text(t, e, "name"); !want[name] {
					t.Errorf("there is a lock %q", name)
				}
				if got := text(t, e, "who"); got != who {
					t.Errorf("who is %q, want %q", got, who)
				}
			}
		}
		if got := len(a.ls("x")); got != len(names) {
			t.Errorf("%d locks, want %d", got, len(names))
		}
		if got := a.ls("- \xff"); len(got) != 1 || text(t, got[0], "name") != "\xff\xfe" {
			t.Errorf("those that begin with \\xff are %v", got)
		}
	})
}

// text returns a field that may not be UTF-8.
func text(t *testing.T, entry map[string]any, field string) string {
	t.Helper()
	value, _ := entry[field].(string)
	raw, given := entry[field+"_base64"].(string)
	if given != strings.Contains(value, "\ufffd") {
		t.Errorf("%v has %s_base64 where it should not, or has not where it should", entry, field)
	}
	if !given {
		return value
	}
	bytes, err := base64.StdEncoding.DecodeString(raw)
	if err != nil {
		t.Errorf("%s_base64 is %q: %v", field, raw, err)
	}
	return string(bytes)
}

func TestLsShowsNoNamesWithTheRegistryOff(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		a, b := s.connect(transport), s.connect(transport)
		a.send("iam alpha\ng foo\n")
		a.want("1 ok\n1 Lock Get Success: foo\n")
		b.send("iam beta\n")
		b.want("1 ok\n")
		b.send("gw -1 foo\n")
		s.waits(b)
		whos := func() (names []string) {
			for _, e := range s.connect(transport).ls("") {
				names = append(names, e["who"].(string))
			}
			return names
		}
		if got := whos(); !slices.Equal(got, []string{"alpha", "beta"}) {
			t.Errorf("who is %q", got)
		}
		s.change(func(set *server.Settings) { set.Registry = false })
		if got := whos(); !slices.Equal(got, []string{"", ""}) {
			t.Errorf("with the registry off, who is %q", got)
		}
	})
}

func TestLsOfNothing(t *testing.T) {
	talkEverywhere(t, `
		A> ls
		A<
		A> ls x
		A<
		A> ls - foo
		A<
		A> me lockd/2
		A< 2 {A} {A}
		A> ls
		A<
		A> ping
		A< 1 pong
	`)
}

func TestALongLs(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		const n = 3000
		s.fill(n)
		c := s.connect(transport)
		c.send("ls x\nping\n")
		for i := range n {
			if line := c.line(); !strings.HasPrefix(line, fmt.Sprintf(`{"name":"%06d `, i)) {
				t.Fatalf("line %d is %q", i, line)
			}
		}
		c.want("\n1 pong\n")
		if got := c.ls("- 00001"); len(got) != 20 {
			t.Errorf("%d begin with 00001, want 20", len(got))
		}
	})
}
