package protocol_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"lockd/internal/protocol"
)

func TestParseTakesALineApart(t *testing.T) {
	const (
		get     = protocol.Get
		unknown = protocol.Unknown
	)
	tests := []struct {
		name, line string
		verb       protocol.Verb
		arg        string
	}{
		{"a name", "g foo", get, "foo"},
		{"no argument", "g", get, ""},
		{"an argument of one space", "g ", get, ""},
		{"an argument of every blank", "g  \t\r\v\f", get, ""},
		{"CRLF", "g foo\r", get, "foo"},
		{"CRLF after an empty argument", "g \r", get, ""},
		{"CRLF after the command word", "g\r", get, ""},
		{"many CRs", "g foo\r\r\r", get, "foo"},
		{"spaces around", "   g foo   ", get, "foo"},
		{"every blank around", " \t\r\v\fg foo\f\v\r\t ", get, "foo"},
		{"blanks around the name", "g \t\r\v\ffoo", get, "foo"},
		{"a run of spaces inside", "g  a   b", get, "a b"},
		{"one tab inside", "g a\tb", get, "a b"},
		{"one CR inside", "g a\rb", get, "a b"},
		{"one VT inside", "g a\vb", get, "a b"},
		{"one FF inside", "g a\fb", get, "a b"},
		{"a run of all blanks inside", "g a \t\r\v\f b", get, "a b"},
		{"a run that begins with a tab", "g a\t b", get, "a b"},
		{"a run that ends with a tab", "g a \tb", get, "a b"},
		{"several runs", "g a  b\t\tc d   e", get, "a b c d e"},
		{"single spaces", "g a b c", get, "a b c"},
		{"a name like a command", "g g g", get, "g g"},
		{"NUL in a name", "g a\x00b", get, "a\x00b"},
		{"NUL alone", "g \x00", get, "\x00"},
		{"invalid UTF-8", "g \xff\xfe\x80", get, "\xff\xfe\x80"},
		{"no-break and other Unicode spaces are not blanks", "g \u00a0a\u2003\u0085", get, "\u00a0a\u2003\u0085"},
		{"other control bytes are not blanks", "g \x01\x08\x0e\x1c\x1f\x7f", get, "\x01\x08\x0e\x1c\x1f\x7f"},
		{"a colon", "g a: b", get, "a: b"},
		{"a tab does not end the command word", "g\tx", unknown, "g\tx"},
		{"nor a CR", "g\rx", unknown, "g\rx"},
		{"nor a VT", "g\vx", unknown, "g\vx"},
		{"nor an FF", "g\fx", unknown, "g\fx"},
		{"nor a tab with a space later", "g\t x", unknown, "g\t"},
		{"nor NUL", "g\x00 x", unknown, "g\x00"},
		{"case matters", "G foo", unknown, "G"},
		{"case matters in longer words", "Dump shared", unknown, "Dump"},
		{"a word that begins like a command", "gg foo", unknown, "gg"},
		{"a word that a command begins with", "du", unknown, "du"},
		{"an unknown word alone", "xyzzy", unknown, "xyzzy"},
		{"an unknown word is told, its argument not", " xyzzy  foo ", unknown, "xyzzy"},
		{"NUL as the command", "\x00", unknown, "\x00"},
		{"invalid UTF-8 as the command", "\xff foo", unknown, "\xff"},
		{"dump shared", "dump shared", protocol.Dump, "shared"},
		{"the handshake", "me lockd/2", protocol.Me, "lockd/2"},
		{"numbers before a name", "gw  -1 \t a  b\r", protocol.GetWait, "-1 a b"},
		{"a word that is a part of a command", "sg foo", protocol.SharedGet, "foo"},
		{"blanks before the command and no argument", "\tq", protocol.Stats, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, ok := protocol.Parse([]byte(tt.line))
			if !ok || c.Verb != tt.verb || string(c.Arg) != tt.arg {
				t.Errorf("Parse(%q) = %q %q, %t; want %q %q", tt.line, c.Verb, c.Arg, ok, tt.verb, tt.arg)
			}
		})
	}
}

func TestParseFindsNoCommandInBlanks(t *testing.T) {
	for _, line := range []string{"", " ", "\t", "\r", "\v", "\f", "\r\r", " \t\r\v\f", strings.Repeat(" ", 1000)} {
		if c, ok := protocol.Parse([]byte(line)); ok {
			t.Errorf("Parse(%q) = %v, want no command", line, c)
		}
	}
}

// words are the commands of docs/protocol.md, written once more.
var words = map[string]protocol.Verb{
	"d": protocol.List, "dump": protocol.Dump, "g": protocol.Get, "i": protocol.Inspect,
	"iam": protocol.Iam, "me": protocol.Me, "q": protocol.Stats, "r": protocol.Release,
	"sd": protocol.SharedList, "sg": protocol.SharedGet, "si": protocol.SharedInspect,
	"sr": protocol.SharedRelease, "who": protocol.Who,
	"cancel": protocol.Cancel, "fr": protocol.Break, "gw": protocol.GetWait, "info": protocol.Info,
	"kick": protocol.Kick, "ls": protocol.Ls, "ping": protocol.Ping, "sgw": protocol.SharedGetWait,
	"unwatch": protocol.Unwatch, "watch": protocol.Watch,
}

func TestEveryCommandIsKnown(t *testing.T) {
	if len(words) != int(protocol.NumVerbs)-1 {
		t.Fatalf("the test knows %d commands of %d", len(words), protocol.NumVerbs-1)
	}
	for word, verb := range words {
		if got := verb.String(); got != word {
			t.Errorf("verb %d prints as %q, want %q", verb, got, word)
		}
		for line, arg := range map[string]string{
			word: "", word + " ": "", word + " x": "x", " " + word + "\t": "", word + "  x \t y\r": "x y",
		} {
			c, ok := protocol.Parse([]byte(line))
			if !ok || c.Verb != verb || string(c.Arg) != arg {
				t.Errorf("Parse(%q) = %q %q, %t; want %q %q", line, c.Verb, c.Arg, ok, word, arg)
			}
		}
		for _, line := range []string{word + "\tx", strings.ToUpper(word), word + "\x00", word + "x", "x" + word, word + "w"} {
			if words[line] != protocol.Unknown {
				continue // gw is a command as well, and not only g with a w behind it
			}
			if c, ok := protocol.Parse([]byte(line)); !ok || c.Verb != protocol.Unknown || string(c.Arg) != line {
				t.Errorf("Parse(%q) = %q %q, %t; want an unknown command", line, c.Verb, c.Arg, ok)
			}
		}
	}
}

func TestVerbsStandInTheOrderOfTheCounters(t *testing.T) {
	var got []string
	for v := protocol.Unknown + 1; v < protocol.NumVerbs; v++ {
		got = append(got, v.String())
	}
	if !slices.IsSorted(got) {
		t.Errorf("verbs are not sorted: %q", got)
	}
}

// Of level 1 is what existing clients know.
func TestVerbsHaveTheirLevel(t *testing.T) {
	classic := strings.Fields("d dump g i iam me q r sd sg si sr who")
	for word, verb := range words {
		want := 2
		if slices.Contains(classic, word) {
			want = 1
		}
		if got := verb.Level(); got != want {
			t.Errorf("%s is of level %d, want %d", word, got, want)
		}
	}
	if got := protocol.Unknown.Level(); got != 0 {
		t.Errorf("what is no command is of level %d", got)
	}
}

func TestVerbsThatAreNoCommandsPrintAsNothing(t *testing.T) {
	for _, v := range []protocol.Verb{protocol.Unknown, protocol.NumVerbs, 255} {
		if got := v.String(); got != "" {
			t.Errorf("verb %d prints as %q", v, got)
		}
	}
}

func TestAppendCommandPrintsALine(t *testing.T) {
	tests := []struct {
		command protocol.Command
		want    string
	}{
		{protocol.Command{Verb: protocol.Get, Arg: []byte("a b")}, "g a b\n"},
		{protocol.Command{Verb: protocol.Get}, "g\n"},
		{protocol.Command{Verb: protocol.Get, Arg: []byte{}}, "g\n"},
		{protocol.Command{Verb: protocol.Who, Arg: []byte("\x00\xff")}, "who \x00\xff\n"},
		{protocol.Command{Verb: protocol.Stats}, "q\n"},
	}
	for _, tt := range tests {
		if got := protocol.AppendCommand([]byte("before\n"), tt.command); string(got) != "before\n"+tt.want {
			t.Errorf("AppendCommand(%v) appended %q, want %q", tt.command, got, tt.want)
		}
	}
}

// parse is Parse by other means: what the protocol's text says, in words of the
// standard library.
func parse(line []byte) (c protocol.Command, ok bool) {
	const blanks = " \t\r\v\f"
	line = bytes.Trim(line, blanks)
	if len(line) == 0 {
		return c, false
	}
	word, arg, _ := bytes.Cut(line, []byte(" "))
	c.Verb = words[string(word)]
	if c.Verb == protocol.Unknown {
		c.Arg = word
	} else {
		fields := bytes.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(blanks, r) })
		c.Arg = bytes.Join(fields, []byte(" "))
	}
	return c, true
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{"", "g a", "sg  a \t b\r", "dump shared", "g\tx", "iam \x00\xff \v\f.", "me", "x y", "x\ty z", "me lockd/2", "sgw -1 2 a  b"} {
		f.Add([]byte(line))
	}
	for word := range words {
		f.Add([]byte(word + " a"))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		want, wantOK := parse(line)
		parsed := bytes.Clone(line)
		for _, time := range []string{"first", "second"} { // a line may be left and parsed again
			got, ok := protocol.Parse(parsed)
			if ok != wantOK || got.Verb != want.Verb || !bytes.Equal(got.Arg, want.Arg) {
				t.Fatalf("Parse(%q) = %v, %t for the %s time; want %v, %t", line, got, ok, time, want, wantOK)
			}
		}
		got := want
		if got.Verb != protocol.Unknown {
			checkArg(t, got.Arg)
			checkRoundTrip(t, got)
		}
		// What only looks finds the same, and leaves the line as it is.
		looked := bytes.Clone(line)
		if verb, ok := protocol.VerbOf(looked); ok != wantOK || verb != want.Verb || !bytes.Equal(looked, line) {
			t.Fatalf("VerbOf(%q) = %q, %t, and leaves %q; want %q, %t", line, verb, ok, looked, want.Verb, wantOK)
		}
	})
}

func checkArg(t *testing.T, arg []byte) {
	t.Helper()
	blank := true // as if one stood before it: none may begin it
	for _, c := range arg {
		if strings.IndexByte("\n\t\r\v\f", c) >= 0 || c == ' ' && blank {
			t.Fatalf("argument %q has blanks it may not have", arg)
		}
		blank = c == ' '
	}
	if blank && len(arg) > 0 {
		t.Fatalf("argument %q ends with a blank", arg)
	}
}

func checkRoundTrip(t *testing.T, c protocol.Command) {
	t.Helper()
	line, ok := bytes.CutSuffix(protocol.AppendCommand(nil, c), []byte("\n"))
	if !ok || bytes.IndexByte(line, '\n') >= 0 {
		t.Fatalf("%v is printed as %q, which is not one line", c, line)
	}
	again, ok := protocol.Parse(bytes.Clone(line))
	if !ok || again.Verb != c.Verb || !bytes.Equal(again.Arg, c.Arg) {
		t.Fatalf("%v is printed as %q and read back as %v, %t", c, line, again, ok)
	}
}
