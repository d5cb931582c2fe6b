package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"lockd/internal/human"
)

// printable shows text that comes from others - names, addresses, what a file
// holds - without letting it act on a terminal: what is not printable stands as
// \xNN or \uNNNN.
func printable(s string) string {
	if strings.IndexFunc(s, human.Hidden) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, r < utf8.RuneSelf && human.Hidden(r):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r > 0xffff && human.Hidden(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		case human.Hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

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
