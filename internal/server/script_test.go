package server_test

import (
	"strconv"
	"strings"
	"testing"
)

// A dialogue is a script of several clients, A to Z, and one server:
//
//	A> g foo                     A sends this line
//	A< 1 Lock Get Success: foo   and gets this one next
//	A> "g \xff"                  a quoted text is a Go string
//	A>> "g fo"                   sends exactly these bytes, without an LF
//	A<< "1 Lock"                 gets exactly these bytes
//	A half                       ends A's side
//	A eof                        finds the server's side ended, all said
//	A leave                      both
//	A unix                       opens A, by this transport
//
// {A} stands for A's address. A client that was not opened connects when it is
// first named. Between what a client sends and what it gets next there is
// nothing else, so a command without a reply needs no line for that.
type dialogue struct {
	*service
	transports []string // of the clients, in turn
	clients    map[string]*client
}

// talk runs a script with clients of the transports in turn.
func (s *service) talk(script string, transports ...string) {
	s.Helper()
	d := &dialogue{service: s, transports: transports, clients: make(map[string]*client)}
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
	d.clients[name] = c
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
	for name, c := range d.clients {
		text = strings.ReplaceAll(text, "{"+name+"}", c.addr)
	}
	return text
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
