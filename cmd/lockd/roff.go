package main

import (
	"fmt"
	"strings"
	"time"
)

// A manPage is a man page while it is written, in the language of roff.
type manPage struct {
	name    string
	section string
	text    strings.Builder
}

// A manSource is what every page says of its origin.
type manSource struct {
	version string
	date    time.Time
}

func newManPage(name, section string, source manSource) *manPage {
	p := &manPage{name: name, section: section}
	// No hyphenation and no stretched lines: what is shown may be typed.
	fmt.Fprintf(&p.text, ".TH \"%s\" \"%s\" \"%s\" \"%s\" \"lockd\"\n.nh\n.ad l\n", roff(strings.ToUpper(name)), section,
		source.date.Format("January 2006"), "lockd "+roff(source.version))
	return p
}

// file is what the page's file is called.
func (p *manPage) file() string { return p.name + "." + p.section }

func (p *manPage) heading(text string)    { p.text.WriteString(".SH " + text + "\n") }
func (p *manPage) subheading(text string) { p.text.WriteString(".SS " + roff(text) + "\n") }

// names is the section that whatis and apropos read.
func (p *manPage) names(summary string, names ...string) {
	p.heading("NAME")
	p.line(roff(strings.Join(names, ", ")) + ` \- ` + roff(summary))
}

// prose writes paragraphs that blank lines separate. What is indented by four
// blanks keeps its lines.
func (p *manPage) prose(text string) {
	for i, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if i > 0 {
			p.text.WriteString(".PP\n")
		}
		if strings.HasPrefix(paragraph, "    ") {
			p.literal(strings.ReplaceAll("\n"+paragraph, "\n    ", "\n"))
			continue
		}
		p.line(roff(paragraph))
	}
}

// literal writes lines as they are.
func (p *manPage) literal(text string) {
	p.text.WriteString(".EX\n")
	p.line(roff(strings.Trim(text, "\n")))
	p.text.WriteString(".EE\n")
}

// item writes an entry of a list. The tag is roff already.
func (p *manPage) item(tag, text string) {
	p.text.WriteString(".TP\n" + tag + "\n")
	p.line(roff(text))
}

// seeAlso writes the last section. A reference is NAME(SECTION).
func (p *manPage) seeAlso(references ...string) {
	p.heading("SEE ALSO")
	for i, r := range references {
		name, section, _ := strings.Cut(r, "(")
		comma := ","
		if i == len(references)-1 {
			comma = ""
		}
		fmt.Fprintf(&p.text, ".BR %s (%s%s\n", roff(name), section, comma)
	}
}

func (p *manPage) line(text string) { p.text.WriteString(text + "\n") }

func bold(text string) string   { return `\fB` + roff(text) + `\fP` }
func italic(text string) string { return `\fI` + roff(text) + `\fP` }

// roff makes text that shows as it is: nothing in it is a request, an escape, or
// a character that a typesetter would replace.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "\n.", "\n\\&.").Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
