package server_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// cutWords are lines that are answered the same each time, but for what inessential
// takes out. Another client holds held, and is one of the holders of both.
var cutWords = []string{
	"gw -1 held", "gw -1 held", "gw 0 held", "gw  60000  held ", "gw -1 free", "gw 0 free", "gw -1", "gw x", "sgw -1 1 both", "sgw 0 1 both",
	"sgw -1 0 both", "sgw 0 2 both", "cancel", "cancel", "cancel", "cancel x", " cancel\t", "cancel\tx", "", "", " \t", "ping", "xyzzy", "g free",
	"g held", "r free", "sg both", "sr both", "i free", "me", "me lockd/2", "me lockd/2", "me lockd/1", "iam a  b", "who", "d", "sd both", "ls", "ls x",
	"dump", "unwatch", "fr x 0 held", "kick x", strings.Repeat("x", 300),
}

// linesSmall is the limit of lines, which the last of them is over. No more than
// that comes behind a wait but in the test of what is too much.
const linesSmall = 250

var numbersOfMoments = regexp.MustCompile(`\b(token|waited|held)=[0-9]+|"(since|token|ms)":"?[^,"}]+"?`)

// inessential makes the replies to two clients, one after the other, comparable.
func inessential(replies string, c *client) string {
	replies = strings.ReplaceAll(replies, c.addr, "{A}")
	return numbersOfMoments.ReplaceAllString(replies, "$1$2")
}

// However the lines of a client come in, and whatever it waits for, the replies are
// the same.
func TestCutsChangeNothingAroundWaits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := start(rt, lineBytes(linesSmall))
		holder := s.connect("tcp4")
		holder.send("g held\nsg both\n")
		holder.want("1 Lock Get Success: held\n1 Shared Lock Get Success: both\n")
		transport := rapid.SampledFrom(streams).Draw(rt, "transport")
		sent := drawLines(rt)

		whole := s.connect(transport)
		whole.send(sent)
		want := whole.toTheEnd()

		pieces := s.connect(transport)
		for rest := sent; rest != ""; {
			n := rapid.IntRange(1, min(len(rest), 12)).Draw(rt, "piece")
			pieces.send(rest[:n])
			s.readBy(pieces)
			rest = rest[n:]
		}
		if got := pieces.toTheEnd(); got != want {
			rt.Fatalf("%q is answered\n%s\nin one piece, and in several\n%s", sent, want, got)
		}
	})
}

// drawLines draws what a client sends, with not too much behind a wait.
func drawLines(rt *rapid.T) string {
	var text strings.Builder
	behind := 0
	for range rapid.IntRange(1, 12).Draw(rt, "lines") {
		line := rapid.SampledFrom(cutWords).Draw(rt, "line")
		line += rapid.SampledFrom([]string{"\n", "\n", "\r\n"}).Draw(rt, "end")
		waits := strings.HasPrefix(line, "gw") || strings.HasPrefix(line, "sgw")
		if behind > 0 || waits {
			behind += len(line)
		}
		if behind > linesSmall {
			break
		}
		text.WriteString(line)
	}
	sent := text.String()
	if rapid.Bool().Draw(rt, "cut") {
		sent = strings.TrimRight(sent, "\r\n")
	}
	return sent
}

// toTheEnd half-closes and returns all replies.
func (c *client) toTheEnd() string {
	c.Helper()
	c.halfClose()
	rest, err := c.end()
	if err != nil {
		c.Fatalf("%s got %q, %v", c.name, rest, err)
	}
	return inessential(rest, c)
}
