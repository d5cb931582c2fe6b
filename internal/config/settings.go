package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Setting is one key of a loaded configuration.
type Setting struct {
	Key   string // dotted
	Value string // as YAML, on one line
	// Origin is "default", "file PATH:LINE", "environment LOCKD_X", the origin of
	// an Override, or for a default that systemd changed "systemd socket" or
	// "environment STATE_DIRECTORY".
	Origin string
}

// Settings returns every key in the order of the documentation.
func (l *Loaded) Settings() []Setting {
	var settings []Setting
	for _, k := range table(nil) {
		origin, found := l.origins[k.name]
		if !found {
			origin = "default"
		}
		settings = append(settings, Setting{k.name, yamlText(l.Config.value(k.name)), origin})
	}
	return settings
}

// Print writes the configuration as a YAML file that loads to the same, with the
// origin of each value in a comment behind it.
func (l *Loaded) Print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	section := ""
	for _, s := range l.Settings() {
		before, last, nested := strings.Cut(s.Key, ".")
		if !nested {
			fmt.Fprintf(table, "%s: %s\t# %s\n", s.Key, s.Value, s.Origin)
			continue
		}
		if before != section {
			section = before
			fmt.Fprintf(table, "%s:\n", section)
		}
		fmt.Fprintf(table, "  %s: %s\t# %s\n", last, s.Value, s.Origin)
	}
	return table.Flush()
}

// Change is a key that differs between two configurations.
type Change struct {
	Key      string // dotted
	Old, New string // as YAML, on one line
	Reload   Reload // what the new value needs to take effect
}

// Diff returns the keys that differ, in the order of the documentation.
func Diff(before, after Config) []Change {
	var changes []Change
	for _, k := range table(nil) {
		oldText, newText := yamlText(before.value(k.name)), yamlText(after.value(k.name))
		if oldText != newText {
			changes = append(changes, Change{k.name, oldText, newText, k.reload})
		}
	}
	return changes
}
