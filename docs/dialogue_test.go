package docs_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"lockd/embedded"
	"lockd/internal/protocol"
)

// The dialogues of protocol.md, in the form that its beginning explains. What
// follows the word dialogue, a word each:
//
//	streams       not over WebSocket, whose messages end lines
//	websocket     over WebSocket alone, and each line is a message
//	dump=off      features.dump is off
//	registry=off  features.registry is off
//	locks=N       limits.locks_per_connection is N
type dialogue struct {
	block
	t         *testing.T
	server    *service
	transport string
	messages  bool // each line is a message
	clients   map[string]*client
}

func TestDialoguesAreWhatTheServerSays(t *testing.T) {
	count := 0
	for _, b := range blocks(t, "protocol.md") {
		if b.language != "dialogue" {
			continue
		}
		count++
		for _, transport := range transportsOf(b) {
			t.Run(fmt.Sprintf("line %d over %s", b.line, transport), func(t *testing.T) {
				d := &dialogue{block: b, t: t, transport: transport, clients: make(map[string]*client)}
				d.run()
			})
		}
	}
	if count < 10 {
		t.Errorf("%d dialogues were found", count)
	}
}

func transportsOf(b block) []string {
	words := strings.Fields(b.options)
	switch {
	case slices.Contains(words, "streams"):
		return []string{"tcp", "unix"}
	case slices.Contains(words, "websocket"):
		return []string{"ws"}
	}
	return []string{"tcp", "unix", "ws"}
}

func (d *dialogue) run() {
	d.t.Helper()
	var o embedded.Options
	for _, word := range strings.Fields(d.options) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "streams":
		case "websocket":
			d.messages = true
		case "dump":
			o.DisableDump = value == "off"
		case "registry":
			o.DisableRegistry = value == "off"
		case "locks":
			o.MaxLocksPerConnection = atoi(d.t, value)
		default:
			d.t.Fatalf("line %d: option %q is not understood", d.line, word)
		}
	}
	d.server = start(d.t, o)
	number := d.line
	for line := range strings.Lines(d.text) {
		number++
		d.step(strings.TrimSuffix(line, "\n"), number)
	}
	d.end()
}

// end finds that nobody was sent more than the dialogue says: a reply that is
// known comes next.
func (d *dialogue) end() {
	d.t.Helper()
	for name, c := range d.clients {
		c.at = "after the end: " + name
		c.send("i end of dialogue\n")
		c.want("0 Lock Not Locked: end of dialogue\n")
	}
}

func (d *dialogue) step(line string, number int) {
	d.t.Helper()
	who, text, _ := strings.Cut(line, " ")
	name := strings.TrimRight(who, "<>")
	c := d.clients[name]
	if c == nil {
		c = d.server.connect(d.t, d.transport)
		d.clients[name] = c
	}
	c.at = fmt.Sprintf("protocol.md:%d: %s", number, name)
	switch who[len(name):] {
	case ">":
		if d.messages {
			c.send(d.expand(text, number))
			return
		}
		c.send(d.expand(text, number) + "\n")
	case ">>":
		c.send(d.expand(text, number))
	case "<":
		d.receive(c, d.expand(text, number))
	case "":
		d.act(c, name, text)
	default:
		d.t.Fatalf("protocol.md:%d: not understood: %s", number, line)
	}
}

func (d *dialogue) receive(c *client, text string) {
	d.t.Helper()
	if d.messages {
		c.wantMessage(text)
		return
	}
	c.want(text + "\n")
}

func (d *dialogue) act(c *client, name, what string) {
	d.t.Helper()
	switch what {
	case "ends its side":
		c.endSide()
		return
	case "leaves":
		c.endSide()
		c.wantEnd()
	case "is closed":
		c.wantEnd()
	default:
		d.t.Fatalf("%s: not understood: %s", c.at, what)
	}
	delete(d.clients, name)
}

// expand makes of what a dialogue shows the bytes that are meant.
func (d *dialogue) expand(text string, number int) string {
	d.t.Helper()
	if strings.HasPrefix(text, `"`) {
		var err error
		if text, err = strconv.Unquote(text); err != nil {
			d.t.Fatalf("protocol.md:%d: %s: %v", number, text, err)
		}
	}
	if many := regexp.MustCompile(`^(\d+) x$`).FindStringSubmatch(text); many != nil {
		return strings.Repeat("x", atoi(d.t, many[1]))
	}
	return regexp.MustCompile(`ADDR-[A-Z]`).ReplaceAllStringFunc(text, func(word string) string {
		c := d.clients[word[len("ADDR-"):]]
		if c == nil {
			d.t.Fatalf("protocol.md:%d: there is no connection for %s", number, word)
		}
		return c.addr
	})
}

// said returns the lines of all dialogues of one direction, and how many there are.
func said(t *testing.T, mark string) []string {
	t.Helper()
	var lines []string
	for _, b := range blocks(t, "protocol.md") {
		for line := range strings.Lines(b.text) {
			who, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if b.language != "dialogue" || len(who) < 2 || who[1:] != mark {
				continue
			}
			if unquoted, err := strconv.Unquote(text); err == nil {
				text = strings.TrimSuffix(unquoted, "\n")
			}
			lines = append(lines, text)
		}
	}
	return lines
}

func TestEveryCommandIsInADialogueAndInATable(t *testing.T) {
	lines, text := said(t, ">"), prose(t, "protocol.md")
	for v := protocol.Unknown + 1; v < protocol.NumVerbs; v++ {
		if !slices.ContainsFunc(lines, func(line string) bool {
			c, ok := protocol.Parse([]byte(line))
			return ok && c.Verb == v
		}) {
			t.Errorf("no dialogue has %s", v)
		}
		if !regexp.MustCompile("(?m)^\\| `"+v.String()+"[ `]").MatchString(text) && v != protocol.Stats {
			t.Errorf("no table has %s", v)
		}
	}
	if protocol.NumVerbs != 14 {
		t.Errorf("the protocol has %d commands; is there a new one?", protocol.NumVerbs-1)
	}
}

// replyForms are made by what words the replies, so that none can be forgotten
// here without the compiler's or the list's help.
func replyForms() map[string]string {
	name := []byte("NAME")
	form := func(line []byte) string {
		text := regexp.QuoteMeta(strings.TrimSuffix(string(line), "\n"))
		return "^" + strings.NewReplacer("NAME", ".*", "ADDR", "ADDR-[A-Z]", "HOLDER", ".+", "4711", "[1-9][0-9]*").Replace(text) + "$"
	}
	return map[string]string{
		"g":           form(protocol.AppendGet(nil, true, name)),
		"g fails":     form(protocol.AppendGet(nil, false, name)),
		"r":           form(protocol.AppendRelease(nil, true, name)),
		"r fails":     form(protocol.AppendRelease(nil, false, name)),
		"i":           form(protocol.AppendInspect(nil, true, name)),
		"i free":      form(protocol.AppendInspect(nil, false, name)),
		"sg":          form(protocol.AppendSharedGet(nil, 4711, name)),
		"sg fails":    form(protocol.AppendSharedGet(nil, 0, name)),
		"sr":          form(protocol.AppendSharedRelease(nil, true, name)),
		"sr fails":    form(protocol.AppendSharedRelease(nil, false, name)),
		"si":          form(protocol.AppendSharedInspect(nil, 4711, name)),
		"si free":     form(protocol.AppendSharedInspect(nil, 0, name)),
		"me":          form(protocol.AppendMe(nil, "ADDR", "HOLDER")),
		"me unnamed":  `^1 (ADDR-[A-Z]) ADDR-[A-Z]$`,
		"iam":         form(protocol.AppendOK(nil)),
		"disabled":    form(protocol.AppendDisabled(nil)),
		"d by name":   `^[a-z]+: [a-z]+$`,
		"d by addr":   `^[a-z]+: ADDR-[A-Z]$`,
		"who":         form(protocol.AppendClient(nil, "ADDR", "HOLDER")),
		"q":           form(protocol.AppendCounter(nil, "command_me", 4711)),
		"dump":        `^map\[a:ADDR-[A-Z] b:ADDR-[A-Z]\]$`,
		"dump free":   `^map\[\]$`,
		"dump shared": `^map\[s:\[ADDR-[A-Z] ADDR-[A-Z]\] t:\[ADDR-[A-Z]\]\]$`,
		"HTTP":        `^HTTP/1\.1 400 Bad Request\r$`,
	}
}

func TestEveryFormOfReplyIsInADialogue(t *testing.T) {
	lines := said(t, "<")
	for what, form := range replyForms() {
		if !slices.ContainsFunc(lines, regexp.MustCompile(form).MatchString) {
			t.Errorf("no dialogue has a reply like %s: %s", what, form)
		}
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func kindOf(message string) string {
	if utf8.ValidString(message) {
		return "text"
	}
	return "binary"
}
