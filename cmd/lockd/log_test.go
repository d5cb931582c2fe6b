package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"lockd/internal/config"
)

func environmentOf(w io.Writer) environment {
	return environment{stdout: io.Discard, stderr: w, lookupEnv: func(string) (string, bool) { return "", false }}
}

func TestASwitchOfLevelAndFormatHoldsAtOnce(t *testing.T) {
	var out bytes.Buffer
	s := newSwitchable(config.Log{Level: slog.LevelWarn, Format: "text"}, &out, environmentOf(&out))
	log := slog.New(s)
	log.Info("not told")
	s.set(config.Log{Level: slog.LevelDebug, Format: "json"}, &out, environmentOf(&out))
	log.Debug("told")
	if text := out.String(); strings.Contains(text, "not told") || !strings.Contains(text, `"msg":"told"`) {
		t.Errorf("%q", text)
	}
}

func TestALogThatIsNoTerminalIsPlainText(t *testing.T) {
	var out bytes.Buffer
	if got := autoFormat(environmentOf(&out)); got != "text" {
		t.Errorf("auto is %s", got)
	}
}

func TestValuesCannotActOnATerminal(t *testing.T) {
	for _, tc := range []struct {
		name  string
		value any
	}{
		{"text", "a\x1b[31m\x9bb\u202e"},
		{"text that is quoted", "a \x1b[31m \x9b b\u202e"},
		{"an error", errors.New("a \x1b[31m b\u202e")},
		{"a list", []string{"a \x1b[31m b\u202e"}},
		{"a group", slog.GroupValue(slog.String("a", "\x1b[31m\u202e"))},
	} {
		for _, format := range []string{"text", "json", "color"} {
			t.Run(tc.name+" in "+format, func(t *testing.T) {
				var out bytes.Buffer
				log := slog.New(newSwitchable(config.Log{Format: format}, &out, environmentOf(&out)))
				log.Info("message", "key", tc.value)
				text := out.String()
				if strings.Contains(text, "\x1b[31m") || strings.Contains(text, "\x9b") || format != "json" && strings.Contains(text, "\u202e") {
					t.Errorf("%q", text)
				}
			})
		}
	}
}
