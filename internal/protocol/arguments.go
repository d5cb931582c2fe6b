package protocol

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"
)

// Arguments of level 2: numbers come before names, and a name is the rest of the
// line. The functions here report false for what is missing, no number, or out of
// range. What they return of bytes is a part of the argument.

// A Wait is the argument of gw and sgw (docs/protocol.md, "Waiting").
type Wait struct {
	Limit time.Duration // how long to wait: 0 tries, [Forever] does not end
	Max   int           // sgw: most holders; 0 is no limit
	Name  []byte
}

// Forever is the limit of a wait that has none.
const Forever = time.Duration(-1)

// MaxWaitMS is the longest wait with an end, in milliseconds: 292 years.
const MaxWaitMS = int64(math.MaxInt64 / time.Millisecond)

// ParseWait takes the argument of [GetWait] apart.
func ParseWait(arg []byte) (w Wait, ok bool) {
	word, rest := cutWord(arg)
	if string(word) == "-1" {
		return Wait{Limit: Forever, Name: rest}, true
	}
	ms, ok := parseNumber(word, MaxWaitMS)
	return Wait{Limit: time.Duration(ms) * time.Millisecond, Name: rest}, ok
}

// ParseSharedWait takes the argument of [SharedGetWait] apart.
func ParseSharedWait(arg []byte) (w Wait, ok bool) {
	w, ok = ParseWait(arg)
	if !ok {
		return w, false
	}
	word, rest := cutWord(w.Name)
	limit, ok := parseNumber(word, math.MaxInt32)
	w.Max, w.Name = int(limit), rest
	return w, ok
}

// ParseBreak takes the argument of [Break] apart: the mode, the token of the
// holder or 0 for whoever holds the lock, and its name.
func ParseBreak(arg []byte) (shared bool, token uint64, name []byte, ok bool) {
	mode, rest := cutWord(arg)
	word, name := cutWord(rest)
	n, ok := parseNumber(word, math.MaxInt64)
	shared = string(mode) == "s"
	return shared, uint64(n), name, ok && (shared || string(mode) == "x")
}

// ParseLs takes the argument of [Ls] apart: which modes, and how the
// names begin.
func ParseLs(arg []byte) (exclusive, shared bool, prefix []byte, ok bool) {
	if len(arg) == 0 {
		return true, true, nil, true
	}
	mode, prefix := cutWord(arg)
	switch string(mode) {
	case "x":
		return true, false, prefix, true
	case "s":
		return false, true, prefix, true
	case "-":
		return true, true, prefix, true
	}
	return false, false, nil, false
}

// ParseLevel takes the argument of [Me] apart. It returns the level that is asked
// for by a handshake, lockd/LEVEL, and reports whether it is one.
func ParseLevel(arg []byte) (level int, ok bool) {
	digits, ok := bytes.CutPrefix(arg, []byte("lockd/"))
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt32, true // higher than any there is
	}
	return int(n), err == nil && n > 0
}

// cutWord cuts arg, which has no blanks but single spaces inside, at the first.
func cutWord(arg []byte) (word, rest []byte) {
	word, rest, _ = bytes.Cut(arg, []byte(" "))
	return word, rest
}

// parseNumber parses a decimal number from 0 to limit, without a sign.
func parseNumber(word []byte, limit int64) (int64, bool) {
	if len(word) == 0 || word[0] < '0' || word[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(word), 10, 64)
	return n, err == nil && n <= limit
}
