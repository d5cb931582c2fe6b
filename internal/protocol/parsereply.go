package protocol

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Here a client reads what replylevel2.go and entry.go word. The functions report
// false for what no server of this protocol sends.

// A WaitReply is the reply to a gw or sgw (docs/protocol.md, "Waiting").
type WaitReply struct {
	Count   int           // holders of the lock with this one; 0: not granted
	Token   uint64        // of a grant
	Waited  time.Duration // before a grant, in whole milliseconds
	Failure Failure       // where it was not granted
	Name    string        // of the lock
}

// ParseWaitReply reads a reply to gw, or to sgw where shared is set.
func ParseWaitReply(line string, shared bool) (WaitReply, bool) {
	kind := "Lock Get "
	if shared {
		kind = "Shared " + kind
	}
	number, text, _ := strings.Cut(line, " ")
	count, err := strconv.Atoi(number)
	text, ok := strings.CutPrefix(text, kind)
	if err != nil || count < 0 || !ok {
		return WaitReply{}, false
	}
	r := WaitReply{Count: count}
	outcome, pairs, _ := strings.Cut(text, ": ")
	switch {
	case outcome == "Success" && count > 0:
		r.Name, ok = readPairs(pairs, r.readGrant)
		return r, ok && r.Token > 0
	case outcome == "Failure" && count == 0:
		r.Name, ok = readPairs(pairs, r.Failure.read)
		return r, ok && r.Failure.Reason != ""
	}
	return r, false
}

func (r *WaitReply) readGrant(key, value string) (ok bool) {
	switch key {
	case "token":
		r.Token, ok = readNumber[uint64](value, math.MaxInt64)
	case "waited":
		r.Waited, ok = readMS(value)
	default:
		return true // what later versions may add
	}
	return ok
}

func (f *Failure) read(key, value string) (ok bool) {
	switch key {
	case "reason":
		f.Reason, ok = Reason(value), value != ""
	case "holder":
		f.Holder, ok = strings.TrimPrefix(value, "-"), value != ""
	case "held":
		f.Held, ok = readMS(value)
	case "count":
		f.Count, ok = readNumber[int](value, math.MaxInt32)
	case "max":
		f.Max, ok = readNumber[int](value, math.MaxInt32)
	case "queue":
		f.Queue, ok = readNumber[int](value, math.MaxInt)
	default:
		return true // what later versions may add
	}
	return ok
}

// An Event is what a watcher is told (docs/protocol.md, "Watching").
type Event struct {
	Kind   string // granted, released, orphaned, forced or lost
	Shared bool
	Token  uint64
	Addr   string // of the holder
	Name   string // of the lock
	Lost   uint64 // lost: how many events are missing
}

// ParseEvent reads what begins with "* ".
func ParseEvent(line string) (Event, bool) {
	text, ok := strings.CutPrefix(line, "* ")
	if !ok {
		return Event{}, false
	}
	var e Event
	kind, pairs, _ := strings.Cut(text, " ")
	e.Kind = kind
	switch kind {
	case "granted", "released", "orphaned", "forced":
		e.Name, ok = readPairs(pairs, e.read)
		return e, ok && e.Token > 0
	case "lost":
		count, found := strings.CutPrefix(pairs, "count=")
		e.Lost, ok = readNumber[uint64](count, math.MaxInt64)
		return e, ok && found
	}
	return e, false
}

func (e *Event) read(key, value string) (ok bool) {
	switch key {
	case "mode":
		e.Shared, ok = readMode(value)
	case "token":
		e.Token, ok = readNumber[uint64](value, math.MaxInt64)
	case "addr":
		e.Addr, ok = value, value != ""
	default:
		return true // what later versions may add
	}
	return ok
}

// ParseGone reads the reply to a fr or kick that found somebody.
func ParseGone(line string) (count int, ok bool) {
	text, found := strings.CutPrefix(line, "1 ok count=")
	count, ok = readNumber[int](text, math.MaxInt32)
	return count, found && ok
}

// ParseEntry reads a line of ls. Age is in whole milliseconds.
func ParseEntry(line []byte) (Entry, bool) {
	var read entryJSON
	if json.Unmarshal(line, &read) != nil {
		return Entry{}, false
	}
	shared, ok := readMode(read.Mode)
	since, err := time.Parse(time.RFC3339, read.Since)
	held := read.State == "held"
	if !ok || err != nil || !held && read.State != "waiting" || read.MS < 0 || read.MS > MaxWaitMS {
		return Entry{}, false
	}
	e := Entry{
		Name: []byte(read.Name), Shared: shared, Waiting: !held, Addr: read.Addr, Who: read.Who,
		Since: since, Age: time.Duration(read.MS) * time.Millisecond,
	}
	if read.NameBase64 != nil {
		e.Name = read.NameBase64
	}
	if read.WhoBase64 != nil {
		e.Who = string(read.WhoBase64)
	}
	if read.Max != nil {
		e.Max = *read.Max
	}
	if held {
		e.Token, ok = readNumber[uint64](read.Token, math.MaxInt64)
	}
	return e, ok
}

// readPairs hands every KEY=VALUE to read, but for name, which is the rest of the
// text and is returned.
func readPairs(text string, read func(key, value string) bool) (name string, ok bool) {
	for {
		if name, ok = strings.CutPrefix(text, "name="); ok {
			return name, true
		}
		pair, rest, more := strings.Cut(text, " ")
		key, value, _ := strings.Cut(pair, "=")
		if !more || !read(key, value) {
			return "", false
		}
		text = rest
	}
}

func readMode(word string) (shared, ok bool) {
	return word == "shared", word == "shared" || word == "exclusive"
}

func readMS(text string) (time.Duration, bool) {
	ms, ok := readNumber[int64](text, MaxWaitMS)
	return time.Duration(ms) * time.Millisecond, ok
}

func readNumber[T int | int64 | uint64](text string, most int64) (T, bool) {
	n, ok := parseNumber([]byte(text), most)
	return T(n), ok
}
