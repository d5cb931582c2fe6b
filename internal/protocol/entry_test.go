package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"lockd/internal/protocol"
)

func encode(entries ...protocol.Entry) string {
	text := []byte("before\n")
	lines := new(protocol.EntryEncoder)
	for _, e := range entries {
		text = lines.Append(text, e)
	}
	rest, ok := strings.CutPrefix(string(text), "before\n")
	if !ok {
		return "what stood there before is gone"
	}
	return rest
}

func TestEntriesAreByteForByte(t *testing.T) {
	since := time.Date(2026, 3, 29, 14, 5, 6, 789_000_000, time.FixedZone("", 2*60*60))
	tests := []struct {
		name  string
		entry protocol.Entry
		want  string
	}{
		{
			"a holder",
			protocol.Entry{Name: []byte("a b"), Addr: "1.2.3.4:5", Who: "web 1", Token: 9223372036854775807, Since: since, Age: 1500 * ms},
			`{"name":"a b","mode":"exclusive","state":"held","addr":"1.2.3.4:5","who":"web 1","token":"9223372036854775807","since":"2026-03-29T12:05:06.789Z","ms":1500}`,
		},
		{
			"a holder of a shared lock has no max, which is not stored",
			protocol.Entry{Name: []byte("a"), Shared: true, Addr: "unix:1", Token: 1, Max: 3, Since: since},
			`{"name":"a","mode":"shared","state":"held","addr":"unix:1","who":"","token":"1","since":"2026-03-29T12:05:06.789Z","ms":0}`,
		},
		{
			"who waits has no token",
			protocol.Entry{Name: nil, Waiting: true, Addr: "[::1]:80", Token: 1, Since: since, Age: ms - 1},
			`{"name":"","mode":"exclusive","state":"waiting","addr":"[::1]:80","who":"","since":"2026-03-29T12:05:06.789Z","ms":0}`,
		},
		{
			"who waits for a shared lock has a max",
			protocol.Entry{Name: []byte("a"), Shared: true, Waiting: true, Addr: "x", Max: 3, Since: since},
			`{"name":"a","mode":"shared","state":"waiting","addr":"x","who":"","max":3,"since":"2026-03-29T12:05:06.789Z","ms":0}`,
		},
		{
			"a max of 0 is told",
			protocol.Entry{Name: []byte("a"), Shared: true, Waiting: true, Addr: "x", Since: since},
			`{"name":"a","mode":"shared","state":"waiting","addr":"x","who":"","max":0,"since":"2026-03-29T12:05:06.789Z","ms":0}`,
		},
		{
			"what is no UTF-8",
			protocol.Entry{Name: []byte("\xff\xfe"), Addr: "x", Who: "a\x80", Token: 1, Since: since},
			`{"name":"\ufffd\ufffd","name_base64":"//4=","mode":"exclusive","state":"held","addr":"x","who":"a\ufffd","who_base64":"YYA=","token":"1","since":"2026-03-29T12:05:06.789Z","ms":0}`,
		},
		{
			"what JSON escapes",
			protocol.Entry{Name: []byte("\x00\"\\<&>\u2028ü\x7f"), Addr: "x", Token: 1, Since: since},
			`{"name":"\u0000\"\\<&>\u2028ü` + "\x7f" + `","mode":"exclusive","state":"held","addr":"x","who":"","token":"1","since":"2026-03-29T12:05:06.789Z","ms":0}`,
		},
		{
			"a whole second has its milliseconds",
			protocol.Entry{Name: []byte("a"), Addr: "x", Token: 1, Since: since.Truncate(time.Second)},
			`{"name":"a","mode":"exclusive","state":"held","addr":"x","who":"","token":"1","since":"2026-03-29T12:05:06.000Z","ms":0}`,
		},
		{
			"a clock that went back",
			protocol.Entry{Name: []byte("a"), Addr: "x", Token: 1, Since: since, Age: -time.Hour},
			`{"name":"a","mode":"exclusive","state":"held","addr":"x","who":"","token":"1","since":"2026-03-29T12:05:06.789Z","ms":0}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := encode(tt.entry); got != tt.want+"\n" {
				t.Errorf("got  %swant %s", got, tt.want)
			}
			if got := encode(tt.entry, tt.entry); got != tt.want+"\n"+tt.want+"\n" {
				t.Errorf("two are %q", got)
			}
		})
	}
}

// FuzzEntry wants any names to come back as they were, on one line each.
func FuzzEntry(f *testing.F) {
	f.Add([]byte("a b"), "web 1", uint64(1))
	f.Add([]byte("\xff\n\x00"), "\u2028\xc3", uint64(1<<63-1))
	f.Fuzz(func(t *testing.T, name []byte, who string, token uint64) {
		text := encode(protocol.Entry{Name: name, Who: who, Token: token, Shared: true})
		if strings.IndexByte(text, '\n') != len(text)-1 {
			t.Fatalf("%q is not one line", text)
		}
		var got struct {
			Name, Who, Token string
			NameBytes        []byte `json:"name_base64"`
			WhoBytes         []byte `json:"who_base64"`
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		wantText(t, string(name), got.Name, got.NameBytes)
		wantText(t, who, got.Who, got.WhoBytes)
	})
}

func wantText(t *testing.T, want, text string, raw []byte) {
	t.Helper()
	if utf8.ValidString(want) {
		if text != want || raw != nil {
			t.Fatalf("%q came as %q and %q", want, text, raw)
		}
		return
	}
	if string(raw) != want {
		t.Fatalf("%q came as %q and %q", want, text, raw)
	}
}
