package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

const (
	cut = "…" // stands for what has no room
	// leastElastic is what an elastic column is never made narrower than.
	leastElastic = 8
	columnGap    = 2
)

// A screen is what text is laid out for. The zero value is a pipe or a file: as
// wide as need be, and without colours.
type screen struct {
	width, height int // in characters; 0: no end
	bold          bool
}

func screenOf(w io.Writer, env environment) screen {
	if !isTerminal(w) {
		return screen{}
	}
	noColor, _ := env.lookupEnv("NO_COLOR")
	kind, _ := env.lookupEnv("TERM")
	s := screen{bold: noColor == "" && kind != "dumb"}
	if width, height, err := term.GetSize(int(w.(*os.File).Fd())); err == nil {
		s.width, s.height = width, height
	}
	return s
}

// A listing is a table without lines between its cells, which are printable.
type listing struct {
	columns []string
	elastic []int // the columns that are cut first, counted from 0
	numbers []int // the columns that are flush right
	rows    [][]string
}

func (l *listing) add(cells ...string) { l.rows = append(l.rows, cells) }

// print prints what is laid out for standard output.
func (l *listing) print(env environment) error {
	_, err := io.WriteString(env.stdout, l.render(screenOf(env.stdout, env)))
	return err
}

// render lays the table out. On a terminal no line is wider than that.
func (l *listing) render(s screen) string {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Box:    table.BoxStyle{PaddingRight: strings.Repeat(" ", columnGap)},
		Format: table.FormatOptions{Header: text.FormatDefault},
	})
	t.SuppressTrailingSpaces()
	t.AppendHeader(cells(l.columns))
	for _, row := range l.rows {
		t.AppendRow(cells(row))
	}
	t.SetColumnConfigs(l.configs(s.width))
	var b strings.Builder
	for i, line := range strings.Split(t.Render(), "\n") {
		if s.width > 0 {
			line = snip(line, s.width) // also where no column can be narrower
		}
		if i == 0 && s.bold {
			line = text.EscapeStart + "1" + text.EscapeStop + line + text.EscapeReset
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func cells(texts []string) table.Row {
	row := make(table.Row, len(texts))
	for i, s := range texts {
		row[i] = s
	}
	return row
}

// configs say how the columns are set in so many characters, 0 for as many as
// need be.
func (l *listing) configs(width int) []table.ColumnConfig {
	configs := make([]table.ColumnConfig, len(l.columns))
	for i := range configs {
		configs[i].Number = i + 1
	}
	for _, i := range l.numbers {
		configs[i].Align, configs[i].AlignHeader = text.AlignRight, text.AlignRight
	}
	if width > 0 {
		widths := l.limits(width)
		for _, i := range l.elastic {
			configs[i].WidthMax, configs[i].WidthMaxEnforcer = widths[i], snip
		}
	}
	return configs
}

// limits takes from the widest elastic column until all fit, or none of these has
// anything to give.
func (l *listing) limits(width int) []int {
	widths := l.widths()
	excess := columnGap*(len(widths)-1) - width
	for _, w := range widths {
		excess += w
	}
	for ; excess > 0; excess-- {
		widest := -1
		for _, i := range l.elastic {
			if widths[i] > leastElastic && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// snip cuts only what is too wide; Snip alone would also fill up.
func snip(s string, width int) string {
	if text.StringWidth(s) <= width {
		return s
	}
	return text.Snip(s, width, cut)
}

func (l *listing) widths() []int {
	widths := make([]int, len(l.columns))
	for _, row := range append([][]string{l.columns}, l.rows...) {
		for i, s := range row {
			widths[i] = max(widths[i], text.StringWidth(s))
		}
	}
	return widths
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

// unlessText returns the bytes of what is not UTF-8, which JSON would show as
// something else.
func unlessText(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}

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
		if r == '\n' || r == utf8.RuneError || !hidden(r) {
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
