package main

import (
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

const (
	cut = "…" // stands for what has no room
	// leastElastic is what an elastic column is never made narrower than.
	leastElastic = 8
	columnGap    = 2
)

// A textTable is a table without lines between its cells, which are printable.
type textTable struct {
	columns []string
	elastic []int // the columns that are cut first, counted from 0
	numbers []int // the columns that are flush right
	rows    [][]string
}

func (l *textTable) add(cells ...string) { l.rows = append(l.rows, cells) }

// print prints what is laid out for standard output.
func (l *textTable) print(env environment) error {
	_, err := io.WriteString(env.stdout, l.render(screenOf(env.stdout, env)))
	return err
}

// render lays the table out. On a terminal no line is wider than that.
func (l *textTable) render(s screen) string {
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
func (l *textTable) configs(width int) []table.ColumnConfig {
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
func (l *textTable) limits(width int) []int {
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

func (l *textTable) widths() []int {
	widths := make([]int, len(l.columns))
	for _, row := range append([][]string{l.columns}, l.rows...) {
		for i, s := range row {
			widths[i] = max(widths[i], text.StringWidth(s))
		}
	}
	return widths
}
