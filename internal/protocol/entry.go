package protocol

import (
	"bytes"
	"encoding/base64"
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

// An EntryEncoder words the lines of an ls. The zero value is ready; it is for one
// goroutine at a time.
//
// A listing can have a million of them, most of which need nothing of JSON but
// quotes: these take a fifth of the time that encoding/json does. What needs more is
// left to that.
type EntryEncoder struct {
	second int64  // since 1970
	text   []byte // of that second; empty where none was worded yet
}

// Append appends the line of an entry.
func (e *EntryEncoder) Append(dst []byte, entry Entry) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendText(dst, entry.Name, `,"name_base64":`)
	dst = append(dst, `,"mode":"`...)
	dst = append(dst, modeWord(entry.Shared)...)
	if entry.Waiting {
		dst = append(dst, `","state":"waiting","addr":`...)
	} else {
		dst = append(dst, `","state":"held","addr":`...)
	}
	dst = appendString(dst, entry.Addr)
	dst = append(dst, `,"who":`...)
	dst = appendText(dst, entry.Who, `,"who_base64":`)
	switch {
	case !entry.Waiting:
		dst = append(dst, `,"token":"`...)
		dst = append(strconv.AppendUint(dst, entry.Token, 10), '"')
	case entry.Shared:
		dst = append(dst, `,"max":`...)
		dst = strconv.AppendInt(dst, int64(entry.Max), 10)
	}
	dst = append(dst, `,"since":"`...)
	dst = e.appendTime(dst, entry.Since)
	dst = append(dst, `","ms":`...)
	dst = strconv.AppendInt(dst, max(entry.Age, 0).Milliseconds(), 10)
	return append(dst, "}\n"...)
}

// appendText appends a text and, behind the key for it, all its bytes where JSON
// cannot say them.
func appendText[T string | []byte](dst []byte, text T, base64Key string) []byte {
	dst = appendString(dst, text)
	if plain(text) || utf8.ValidString(string(text)) {
		return dst
	}
	dst = append(append(dst, base64Key...), '"')
	return append(base64.StdEncoding.AppendEncode(dst, []byte(text)), '"')
}

// appendString appends a string of JSON.
func appendString[T string | []byte](dst []byte, text T) []byte {
	if plain(text) {
		dst = append(dst, '"')
		dst = append(dst, text...)
		return append(dst, '"')
	}
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(string(text)); err != nil {
		panic("protocol: " + err.Error()) // strings always encode
	}
	return append(dst, bytes.TrimSuffix(quoted.Bytes(), []byte{'\n'})...)
}

// plain tells whether a text stands for itself in JSON.
func plain[T string | []byte](text T) bool {
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' || b == '"' || b == '\\' {
			return false
		}
	}
	return true
}

// appendTime appends a time as RFC 3339 has it, with milliseconds. Many locks are got
// within one second, so its text is kept.
func (e *EntryEncoder) appendTime(dst []byte, t time.Time) []byte {
	if second := t.Unix(); second != e.second || len(e.text) == 0 {
		e.second = second
		e.text = t.UTC().AppendFormat(e.text[:0], time.DateOnly+"T"+time.TimeOnly)
	}
	ms := t.Nanosecond() / int(time.Millisecond)
	dst = append(dst, e.text...)
	return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}
