package server_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockd/internal/locks"
)

// A dialogue is a script of several clients, A to Z, and one server:
//
//	A> g foo                     A sends this line
//	A< 1 Lock Get Success: foo   and gets this one next
//	A> "g \xff"                  a quoted text is a Go string
//	A>> "g fo"                   sends exactly these bytes, without an LF
//	A<< "1 Lock"                 gets exactly these bytes
//	A~ waited={ms} name=foo      gets a line with these placeholders in it next
//	A waits                      is in the queue of a lock, soon
//	A half                       ends A's side
//	A eof                        finds the server's side ended, all said
//	A leave                      both
//	A reset                      ends A's side without a word
//	A unix                       opens A, by this transport
//
// {A} stands for A's address. A client that was not opened connects when it is
// first named. Between what a client sends and what it gets next there is
// nothing else, so a command without a reply needs no line for that.
//
// {ms} is any number of milliseconds, {time} any time. {t1} is the fencing token
// that was there when it was first named, in a line of ~, and must have been
// higher than all that were named before.
type dialogue struct {
	*service
	transports []string // of the clients, in turn
	clients    map[string]*client
	addrs      map[string]string // of the clients, also of those that have left
	tokens     map[string]string // by placeholder
}

// talk runs a script with clients of the transports in turn.
func (s *service) talk(script string, transports ...string) {
	s.Helper()
	d := &dialogue{
		service: s, transports: transports,
		clients: make(map[string]*client),
		addrs:   make(map[string]string), tokens: make(map[string]string),
	}
	number := 0
	for line := range strings.Lines(script) {
		number++
		line = strings.Trim(line, " \t\n")
		if line == "" || line[0] == '#' {
			continue
		}
		d.step(line, number)
	}
	for _, c := range d.clients {
		c.ask("i end of script", "0 Lock Not Locked: end of script\n")
		c.leave()
	}
}

func (d *dialogue) step(line string, number int) {
	d.Helper()
	word, text, _ := strings.Cut(line, " ")
	name := word[:1]
	if text == "unix" || text == "tcp4" || text == "tcp6" || text == "ws" {
		d.open(name, text)
		return
	}
	c := d.clients[name]
	if c == nil {
		c = d.open(name, d.transports[len(d.clients)%len(d.transports)])
	}
	c.name = "script line " + strconv.Itoa(number) + ": " + name
	switch word[1:] {
	case ">":
		c.send(d.expand(text) + "\n")
	case ">>":
		c.send(d.expand(text))
	case "<":
		c.want(d.expand(text) + "\n")
	case "<<":
		c.want(d.expand(text))
	case "~":
		d.match(c, d.expand(text))
	case "":
		d.act(c, name, text)
	default:
		d.Fatalf("script line %d: %q is not understood", number, line)
	}
}

func (d *dialogue) act(c *client, name, what string) {
	d.Helper()
	switch what {
	case "half":
		c.halfClose()
		return
	case "waits":
		d.waits(c)
		return
	case "reset":
		c.reset()
	case "eof":
		c.wantEOF()
	case "leave":
		c.leave()
	default:
		d.Fatalf("%q is not understood", what)
	}
	delete(d.clients, name)
}

func (d *dialogue) open(name, transport string) *client {
	d.Helper()
	c := d.connect(transport)
	c.failer = d.failer
	d.clients[name], d.addrs[name] = c, c.addr
	return c
}

// expand takes text out of its quotes and puts addresses in.
func (d *dialogue) expand(text string) string {
	d.Helper()
	if strings.HasPrefix(text, `"`) {
		var err error
		if text, err = strconv.Unquote(text); err != nil {
			d.Fatalf("%s: %v", text, err)
		}
	}
	if !strings.Contains(text, "{") {
		return text
	}
	for name, addr := range d.addrs {
		text = strings.ReplaceAll(text, "{"+name+"}", addr)
	}
	for placeholder, token := range d.tokens {
		text = strings.ReplaceAll(text, placeholder, token)
	}
	return text
}

// match wants a line like the pattern, and keeps the tokens that it names.
func (d *dialogue) match(c *client, pattern string) {
	d.Helper()
	line := strings.TrimSuffix(c.line(), "\n")
	var named []string
	form := regexp.QuoteMeta(pattern)
	form = strings.ReplaceAll(form, `\{ms\}`, `[0-9]+`)
	form = strings.ReplaceAll(form, `\{time\}`, `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`)
	form = regexp.MustCompile(`\\\{(t\d)\\\}`).ReplaceAllStringFunc(form, func(t string) string {
		named = append(named, strings.ReplaceAll(t, `\`, ""))
		return `([1-9]\d*)`
	})
	found := regexp.MustCompile(`(?s)^` + form + `$`).FindStringSubmatch(line)
	if found == nil {
		d.Fatalf("%s got %q; want %s", c.name, line, pattern)
	}
	for i, t := range named {
		d.name(t, found[i+1])
	}
}

func (d *dialogue) name(placeholder, token string) {
	d.Helper()
	number := func(token string) int {
		n, err := strconv.Atoi(token)
		if err != nil {
			d.Fatalf("the token %s: %v", token, err)
		}
		return n
	}
	for _, earlier := range d.tokens {
		if number(token) <= number(earlier) {
			d.Fatalf("%s is %s, after %s", placeholder, token, earlier)
		}
	}
	d.tokens[placeholder] = token
}

// waits wants a client to be in the queue of a lock.
func (s *service) waits(c *client) {
	s.Helper()
	eventually(s, c.name+" waits", func() bool { return s.inQueue(c) })
}

func (s *service) inQueue(c *client) bool {
	entries := slices.Collect(s.table.List(locks.Query{Exclusive: true, Shared: true, Waiters: true}))
	return slices.ContainsFunc(entries, func(e locks.Entry) bool { return e.Waiting && e.Session.Addr() == c.addr })
}

// talkEverywhere runs a script over each transport and over all of them mixed.
func talkEverywhere(t *testing.T, script string, changes ...func(*setup)) {
	t.Helper()
	forEachTransport(t, func(t *testing.T, transport string) {
		start(t, changes...).talk(script, transport)
	})
	t.Run("mixed", func(t *testing.T) { start(t, changes...).talk(script, everyTransport...) })
}

// talkOverStreams is talkEverywhere without WebSockets, for what they cannot say.
func talkOverStreams(t *testing.T, script string, changes ...func(*setup)) {
	t.Helper()
	forEachStream(t, func(t *testing.T, transport string) {
		start(t, changes...).talk(script, transport)
	})
}
