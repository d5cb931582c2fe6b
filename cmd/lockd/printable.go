package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable shows text that comes from others - names, addresses, what a file
// holds - without letting it act on a terminal: what is not printable stands as
// \xNN or \uNNNN.
func printable(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < utf8.RuneSelf && hidden(r):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r > 0xffff && hidden(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// hidden tells the runes that a terminal does not simply show: controls, the
// marks that turn the direction of writing, spaces that are not one. Invalid
// UTF-8 is among them.
func hidden(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// shown is printable for a name in a text: the empty one is seen, too.
func shown(name string) string {
	if name == "" {
		return `""`
	}
	return printable(name)
}

// orDash is printable for what may not be known.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}
