package config

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// walker goes over the YAML nodes before viper sees a value, because viper
// takes wrong types in silence and knows no lines.
type walker struct {
	path        string // printable
	keys        []key
	assignments []assignment
	problems    []error
}

func (w *walker) fail(line int, err error) {
	w.problems = append(w.problems, fmt.Errorf("%s:%d: %w", w.path, line, err))
}

func (w *walker) failKey(line int, name string, err error) {
	w.fail(line, fmt.Errorf("%s: %w", show(name), err))
}

func (w *walker) document(root *yaml.Node) {
	if err := checkPlain(root); err != nil {
		w.fail(root.Line, err)
		return
	}
	if root.Kind != yaml.MappingNode {
		w.fail(root.Line, errors.New("this is not a list of keys; write KEY: VALUE, a line each"))
		return
	}
	w.mapping(root, "")
}

// mapping walks the keys of the document, or of a section where section is not
// empty.
func (w *walker) mapping(node *yaml.Node, section string) {
	first := map[string]int{} // line by name
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		full := name.Value
		if section != "" {
			full = section + "." + name.Value
		}
		if err := checkKey(name, section); err != nil {
			w.failKey(name.Line, full, err)
		} else if line, found := first[full]; found {
			w.failKey(name.Line, full, fmt.Errorf("set twice, first on line %d; keep one of the two", line))
		} else {
			first[full] = name.Line
			w.entry(full, section, name.Line, value)
		}
	}
}

// checkKey judges a key's own node.
func checkKey(name *yaml.Node, section string) error {
	switch {
	case name.Tag == "!!merge":
		return errors.New("merge keys are not supported; write the keys out")
	case name.Kind == yaml.MappingNode || name.Kind == yaml.SequenceNode:
		return errors.New("a key must be a plain word; quote the value if it begins with { or [")
	case section == "" && strings.Contains(name.Value, "."):
		return errors.New(`a dot does not open a section; write the part before it and a colon on one line, the rest indented below`)
	}
	return checkPlain(name)
}

// checkPlain refuses the parts of YAML that make a file mean something else than
// it seems to.
func checkPlain(node *yaml.Node) error {
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		return errors.New("anchors and aliases are not supported; write the value out")
	case node.Style&yaml.TaggedStyle != 0:
		return fmt.Errorf("the tag %s is not supported; remove it", show(node.Tag))
	}
	return nil
}

// entry judges a key of the document, or of the section when that is not empty.
func (w *walker) entry(name, section string, line int, value *yaml.Node) {
	i := keyIndex(w.keys, name)
	if i >= 0 {
		w.value(w.keys[i], line, value)
		return
	}
	if section == "" && isSection(w.keys, name) {
		w.section(name, line, value)
		return
	}
	if section == "" && value.Kind == yaml.MappingNode && len(value.Content) > 0 {
		w.mapping(value, name) // names each key below, with what was meant
		return
	}
	w.failKey(line, name, unknownKey(w.keys, name))
}

func (w *walker) section(name string, line int, value *yaml.Node) {
	if err := checkPlain(value); err != nil {
		w.failKey(line, name, err)
		return
	}
	switch {
	case value.Kind == yaml.MappingNode:
		w.mapping(value, name)
	case value.Tag == "!!null":
		w.failKey(line, name, errors.New("this section is empty; write a key below it, indented, or comment it out"))
	default:
		w.failKey(line, name, errors.New("this is a section; write its keys below it, indented"))
	}
}

func (w *walker) value(k key, line int, node *yaml.Node) {
	value, line, err := k.fromNode(line, node)
	if err != nil {
		w.failKey(line, k.name, err)
		return
	}
	w.assignments = append(w.assignments, assignment{k.name, value, fmt.Sprintf("file %s:%d", w.path, line)})
}

// fromNode returns the value in node. The line is the key's and comes back, but
// for an error in an item of a list, which has its own.
func (k key) fromNode(line int, node *yaml.Node) (any, int, error) {
	err := checkPlain(node)
	switch {
	case err != nil:
		return nil, line, err
	case node.Tag == "!!null":
		return nil, line, errors.New(k.kind.missing())
	case k.kind.list == nil:
		value, err := k.kind.scalar(node)
		return value, line, err
	case node.Kind != yaml.SequenceNode:
		return nil, line, errors.New(`one value where a list is needed; write ["VALUE", "VALUE"], or - VALUE on the lines below`)
	}
	items := []string{}
	for _, item := range node.Content {
		if _, err := k.kind.scalar(item); err != nil {
			return nil, item.Line, err
		}
		items = append(items, item.Value)
	}
	return k.kind.list(items), line, nil
}

// missing says what to do about a key with nothing behind its colon.
func (k kind) missing() string {
	switch {
	case k.list != nil:
		return "no value; write [] for none, or comment the line out"
	case k.empty:
		return `no value; write "" for none, or comment the line out`
	}
	return "no value; write one, or comment the line out"
}

// scalar returns the value in node, which is one value or an item of a list.
func (k kind) scalar(node *yaml.Node) (any, error) {
	if err := checkPlain(node); err != nil {
		return nil, err
	}
	if node.Kind != yaml.ScalarNode {
		return nil, errors.New("a list or section where one value is needed; quote the value if it begins with [ or {")
	}
	if node.Tag == "!!null" && node.Value == "" {
		return nil, errors.New("an item without a value; write one or remove it")
	}
	value, err := k.one(node.Value)
	if err != nil || strings.Contains(k.tags, node.Tag) {
		return value, err
	}
	if k.tags == "!!str" {
		return nil, fmt.Errorf("%s is not text to YAML; write it in quotes", show(node.Value))
	}
	return nil, fmt.Errorf("%s is text here; write it without quotes", show(node.Value))
}
