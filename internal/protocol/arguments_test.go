package protocol_test

import (
	"bytes"
	"math/big"
	"strings"
	"testing"
	"time"

	"lockd/internal/protocol"
)

const ms = time.Millisecond

func TestParseWait(t *testing.T) {
	tests := []struct {
		arg   string
		limit time.Duration
		name  string
		ok    bool
	}{
		{"0 foo", 0, "foo", true},
		{"-1 foo", protocol.Forever, "foo", true},
		{"1 foo", ms, "foo", true},
		{"250 a b c", 250 * ms, "a b c", true},
		{"007 foo", 7 * ms, "foo", true},
		{strings.Repeat("0", 100) + "7 foo", 7 * ms, "foo", true},
		{"9223372036854 foo", 9223372036854 * ms, "foo", true}, // 292 years
		{"5", 5 * ms, "", true},
		{"-1", protocol.Forever, "", true},
		{"5 6 7", 5 * ms, "6 7", true},
		{"5 -1", 5 * ms, "-1", true},
		{"5 \x00\xff", 5 * ms, "\x00\xff", true},
		{arg: ""},
		{arg: "foo"},
		{arg: "foo 5"},
		{arg: "-2 foo"},
		{arg: "-0 foo"},
		{arg: "-01 foo"},
		{arg: "--1 foo"},
		{arg: "- 1 foo"},
		{arg: "+1 foo"},
		{arg: "1.0 foo"},
		{arg: "1,0 foo"},
		{arg: "1e3 foo"},
		{arg: "0x10 foo"},
		{arg: "0b1 foo"},
		{arg: "1_000 foo"},
		{arg: "10ms foo"},
		{arg: "5\x00 foo"},
		{arg: "٣ foo"}, // a digit, of another script
		{arg: "9223372036855 foo"},
		{arg: "9223372036854775807 foo"},
		{arg: "9223372036854775808 foo"},
		{arg: "18446744073709551616 foo"},
		{arg: strings.Repeat("9", 1000) + " foo"},
	}
	for _, tt := range tests {
		w, ok := protocol.ParseWait([]byte(tt.arg))
		if ok != tt.ok || ok && (w.Limit != tt.limit || string(w.Name) != tt.name || w.Max != 0) {
			t.Errorf("ParseWait(%q) = %v, %t; want %v %q, %t", tt.arg, w, ok, tt.limit, tt.name, tt.ok)
		}
	}
}

func TestParseSharedWait(t *testing.T) {
	tests := []struct {
		arg   string
		limit time.Duration
		max   int
		name  string
		ok    bool
	}{
		{"0 0 foo", 0, 0, "foo", true},
		{"-1 1 foo", protocol.Forever, 1, "foo", true},
		{"250 3 a b", 250 * ms, 3, "a b", true},
		{"0 2147483647 foo", 0, 2147483647, "foo", true},
		{"5 6", 5 * ms, 6, "", true},
		{"5 6 7 8", 5 * ms, 6, "7 8", true},
		{arg: ""},
		{arg: "5"},
		{arg: "-1"},
		{arg: "5 foo"},
		{arg: "foo 5 bar"},
		{arg: "5 -1 foo"},
		{arg: "5 -0 foo"},
		{arg: "5 +1 foo"},
		{arg: "5 1.5 foo"},
		{arg: "5 0x1 foo"},
		{arg: "5 2147483648 foo"},
		{arg: "5 4294967296 foo"},
		{arg: "5 9223372036854775808 foo"},
		{arg: "-2 1 foo"},
		{arg: "+5 1 foo"},
		{arg: "9223372036855 1 foo"},
	}
	for _, tt := range tests {
		w, ok := protocol.ParseSharedWait([]byte(tt.arg))
		if ok != tt.ok || ok && (w.Limit != tt.limit || w.Max != tt.max || string(w.Name) != tt.name) {
			t.Errorf("ParseSharedWait(%q) = %v, %t; want %v %d %q, %t", tt.arg, w, ok, tt.limit, tt.max, tt.name, tt.ok)
		}
	}
}

func TestParseBreak(t *testing.T) {
	tests := []struct {
		arg    string
		shared bool
		token  uint64
		name   string
		ok     bool
	}{
		{"x 0 foo", false, 0, "foo", true},
		{"s 0 foo", true, 0, "foo", true},
		{"x 12 a b", false, 12, "a b", true},
		{"s 9223372036854775807 foo", true, 9223372036854775807, "foo", true},
		{"x 0", false, 0, "", true},
		{arg: ""},
		{arg: "x"},
		{arg: "s"},
		{arg: "0 foo"},
		{arg: "x foo"},
		{arg: "- 0 foo"},
		{arg: "X 0 foo"},
		{arg: "xs 0 foo"},
		{arg: "exclusive 0 foo"},
		{arg: "x -1 foo"},
		{arg: "x +1 foo"},
		{arg: "x 1.0 foo"},
		{arg: "x 0x1 foo"},
		{arg: "x 9223372036854775808 foo"},
		{arg: "x 18446744073709551617 foo"},
	}
	for _, tt := range tests {
		shared, token, name, ok := protocol.ParseBreak([]byte(tt.arg))
		if ok != tt.ok || ok && (shared != tt.shared || token != tt.token || string(name) != tt.name) {
			t.Errorf("ParseBreak(%q) = %t, %d, %q, %t; want %t, %d, %q, %t",
				tt.arg, shared, token, name, ok, tt.shared, tt.token, tt.name, tt.ok)
		}
	}
}

func TestParseLs(t *testing.T) {
	tests := []struct {
		arg               string
		exclusive, shared bool
		prefix            string
		ok                bool
	}{
		{"", true, true, "", true},
		{"-", true, true, "", true},
		{"x", true, false, "", true},
		{"s", false, true, "", true},
		{"x foo", true, false, "foo", true},
		{"s a b", false, true, "a b", true},
		{"- -", true, true, "-", true},
		{arg: "foo"},
		{arg: "foo x"},
		{arg: "xs"},
		{arg: "X"},
		{arg: "-x"},
		{arg: "*"},
	}
	for _, tt := range tests {
		exclusive, shared, prefix, ok := protocol.ParseLs([]byte(tt.arg))
		if ok != tt.ok || ok && (exclusive != tt.exclusive || shared != tt.shared || string(prefix) != tt.prefix) {
			t.Errorf("ParseLs(%q) = %t, %t, %q, %t; want %t, %t, %q, %t",
				tt.arg, exclusive, shared, prefix, ok, tt.exclusive, tt.shared, tt.prefix, tt.ok)
		}
	}
}

func TestParseLevel(t *testing.T) {
	tests := []struct {
		arg   string
		level int
		ok    bool
	}{
		{"lockd/1", 1, true},
		{"lockd/2", 2, true},
		{"lockd/99", 99, true},
		{"lockd/2147483647", 2147483647, true},
		{arg: ""},
		{arg: "lockd"},
		{arg: "lockd/"},
		{arg: "lockd/0"},
		{arg: "lockd/-1"},
		{arg: "lockd/+2"},
		{arg: "lockd/2.0"},
		{arg: "lockd/x"},
		{arg: "lockd/2x"},
		{arg: "lockd/2 x"},
		{arg: "lockd/ 2"},
		{arg: "lockd /2"},
		{arg: "Lockd/2"},
		{arg: "xlockd/2"},
		{arg: "lockd/lockd/2"},
		{arg: "2"},
	}
	for _, tt := range tests {
		if level, ok := protocol.ParseLevel([]byte(tt.arg)); ok != tt.ok || ok && level != tt.level {
			t.Errorf("ParseLevel(%q) = %d, %t; want %d, %t", tt.arg, level, ok, tt.level, tt.ok)
		}
	}
}

// "A server answers the highest level it knows up to the one asked": whatever
// number that is.
func TestParseLevelKnowsEveryNumber(t *testing.T) {
	for _, arg := range []string{"lockd/2147483648", "lockd/9223372036854775808", "lockd/" + strings.Repeat("9", 100)} {
		if level, ok := protocol.ParseLevel([]byte(arg)); !ok || level < protocol.Level {
			t.Errorf("ParseLevel(%q) = %d, %t; want a level from %d on", arg, level, ok, protocol.Level)
		}
	}
}

func TestVerbOf(t *testing.T) {
	for line, want := range map[string]protocol.Verb{
		"cancel": protocol.Cancel, "  cancel \r": protocol.Cancel, "cancel x": protocol.Cancel,
		"cancel\tx": protocol.Unknown, "cancelx": protocol.Unknown, "\x00": protocol.Unknown, "gw  -1  foo": protocol.GetWait,
	} {
		before := []byte(line)
		if verb, ok := protocol.VerbOf(before); !ok || verb != want || string(before) != line {
			t.Errorf("VerbOf(%q) = %q, %t, leaving %q; want %q", line, verb, ok, before, want)
		}
	}
	for _, line := range []string{"", " ", " \t\r\v\f"} {
		if verb, ok := protocol.VerbOf([]byte(line)); ok {
			t.Errorf("VerbOf(%q) = %q, want none", line, verb)
		}
	}
}

// number is a decimal number of the protocol by other means, -1 where there is
// none from 0 to limit.
func number(word, limit string) *big.Int {
	none := big.NewInt(-1)
	if word == "" || strings.Trim(word, "0123456789") != "" {
		return none
	}
	n, _ := new(big.Int).SetString(word, 10)
	most, _ := new(big.Int).SetString(limit, 10)
	if n.Cmp(most) > 0 {
		return none
	}
	return n
}

// FuzzArguments holds the parsers of arguments against the text of the protocol.
func FuzzArguments(f *testing.F) {
	for _, arg := range []string{
		"", "0 foo", "-1 foo", "5 6 a b", "x 0 foo", "s 12 a", "- a", "lockd/2", "lockd/99999999999", "-2 1 x", "+1 2 x", "00 00 x",
		"9223372036854 2147483647 x", "9223372036855 2147483648 x", "x 9223372036854775807 a", "s 9223372036854775808 a", "٣ a",
	} {
		f.Add([]byte(arg))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		if !parseable(arg) {
			return
		}
		before := bytes.Clone(arg)
		checkWait(t, arg)
		checkBreakAndListing(t, arg)
		if !bytes.Equal(arg, before) {
			t.Fatalf("the argument was %q and is %q", before, arg)
		}
	})
}

// parseable tells whether Parse could have returned arg.
func parseable(arg []byte) bool {
	c, ok := protocol.Parse(append([]byte("g "), arg...))
	return ok && bytes.Equal(c.Arg, arg) && bytes.IndexByte(arg, '\n') < 0
}

func checkWait(t *testing.T, arg []byte) {
	first, rest, _ := strings.Cut(string(arg), " ")
	limit := number(first, "9223372036854")
	forever := first == "-1"
	w, ok := protocol.ParseWait(arg)
	if want := forever || limit.Sign() >= 0; ok != want {
		t.Fatalf("ParseWait(%q) = %v, %t", arg, w, ok)
	}
	if ok && (string(w.Name) != rest || !forever && w.Limit != time.Duration(limit.Int64())*ms || forever && w.Limit != protocol.Forever) {
		t.Fatalf("ParseWait(%q) = %v", arg, w)
	}
	second, name, _ := strings.Cut(rest, " ")
	most := number(second, "2147483647")
	shared, sharedOK := protocol.ParseSharedWait(arg)
	if want := ok && most.Sign() >= 0; sharedOK != want {
		t.Fatalf("ParseSharedWait(%q) = %v, %t", arg, shared, sharedOK)
	}
	if sharedOK && (shared.Limit != w.Limit || int64(shared.Max) != most.Int64() || string(shared.Name) != name) {
		t.Fatalf("ParseSharedWait(%q) = %v", arg, shared)
	}
}

func checkBreakAndListing(t *testing.T, arg []byte) {
	mode, rest, _ := strings.Cut(string(arg), " ")
	word, wantName, _ := strings.Cut(rest, " ")
	wantToken := number(word, "9223372036854775807")
	shared, token, name, ok := protocol.ParseBreak(arg)
	if want := (mode == "x" || mode == "s") && wantToken.Sign() >= 0; ok != want {
		t.Fatalf("ParseBreak(%q): %t", arg, ok)
	}
	if ok && (shared != (mode == "s") || token != wantToken.Uint64() || string(name) != wantName) {
		t.Fatalf("ParseBreak(%q) = %t, %d, %q", arg, shared, token, name)
	}
	exclusive, shared, prefix, ok := protocol.ParseLs(arg)
	if want := mode == "x" || mode == "s" || mode == "-" || mode == ""; ok != want {
		t.Fatalf("ParseLs(%q): %t", arg, ok)
	}
	if ok && (exclusive != (mode != "s") || shared != (mode != "x") || string(prefix) != rest) {
		t.Fatalf("ParseLs(%q) = %t, %t, %q", arg, exclusive, shared, prefix)
	}
}
