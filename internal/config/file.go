package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes is far above any configuration: what is larger is another file,
// or a device without an end.
const maxFileBytes = 1 << 20

// readFile returns the path and the content of the file that counts, both empty
// where there is none.
func readFile(o Options) (path string, data []byte, err error) {
	path, namedBy := o.Path, "--config"
	if path == "" {
		path, _ = o.lookup("LOCKD_CONFIG")
		namedBy = "environment LOCKD_CONFIG"
	}
	if path != "" {
		if data, err = readBounded(path); err != nil {
			return "", nil, fmt.Errorf("read configuration named by %s: %w", namedBy, err)
		}
		return path, data, nil
	}
	if path = o.DefaultPath; path == "" {
		path = DefaultPath
	}
	data, err = readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("read configuration: %w", err)
	}
	return path, data, nil
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("%s: more than %d bytes; this is no configuration", path, maxFileBytes)
	}
	return data, err
}

// parseFile returns what the file sets and everything that is wrong with it.
func parseFile(path string, data []byte, keys []key) ([]assignment, []error) {
	w := &walker{path: printable(path), keys: keys}
	root, line, err := parseYAML(data)
	switch {
	case err != nil:
		w.fail(line, err)
	case root != nil:
		w.document(root)
	}
	return w.assignments, w.problems
}

// parseYAML returns the only document's content, nil where there is none, or
// the line that is wrong and why.
func parseYAML(data []byte) (root *yaml.Node, line int, err error) {
	if line, err := checkBytes(data); err != nil {
		return nil, line, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	err = decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, 0, nil
	}
	if err == nil {
		err = decoder.Decode(&second)
	}
	if err == nil {
		return nil, second.Line, errors.New("a second document begins here; write all keys in one, without a line ---")
	}
	if !errors.Is(err, io.EOF) {
		line, err = syntaxError(data, err)
		return nil, line, err
	}
	if root = document.Content[0]; root.Kind == yaml.ScalarNode && root.Tag == "!!null" && root.Value == "" {
		return nil, 0, nil
	}
	return root, 0, nil
}

// checkBytes finds what the YAML parser refuses without naming a line, and the
// characters that are line breaks to it and to nobody else.
func checkBytes(data []byte) (line int, err error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	line = 1
	for i, r := range text {
		switch {
		case r == '\n':
			line++
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			return line, errors.New("this is not UTF-8; save the file as UTF-8")
		case unwritable(r) && r != '\t' && r != '\r':
			return line, fmt.Errorf("the invisible character %U is in this line; remove it", r)
		}
	}
	return line, nil
}

// maxLocateWork bounds, in bytes read by the YAML parser, the search for a line:
// 400 lines of 50 bytes are within, and nothing takes longer than a second.
const maxLocateWork = 8 << 20

// syntaxError returns the line of what the YAML parser cannot read, and why.
func syntaxError(data []byte, err error) (line int, _ error) {
	lines := strings.SplitAfter(string(data), "\n")
	line, message := parserLine(err)
	if len(lines)*len(data) <= maxLocateWork {
		line = locate(lines)
	}
	line = min(line, len(lines))
	code := strings.TrimLeft(lines[line-1], " \t")
	if strings.Contains(strings.TrimSuffix(lines[line-1], code), "\t") {
		return line, errors.New("a tab indents this line; use spaces")
	}
	return line, fmt.Errorf("%s; look at indentation, quotes and colons here and on the line above", message)
}

// parserLine takes apart what the YAML parser says. Its line is often one off,
// or that of the beginning of the section around the error.
func parserLine(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, found := strings.CutPrefix(message, "line "); found {
		number, what, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			return n, what
		}
	}
	return 1, message
}

// locate returns the first line, counted from 1, that no beginning of the file
// which can be read reaches.
func locate(lines []string) int {
	for n := len(lines) - 1; n > 0; n-- {
		if readable(strings.Join(lines[:n], "")) {
			return n + 1
		}
	}
	return 1
}

func readable(text string) bool {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
