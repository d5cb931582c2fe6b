package docs_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"lockd/internal/locks"
	"lockd/internal/protocol"
	"lockd/internal/server"
	"lockd/test/markdown"
)

// The dialogues of protocol.md, in the form that its beginning explains. What
// follows the word dialogue, a word each:
//
//	streams       not over WebSocket, whose messages end lines
//	websocket     over WebSocket alone, and each line is a message
//	dump=off      features.dump is off
//	registry=off  features.registry is off
//	admin=none    admin_from is empty
//	locks=N       limits.locks_per_connection is N
//	line_bytes=N  limits.line_bytes is N
type dialogue struct {
	markdown.Block
	t         *testing.T
	server    *service
	transport string
	messages  bool // each line is a message
	clients   map[string]*client
	addrs     map[string]string // of all clients there have been
	tokens    map[string]uint64 // by what they are called here: T1, T2
}

func TestDialoguesAreWhatTheServerSays(t *testing.T) {
	count := 0
	for _, b := range markdown.Blocks(t, "protocol.md") {
		if b.Language != "dialogue" {
			continue
		}
		count++
		for _, transport := range transportsOf(b) {
			t.Run(fmt.Sprintf("line %d over %s", b.Line, transport), func(t *testing.T) {
				d := &dialogue{
					Block: b, t: t, transport: transport,
					clients: make(map[string]*client), addrs: make(map[string]string), tokens: make(map[string]uint64),
				}
				d.run()
			})
		}
	}
	if count < 10 {
		t.Errorf("%d dialogues were found", count)
	}
}

func transportsOf(b markdown.Block) []string {
	words := strings.Fields(b.Options)
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
	d.server = start(d.t, func(set *server.Settings, limits *locks.Limits) {
		for _, word := range strings.Fields(d.Options) {
			d.configure(word, set, limits)
		}
	})
	number := d.Line
	for line := range strings.Lines(d.Text) {
		number++
		d.step(strings.TrimSuffix(line, "\n"), number)
	}
	d.end()
}

// configure does what an option of the dialogue says.
func (d *dialogue) configure(option string, set *server.Settings, limits *locks.Limits) {
	d.t.Helper()
	key, value, _ := strings.Cut(option, "=")
	switch {
	case option == "streams":
	case option == "websocket":
		d.messages = true
	case option == "dump=off":
		set.Dump = false
	case option == "registry=off":
		set.Registry = false
	case option == "admin=none":
		set.Admin = nil
	case key == "locks":
		limits.SessionHolds = atoi(d.t, value)
	case key == "line_bytes":
		set.LineBytes = atoi(d.t, value)
	default:
		d.t.Fatalf("line %d: option %q is not understood", d.Line, option)
	}
}

// end finds that nobody was sent more than the dialogue says: a reply that is
// known comes next.
func (d *dialogue) end() {
	d.t.Helper()
	for name, c := range d.clients {
		c.at = "after the end: " + name
		c.send("i end of dialogue\n")
		if line := c.line(); line != "0 Lock Not Locked: end of dialogue\n" {
			d.t.Errorf("%s got %q, which the dialogue does not have", c.at, line)
		}
	}
}

func (d *dialogue) step(line string, number int) {
	d.t.Helper()
	if line == "the server closes" {
		d.server.StopListening()
		return
	}
	who, text, _ := strings.Cut(line, " ")
	name := strings.TrimRight(who, "<>")
	c := d.client(name)
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

// client returns the connection of that name, which it opens where there is none.
func (d *dialogue) client(name string) *client {
	d.t.Helper()
	c := d.clients[name]
	if c == nil {
		transport := d.transport
		if name == "U" {
			transport = "unix"
		}
		c = d.server.connect(d.t, transport)
		d.clients[name], d.addrs[name] = c, c.addr
	}
	return c
}

func (d *dialogue) receive(c *client, want string) {
	d.t.Helper()
	var got string
	if d.messages {
		got = c.message()
	} else {
		got = c.line()
		want += "\n"
	}
	if err := d.match(got, want); err != nil {
		d.t.Fatalf("%s got %q; want %q: %v", c.at, got, want, err)
	}
}

func (d *dialogue) act(c *client, name, what string) {
	d.t.Helper()
	switch what {
	case "waits":
		d.awaitWaiting(c)
		return
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

// awaitWaiting returns when the client is in the queue of a lock. What it is sent
// next is the end of that.
func (d *dialogue) awaitWaiting(c *client) {
	d.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !d.server.waits(c.addr); <-tick.C {
		if time.Now().After(deadline) {
			d.t.Fatalf("%s does not wait", c.at)
		}
	}
}

// expand makes of what a dialogue shows the bytes that are meant, but for what
// only match knows.
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
	return regexp.MustCompile(`ADDR-[A-Z]|TRANSPORT|\bT[1-9]\b`).ReplaceAllStringFunc(text, func(word string) string {
		switch name, isAddr := strings.CutPrefix(word, "ADDR-"); {
		case word == "TRANSPORT":
			return strings.Replace(d.transport, "ws", "websocket", 1)
		case !isAddr:
			if token := d.tokens[word]; token != 0 {
				return strconv.FormatUint(token, 10)
			}
			return word // not received yet
		case d.addrs[name] == "":
			d.t.Fatalf("protocol.md:%d: there is no connection for %s", number, word)
		default:
			return d.addrs[name]
		}
		return ""
	})
}

// match tells what is wrong with what was received, where that is not as wanted.
// Of want it takes the words that stand for what nobody can know before.
func (d *dialogue) match(got, want string) error {
	rest, begin := got, 0
	for _, at := range regexp.MustCompile(`\b(T[1-9]|MS|SECONDS|TIME)\b`).FindAllStringIndex(want, -1) {
		after, ok := strings.CutPrefix(rest, want[begin:at[0]])
		if !ok {
			return fmt.Errorf("at %q", rest)
		}
		word, chars := want[at[0]:at[1]], "0123456789"
		if word == "TIME" {
			chars += "-:.TZ"
		}
		rest = strings.TrimLeft(after, chars)
		if err := d.stand(word, after[:len(after)-len(rest)]); err != nil {
			return err
		}
		begin = at[1]
	}
	if rest != want[begin:] {
		return fmt.Errorf("at %q", rest)
	}
	return nil
}

// stand tells whether what was received can be what a word stands for.
func (d *dialogue) stand(word, value string) error {
	if word == "TIME" {
		_, err := time.Parse("2006-01-02T15:04:05.000Z", value)
		return err
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || word[0] != 'T' {
		return err
	}
	for other, token := range d.tokens {
		if cmp.Compare(other, word) != cmp.Compare(token, uint64(n)) {
			return fmt.Errorf("token %s is %d, %s is %d", other, token, word, n)
		}
	}
	d.tokens[word] = uint64(n)
	if n == 0 {
		return fmt.Errorf("token %s is 0", word)
	}
	return nil
}

func TestWordsOfDialoguesStandForNoMoreThanTheySay(t *testing.T) {
	for _, c := range []struct {
		want, got string
		good      bool
	}{
		{"held=MS name=a", "held=0 name=a", true},
		{"held=MS name=a", "held=12 name=a", true},
		{"held=MS name=a", "held= name=a", false},
		{"held=MS name=a", "held=1x name=a", false},
		{"held=MS name=a", "held=1 name=a b", false},
		{"held=0 name=a", "held=1 name=a", false},
		{"up SECONDS", "up -1", false},
		{"token=T2", "token=5", true},
		{"token=T2", "token=6", false},
		{"token=T2", "token=7", false},
		{"token=T4", "token=6", false},
		{"token=T3", "token=6", true},
		{"token=T3", "token=7", false},
		{"token=T1", "token=0", false},
		{"token=T1", "token=9223372036854775808", false},
		{"token=T1 T2 T4", "token=5 6 8", false},
		{`"since":"TIME"`, `"since":"2026-01-02T03:04:05.678Z"`, true},
		{`"since":"TIME"`, `"since":"2026-01-02T03:04:05.678+01:00"`, false},
		{`"since":"TIME"`, `"since":"2026-01-02"`, false},
		{"MST T1x TIMES", "MST T1x TIMES", true},
		{"1 Lock Get Success: \xff", "1 Lock Get Success: \xff", true},
		{"1 Lock Get Success: \xff MS", "1 Lock Get Success: \xfe 1", false},
	} {
		d := &dialogue{t: t, tokens: map[string]uint64{"T3": 6, "T5": 9}}
		if err := d.match(c.got, c.want); (err == nil) != c.good {
			t.Errorf("%q for %q: %v", c.got, c.want, err)
		}
	}
}

// said returns the lines of all dialogues of one direction, and how many there are.
func said(t *testing.T, mark string) []string {
	t.Helper()
	var lines []string
	for _, b := range markdown.Blocks(t, "protocol.md") {
		for line := range strings.Lines(b.Text) {
			who, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if b.Language != "dialogue" || len(who) < 2 || who[1:] != mark {
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
	if protocol.NumVerbs != 24 {
		t.Errorf("the protocol has %d commands; is there a new one?", protocol.NumVerbs-1)
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
