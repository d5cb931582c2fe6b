package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// kind says what the value of a key may be. Its errors say what is wrong and
// what would be right, but neither the key nor where the value came from.
type kind struct {
	tags  string                         // the YAML types of a good value
	empty bool                           // the empty text is a value: off
	parse func(text string) (any, error) // a value, or one item of a list
	// list makes the value of the items of a list; nil where the key has one value.
	list func(items []string) any
}

// one returns the value written as text, or for a list judges one item of it.
func (k kind) one(text string) (any, error) {
	if err := checkText(text); err != nil {
		return nil, err
	}
	return k.parse(text)
}

// value returns the value written as texts: all the items of a list, or one text.
func (k kind) value(texts []string) (any, error) {
	if k.list == nil {
		if len(texts) != 1 {
			return nil, fmt.Errorf("%d values where one is needed; give one", len(texts))
		}
		return k.one(texts[0])
	}
	for _, text := range texts {
		_, err := k.one(text)
		switch {
		case err != nil && strings.Contains(text, ","):
			return nil, fmt.Errorf("%w; if these are several, separate them by blanks, or give the flag for each", err)
		case err != nil:
			return nil, err
		}
	}
	return k.list(texts), nil
}

// checkText refuses what could not be shown again in YAML as it is.
func checkText(text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s is not UTF-8; write it in UTF-8", show(text))
	}
	if strings.ContainsFunc(text, unwritable) {
		return fmt.Errorf("%s holds a control character; remove it", show(text))
	}
	return nil
}

// unwritable reports control characters and the line breaks only YAML knows.
func unwritable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff'
}

func boolean() kind {
	return kind{tags: "!!bool", parse: func(text string) (any, error) {
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("%s is neither true nor false; write true or false", show(text))
	}}
}

// integer is a number from least to most, which is math.MaxInt for no bound.
func integer(least, most int) kind {
	want := fmt.Sprintf("write a plain number from %d to %d", least, most)
	if most == math.MaxInt {
		want = fmt.Sprintf("write a plain number, %d or more", least)
	}
	return kind{tags: "!!int", parse: func(text string) (any, error) {
		if !isNumber(text) {
			return nil, fmt.Errorf("%s is not a whole number in plain digits; %s", show(text), want)
		}
		n, err := strconv.Atoi(text)
		if err != nil || n > most {
			return nil, fmt.Errorf("%s is too large; %s", show(text), want)
		}
		if n < least {
			return nil, fmt.Errorf("%s is too small; %s", show(text), want)
		}
		return n, nil
	}}
}

// isNumber reports plain digits. A leading zero is none: it is octal to YAML and
// decimal to people.
func isNumber(text string) bool {
	return isDigits(text) && (text == "0" || text[0] != '0')
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// span is what a duration may be.
type span struct {
	min, max, step time.Duration
	zero           bool   // 0 is good, whatever min says
	want           string // all that in words
}

func duration(s span) kind {
	// 0 needs no unit, so a YAML number may be right.
	return kind{tags: "!!str !!int", parse: func(text string) (any, error) { return s.parse(text) }}
}

func (s span) parse(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil && isDigits(strings.Replace(text, ".", "", 1)):
		return 0, fmt.Errorf("%s has no unit; write %ss", show(text), show(text))
	case err != nil:
		return 0, fmt.Errorf("%s is not a duration; write %s", show(text), s.want)
	case d == 0 && s.zero:
		return 0, nil
	case d < s.min || d > s.max:
		return 0, fmt.Errorf("%s is out of range; write %s", show(text), s.want)
	case d%s.step != 0:
		return 0, fmt.Errorf("%s is too fine; write %s", show(text), s.want)
	}
	return d, nil
}

func grace() kind {
	s := span{max: Forever.Duration(), step: 1, want: "0, a time with its unit such as 5s or 1m30s, or forever"}
	return kind{tags: "!!str !!int", parse: func(text string) (any, error) {
		if text == "forever" {
			return Forever, nil
		}
		d, err := s.parse(text)
		return Grace(d), err
	}}
}

func choice(words ...string) kind {
	return kind{tags: "!!str", parse: func(text string) (any, error) {
		if !slices.Contains(words, text) {
			return nil, fmt.Errorf("%s is unknown; write one of %s", show(text), strings.Join(words, ", "))
		}
		return text, nil
	}}
}

func logLevel() kind {
	k := choice("debug", "info", "warn", "error")
	word := k.parse
	k.parse = func(text string) (any, error) {
		if _, err := word(text); err != nil {
			return nil, err
		}
		var level slog.Level
		err := level.UnmarshalText([]byte(text))
		return level, err
	}
	return k
}

// path is the name of a file; empty is none.
func path() kind {
	return kind{tags: "!!str", empty: true, parse: func(text string) (any, error) { return text, nil }}
}

func hostPort() kind {
	return kind{tags: "!!str", empty: true, parse: func(text string) (any, error) {
		if text == "" {
			return text, nil
		}
		if isDigits(text) {
			return nil, fmt.Errorf("%s is not HOST:PORT; write :%s", show(text), text)
		}
		if host, port, err := net.SplitHostPort(text); err != nil || !isPort(port) || host != "" && !isHost(host) {
			return nil, fmt.Errorf(`%s is not HOST:PORT; write for example :9996, 127.0.0.1:9996 or "[::1]:9996"`, show(text))
		}
		return text, nil
	}}
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// isHost reports an IP address or what may be a name; whether it exists shows
// when it is used.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	return text != "" && strings.Trim(text, letters) == ""
}

// list is a list of texts that check, which may be nil, has nothing against.
func list(check func(string) error) kind {
	return kind{
		tags: "!!str",
		parse: func(text string) (any, error) {
			if check == nil {
				return text, nil
			}
			return text, check(text)
		},
		list: func(items []string) any { return append([]string{}, items...) },
	}
}

func networks() kind { return listOf(ParseNetworks) }

func clients() kind { return listOf(ParseClients) }

// listOf is a list of words that parse takes, one by one and all together.
func listOf(parse func(words ...string) (Networks, error)) kind {
	return kind{
		tags:  "!!str",
		parse: func(text string) (any, error) { return parse(text) },
		list: func(items []string) any {
			n, err := parse(items...)
			if err != nil {
				panic("config: " + err.Error()) // each was good
			}
			return n
		},
	}
}

// checkOrigin judges HOST or HOST:PORT, as browsers put it into Origin behind
// the scheme.
func checkOrigin(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), "443"
	}
	if isHost(host) && isPort(port) {
		return nil
	}
	if _, rest, found := strings.Cut(text, "://"); found && checkOrigin(rest) == nil {
		return fmt.Errorf("%s has a scheme; write %s", show(text), rest)
	}
	return errors.New(show(text) + " is not a host; write for example app.example.com or app.example.com:8443")
}
