package protocol

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// An Entry is a line of ls (docs/protocol.md, "Seeing"): one holder of a lock, or
// one who waits for it.
type Entry struct {
	Name    []byte
	Shared  bool
	Waiting bool
	Addr    string
	Who     string // the name it has given itself
	Token   uint64 // of a holder
	Max     int    // of who waits for a shared lock
	Since   time.Time
	Age     time.Duration // the time since then, by a clock that nobody sets
}

// entryJSON is an [Entry] as it stands on the wire. A token has more bits than
// a JSON number can be trusted with.
type entryJSON struct {
	Name       string `json:"name"`
	NameBase64 []byte `json:"name_base64,omitempty"`
	Mode       string `json:"mode"`
	State      string `json:"state"`
	Addr       string `json:"addr"`
	Who        string `json:"who"`
	WhoBase64  []byte `json:"who_base64,omitempty"`
	Token      string `json:"token,omitempty"`
	Max        *int   `json:"max,omitempty"`
	Since      string `json:"since"`
	MS         int64  `json:"ms"`
}

// An EntryEncoder words the lines of an ls. It is for one goroutine at a time.
type EntryEncoder struct {
	line bytes.Buffer
	json *json.Encoder
}

// NewEntryEncoder returns an encoder.
func NewEntryEncoder() *EntryEncoder {
	e := new(EntryEncoder)
	e.json = json.NewEncoder(&e.line)
	e.json.SetEscapeHTML(false)
	return e
}

// Append appends the line of an entry.
func (e *EntryEncoder) Append(dst []byte, entry Entry) []byte {
	line := entryJSON{
		Name: string(entry.Name), NameBase64: unlessUTF8(string(entry.Name)),
		Who: entry.Who, WhoBase64: unlessUTF8(entry.Who),
		Mode: modeWord(entry.Shared), State: "held", Addr: entry.Addr,
		Since: entry.Since.UTC().Format(sinceLayout), MS: max(entry.Age, 0).Milliseconds(),
	}
	if entry.Waiting {
		line.State = "waiting"
		if entry.Shared {
			line.Max = &entry.Max
		}
	} else {
		line.Token = strconv.FormatUint(entry.Token, 10)
	}
	e.line.Reset()
	if err := e.json.Encode(line); err != nil {
		panic("protocol: " + err.Error()) // strings and numbers always encode
	}
	return append(dst, e.line.Bytes()...)
}

// sinceLayout is RFC 3339 with milliseconds.
const sinceLayout = "2006-01-02T15:04:05.000Z07:00"

// unlessUTF8 returns what JSON cannot say of a text.
func unlessUTF8(text string) []byte {
	if utf8.ValidString(text) {
		return nil
	}
	return []byte(text)
}
