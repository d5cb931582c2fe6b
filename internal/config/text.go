package config

import (
	"log/slog"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"lockd/internal/human"
)

// yamlText returns value, which a Config holds, on one line as it is written in
// the file.
func yamlText(value any) string {
	var node yaml.Node
	// The nodes are of texts, numbers and booleans only: neither step can fail.
	_ = node.Encode(plainValue(value))
	node.Style |= yaml.FlowStyle
	text, _ := yaml.Marshal(&node)
	return strings.TrimSuffix(string(text), "\n")
}

// plainValue returns what YAML knows how to write.
func plainValue(value any) any {
	switch v := value.(type) {
	case time.Duration:
		return durationText(v)
	case Grace:
		return v.String()
	case Networks:
		return v.Words()
	case slog.Level:
		return strings.ToLower(v.String())
	}
	return value
}

// durationText is d.String without the zeros behind: 1h and not 1h0m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// maxShown is how much of a value an error repeats, in bytes.
const maxShown = 80

// show returns text fit for an error message: quoted where it is empty or a
// reader could not see what it is, and cut where it is long.
func show(text string) string {
	shown := text
	if len(shown) > maxShown {
		shown = strings.ToValidUTF8(shown[:maxShown], "") + "..."
	}
	if text == "" || strings.TrimSpace(text) != text {
		return strconv.Quote(shown)
	}
	return printable(shown)
}

// printable returns text as it is, or quoted where it holds what does not print.
func printable(text string) string {
	if strings.ContainsFunc(text, human.Hidden) {
		return strconv.Quote(text)
	}
	return text
}
