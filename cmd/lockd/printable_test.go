package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"lockd/internal/human"
)

func TestPrintableShowsWhatATerminalWouldActOn(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"plain text", "prod-db a.b:1", "prod-db a.b:1"},
		{"letters of the world", "Größe 锁 🔒", "Größe 锁 🔒"},
		{"combining marks", "e\u0301", "e\u0301"},
		{"C0 controls", "a\x00\t\n\r\x1b[31m", `a\x00\x09\x0a\x0d\x1b[31m`},
		{"delete", "\x7f", `\x7f`},
		{"C1 controls", "\u0085\u009b31m", `\u0085\u009b31m`},
		{"bytes that are no UTF-8", "\x80\x9b\xff", `\x80\x9b\xff`},
		{"the first bytes of a rune", "a\xe9\x94", `a\xe9\x94`},
		{"a surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"marks that turn the direction", "\u202ea\u202c\u2066\u200f", `\u202ea\u202c\u2066\u200f`},
		{"spaces that are not one", "\u00a0\u200b\u2028\ufeff", `\u00a0\u200b\u2028\ufeff`},
		{"the replacement character", "\ufffd", `\ufffd`},
		{"invisible runes beyond 16 bits", "\U000e0041", `\U000e0041`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := printable(tc.text); got != tc.want {
				t.Errorf("printable(%q) = %q, want %q", tc.text, got, tc.want)
			}
		})
	}
}

func TestPrintableTextIsPrintableAndStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		got := printable(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, human.Hidden) {
			t.Errorf("printable(%q) = %q", text, got)
		}
		if again := printable(got); again != got {
			t.Errorf("a second time %q becomes %q", got, again)
		}
	})
}
