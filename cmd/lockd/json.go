package main

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"

	"lockd/internal/human"
)

// printJSON prints an object in a line of its own.
func printJSON(env environment, v any) error { return printObjects(env, []any{v}) }

// printObjects prints a line for each object, all in one piece.
func printObjects[T any](env environment, objects []T) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, o := range objects {
		if err := e.Encode(o); err != nil {
			return err
		}
	}
	_, err := env.stdout.Write(escapeHidden(b.Bytes()))
	return err
}

// escapeHidden escapes what a terminal would not simply show. JSON demands that
// only of the controls in ASCII; to a program it is the same.
func escapeHidden(line []byte) []byte {
	escaped := make([]byte, 0, len(line))
	for _, r := range string(line) {
		if r == '\n' || r == utf8.RuneError || !human.Hidden(r) {
			escaped = utf8.AppendRune(escaped, r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			const digits = "0123456789abcdef"
			escaped = append(escaped, '\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
		}
	}
	return escaped
}

// unlessText returns the bytes of what is not UTF-8, which JSON would show as
// something else.
func unlessText(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}
