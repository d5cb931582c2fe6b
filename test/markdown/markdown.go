// Package markdown reads what the documents show: fenced blocks, and the output
// that stands behind them. docs/shell_test.go says how blocks are marked.
package markdown

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// A Block is a fenced one of a document.
type Block struct {
	Language string
	Options  string // what follows the language
	Line     int    // of the opening fence, counted from 1
	Text     string
	Output   string // the text block behind it; empty where there is none
}

// Blocks returns the blocks of the document at a path.
func Blocks(t testing.TB, path string) []Block {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []Block
	var open *Block
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && open == nil:
			language, options, _ := strings.Cut(strings.TrimSpace(line[3:]), " ")
			open = &Block{Language: language, Options: options, Line: number}
		case fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.Text += line
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block has no end", path, open.Line)
	}
	for i := range len(all) - 1 {
		if next := all[i+1]; next.Language == "text" && next.Options == "" {
			all[i].Output = next.Text
		}
	}
	return all
}

// Marked returns those of a document that have a language and options, and fails
// the test where there is none.
func Marked(t testing.TB, path, language, options string) []Block {
	t.Helper()
	var marked []Block
	for _, b := range Blocks(t, path) {
		if b.Language == language && b.Options == options {
			marked = append(marked, b)
		}
	}
	if len(marked) == 0 {
		t.Fatalf("%s has no block %s %s", path, language, options)
	}
	return marked
}

// Pattern makes a regular expression of an output with wildcards: "..." stands
// for anything in a line, and alone in a line for any lines. Whole means that
// there is nothing before it and behind it.
func Pattern(output string, whole bool) *regexp.Regexp {
	var b strings.Builder
	for line := range strings.Lines(output) {
		if line == "...\n" {
			b.WriteString(`(?:.*\n)*`)
			continue
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, `.*`))
	}
	if whole {
		return regexp.MustCompile("^" + b.String() + "$")
	}
	return regexp.MustCompile("(?m)^" + b.String())
}
