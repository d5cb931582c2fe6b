// Package docs_test holds the documents true: what they show is run, what they
// name exists.
package docs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// documents are all there are, by their path from here.
func documents(t *testing.T) []string {
	t.Helper()
	here, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	above, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(here) < 3 || len(above) < 3 {
		t.Fatalf("documents are missing: found %q and %q", here, above)
	}
	return append(here, above...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocumentsArePlainText(t *testing.T) {
	for _, path := range documents(t) {
		for number, line := range strings.Split(read(t, path), "\n") {
			if strings.TrimRight(line, " \t") != line {
				t.Errorf("%s:%d: blanks at the end", path, number+1)
			}
			if i := strings.IndexFunc(line, pictorial); i >= 0 {
				t.Errorf("%s:%d: not plain text: %q", path, number+1, line[i:])
			}
		}
		if !bytes.HasSuffix([]byte(read(t, path)), []byte("\n")) {
			t.Errorf("%s: no line end at the end", path)
		}
	}
}

// pictorial tells emoji and their like from what is written.
func pictorial(r rune) bool { return unicode.Is(unicode.So, r) || unicode.Is(unicode.Co, r) }
