package main

import (
	"strings"

	"lockd/configs"
	"lockd/internal/config"
)

const configPageExample = `http: "127.0.0.1:9996"
allow_from: [loopback, 10.0.0.0/8]
limits:
  locks_per_connection: 1000
shutdown:
  grace: 30s`

// newConfigPage is made of the shipped configuration file, so that what a key is
// for is written once.
func newConfigPage(source manSource) *manPage {
	p := newManPage("lockd.yaml", "5", source)
	p.names("configuration of the lock server lockd", "lockd.yaml")
	p.heading("DESCRIPTION")
	header, keys := splitShipped(string(configs.Default))
	p.prose("The configuration of lockd(8), in YAML. lockd config default prints the file that is shipped, with every key commented out. It begins with:")
	p.line(".PP")
	p.literal(header)
	p.heading("KEYS")
	for _, k := range keys {
		if k.name == "" {
			p.subheading(k.section)
			p.prose(k.text)
			continue
		}
		p.item(bold(k.dotted())+roff(": "+k.value), k.text)
		p.line(".br")
		p.line(roff("Environment: " + config.EnvironmentName(k.dotted())))
	}
	p.heading("EXAMPLES")
	p.literal(configPageExample)
	p.heading("FILES")
	p.item(italic(config.DefaultPath), "Read where neither --config nor LOCKD_CONFIG names another.")
	p.seeAlso("lockd-config(1)", serverPage)
	return p
}

// A shippedKey is a key of the shipped file, or with no name the head of a section.
type shippedKey struct {
	section, name, value string
	text                 string // what it is for
}

func (k shippedKey) dotted() string {
	if k.section == "" {
		return k.name
	}
	return k.section + "." + k.name
}

// splitShipped takes the shipped file apart: what it says of itself, and its
// keys. A line "#key: value" is a key, within a section behind blanks, and a line
// "# text" explains what follows.
func splitShipped(file string) (header string, keys []shippedKey) {
	section := ""
	for i, block := range strings.Split(file, "\n\n") {
		var text []string
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			code := strings.TrimLeft(line, " ")
			name, value, isKey := strings.Cut(strings.TrimPrefix(code, "#"), ":")
			if strings.HasPrefix(code, "# ") || code == "#" || !isKey {
				text = append(text, strings.TrimPrefix(strings.TrimPrefix(code, "#"), " "))
				continue
			}
			k := shippedKey{name: name, value: strings.TrimSpace(value), text: strings.Join(text, "\n")}
			switch nested := code != line; {
			case nested:
				k.section = section
			case k.value == "":
				section, k.section, k.name = name, name, ""
			}
			keys, text = append(keys, k), nil
		}
		if i == 0 {
			header = strings.Join(text, "\n")
		}
	}
	return header, keys
}
