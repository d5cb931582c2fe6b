package config

import (
	"errors"
	"fmt"
	"strings"
)

// unknownKey says what to do about a name that is no key.
func unknownKey(keys []key, name string) error {
	near, found := nearest(keys, name)
	switch section, _, _ := strings.Cut(name, "."); {
	case found && strings.Contains(near, ".") && !strings.Contains(name, "."):
		section, last, _ := strings.Cut(near, ".")
		return fmt.Errorf(`unknown key; did you mean %s? Write "%s:" and, indented below it, "%s:"`, near, section, last)
	case found:
		return fmt.Errorf("unknown key; did you mean %s?", near)
	case isSection(keys, section):
		return fmt.Errorf("unknown key; %s has %s", section, strings.Join(sectionKeys(keys, section), ", "))
	}
	return errors.New(`unknown key; "lockd config default" shows all keys`)
}

func sectionKeys(keys []key, section string) []string {
	var names []string
	for _, k := range keys {
		if k.section() == section {
			names = append(names, k.last())
		}
	}
	return names
}

// nearest returns the key or section that name most likely means. Full names
// are compared, and the last parts alone for a key that lost its section or
// stands in a wrong one.
func nearest(keys []key, name string) (string, bool) {
	best, bestCost := "", len(name)+1
	propose := func(candidate, typed, right string) {
		cost := editDistance(strings.ToLower(typed), right)
		if cost < bestCost && cost <= max(1, len(right)/3) {
			best, bestCost = candidate, cost
		}
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, k := range keys {
		propose(k.name, name, k.name)
	}
	for _, k := range keys {
		if section := k.section(); section != "" {
			propose(section, name, section)
		}
	}
	for _, k := range keys {
		propose(k.name, last, k.last())
	}
	return best, best != ""
}

// editDistance counts the bytes to insert, delete or replace to make b of a. A
// name much longer than any key is far from all and costs no work.
func editDistance(a, b string) int {
	if len(a) > 2*len(b) {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// misspelt warns of variables whose names are nearly those of keys. What else begins
// with LOCKD_ may be a container platform's, which names variables by services.
func misspelt(keys []key, environ []string) (warnings []string) {
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		best, bestCost := "", 3
		for _, k := range keys {
			if cost := editDistance(name, k.environmentName()); cost < bestCost {
				best, bestCost = k.environmentName(), cost
			}
		}
		if bestCost > 0 && best != "" {
			warnings = append(warnings, fmt.Sprintf("environment %s: no such key; did you mean %s?", name, best))
		}
	}
	return warnings
}
