package protocol

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"
)

// obviously words an entry with encoding/json.
func obviously(t testing.TB, entry Entry) string {
	line := entryJSON{
		Name: string(entry.Name), NameBase64: unlessUTF8(string(entry.Name)),
		Who: entry.Who, WhoBase64: unlessUTF8(entry.Who),
		Mode: modeWord(entry.Shared), State: "held", Addr: entry.Addr,
		Since: entry.Since.UTC().Format("2006-01-02T15:04:05.000Z07:00"), MS: max(entry.Age, 0).Milliseconds(),
	}
	if entry.Waiting {
		line.State = "waiting"
		if entry.Shared {
			line.Max = &entry.Max
		}
	} else {
		line.Token = strconv.FormatUint(entry.Token, 10)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func unlessUTF8(text string) []byte {
	if utf8.ValidString(text) {
		return nil
	}
	return []byte(text)
}

// FuzzEntryEncoder words two entries in a row: the second must not show what was kept
// of the first.
func FuzzEntryEncoder(f *testing.F) {
	for _, text := range []string{"", "some/lock", `"\`, "<&>", "\u2028\u2029", "a\x7fb", "\x00\t\n", "é", "\xff", "\xed\xa0\x80", "\ufffd"} {
		f.Add([]byte(text), text, text, byte(0), uint64(1), 0, int64(0), int64(1))
		f.Add([]byte(text), "1.2.3.4:5", "", byte(3), uint64(0), 7, int64(1_774_785_906_789), int64(999))
	}
	f.Add([]byte("x"), "", "", byte(0), ^uint64(0), -1, int64(-1), int64(-62_135_596_800_000))
	f.Fuzz(func(t *testing.T, name []byte, addr, who string, flags byte, token uint64, limit int, ms, more int64) {
		const years = 200 * 365 * 24 * 3600 * 1000 // in which RFC 3339 and UnixMilli have no bounds to mind
		ms, more = ms%years, more%years
		first := Entry{
			Name: name, Addr: addr, Who: who, Token: token, Max: limit, Shared: flags&1 != 0, Waiting: flags&2 != 0,
			Since: time.UnixMilli(ms), Age: time.Duration(more),
		}
		second := first
		second.Since, second.Waiting = time.UnixMilli(ms+more%2000), !first.Waiting
		e := new(EntryEncoder)
		for _, entry := range []Entry{first, second} {
			if got, want := string(e.Append([]byte("before"), entry)), "before"+obviously(t, entry); got != want {
				t.Errorf("%+v is worded\n%s, want\n%s", entry, got, want)
			}
		}
	})
}

func BenchmarkEntryEncoder(b *testing.B) {
	e, dst := new(EntryEncoder), make([]byte, 0, 1<<10)
	entry := Entry{Name: []byte("some/lock/123456"), Addr: "127.0.0.1:40000", Token: 1_774_785_906_789, Since: time.UnixMilli(1_774_785_906_789), Age: time.Minute}
	b.ReportAllocs()
	for b.Loop() {
		dst = e.Append(dst[:0], entry)
	}
}
