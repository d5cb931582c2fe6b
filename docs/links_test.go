package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockd/test/markdown"
)

// prose returns a document without its fenced blocks.
func prose(t *testing.T, path string) string {
	t.Helper()
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(read(t, path), "")
}

// anchors are what the headings of a document can be linked by.
func anchors(t *testing.T, path string) []string {
	t.Helper()
	var all []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(prose(t, path), -1) {
		text := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, strings.ReplaceAll(text, " ", "-"))
	}
	return all
}

func TestLinksLeadSomewhere(t *testing.T) {
	links := 0
	for _, path := range documents(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(prose(t, path), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			links++
			target, anchor, _ := strings.Cut(link[1], "#")
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", path, link[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(t, file), anchor) {
				t.Errorf("%s links to %s: there is no such heading", path, link[1])
			}
		}
	}
	if links < 10 {
		t.Errorf("only %d links were found", links)
	}
}

// Commands that install are not run, but what they install must be there.
func TestFilesThatCommandsNameExist(t *testing.T) {
	path := regexp.MustCompile(`(?:^|[\s=])\.?/?((?:deploy|configs|cmd|docs|test|embedded|client)/[\w./-]+)`)
	for _, document := range documents(t) {
		for _, b := range markdown.Blocks(t, document) {
			if b.Language != "sh" && b.Language != "console" {
				continue
			}
			for _, name := range path.FindAllStringSubmatch(b.Text, -1) {
				if _, err := os.Stat(filepath.Join("..", name[1])); err != nil {
					t.Errorf("%s:%d: %v", document, b.Line, err)
				}
			}
		}
	}
}

// The comments of the code name sections of protocol.md.
func TestSectionsThatTheCodeNamesExist(t *testing.T) {
	sections := regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(prose(t, "protocol.md"), -1)
	var have []string
	for _, s := range sections {
		have = append(have, s[1])
	}
	for _, want := range []string{
		"Connections", "Lines", "HTTP", "Commands", "Level 2", "Waiting", "Fencing tokens", "Seeing", "Watching", "Breaking",
		"Counters", "WebSocket", "Limits",
	} {
		if !slices.Contains(have, want) {
			t.Errorf("protocol.md has no section %s", want)
		}
	}
	name := regexp.MustCompile(`docs/protocol\.md,\s*(?://\s*)?"([^"]*)"`)
	found := 0
	err := filepath.WalkDir("..", func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		for _, reference := range name.FindAllStringSubmatch(read(t, path), -1) {
			found++
			if !slices.Contains(have, reference[1]) {
				t.Errorf("%s names section %q of protocol.md, which there is not", path, reference[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no reference to a section was found")
	}
}
