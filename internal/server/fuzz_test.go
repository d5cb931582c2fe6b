package server_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockd/internal/locks"
	"lockd/internal/protocol"
	"lockd/internal/server"
)

const fuzzLineBytes = 64

// small starts a server with one Unix socket, which is cheap.
func small(t *testing.T) (s *service, conn net.Conn) {
	t.Helper()
	s = &service{failer: t, table: locks.New(locks.Limits{}, locks.NewTokens(0)), addresses: make(map[string]string)}
	s.settings = server.DefaultSettings()
	s.settings.LineBytes = fuzzLineBytes
	s.Server = server.New(server.Options{Table: s.table, Settings: s.settings, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(s.stop)
	path := filepath.Join(shortDir(t), "s")
	s.addresses["unix"] = path
	s.serve(listen(t, "unix://"+path))
	return s, s.dial("unix")
}

func FuzzConnection(f *testing.F) {
	for _, text := range []string{
		sample, strings.ReplaceAll(sample, "\n", "\r\n"), "q\nme\nq\niam x\nwho x\nwho\nq", "g", "sg\nsi\nsd\nsr\ndump shared x\ndump\tshared",
		"GET / HTTP/1.1\r\n\r\ng foo\n", "\nGET / HTTP/1.1\n", "GET / HTTP/1.1", "get / HTTP/1.1\n", "POST /" + strings.Repeat("x", 100),
		"g " + strings.Repeat("x", 62) + "\ng " + strings.Repeat("y", 63) + "\nd\n", strings.Repeat("x", 64), strings.Repeat("x", 200) + "\nme",
		"g a  b\ng a\tb\ng a b\nd\nsg a\vb\nsd a b\nr a\fb\n\x00\n\xff\nme\n", " \t\r\n\n\r\n  d  \n", "iam\xff\x00\nme\nwho \xff\n",
	} {
		f.Add([]byte(text), []byte{})
		f.Add([]byte(text), []byte{1, 1, 1, 2, 3, 5, 8, 13, 21})
		f.Add([]byte(text), bytes.Repeat([]byte{1}, len(text)))
	}
	f.Fuzz(func(t *testing.T, sent, cuts []byte) {
		// Of a first line that is too long and has no space in its beginning, it
		// depends on the cuts how much is looked at.
		if len(sent) > 8<<10 || bytes.IndexByte(sent, ' ') > fuzzLineBytes || asksLevel2(sent) {
			return
		}
		s, conn := small(t)
		var got []byte
		read := async(func() { got, _ = io.ReadAll(conn) })
		s.sendInCuts(conn, sent, cuts)
		conn.(*net.UnixConn).CloseWrite()
		soon(t, "the stream ends", read)
		m := newModel(fuzzLineBytes)
		m.connections = 1
		want := m.all("unix:1", sent)
		if want == modelHTTP {
			got = got[:min(len(got), len(want))]
		}
		if string(got) != want {
			t.Fatalf("%q in cuts %v is answered\n%q, want\n%q", sent, cuts, got, want)
		}
		m.leave("unix:1")
		st := s.Stats()
		if int(st.InvalidCommands) != m.counts[""] || int(st.Locks.Exclusive.Orphans) != m.orphans || int(st.Locks.Shared.Orphans) != m.sharedOrphans {
			t.Fatalf("after %q the counters are %+v, want %+v", sent, st, m)
		}
	})
}

// asksLevel2 tells what the model, which is of level 1, does not know.
func asksLevel2(sent []byte) bool {
	for line := range bytes.SplitSeq(sent, []byte("\n")) {
		command, _ := protocol.Parse(bytes.Clone(line))
		_, handshake := protocol.ParseLevel(command.Arg)
		if command.Verb.Level() > 1 || command.Verb == protocol.Me && handshake {
			return true
		}
	}
	return false
}

// sendInCuts sends pieces of the lengths in cuts, and then the rest.
func (s *service) sendInCuts(conn net.Conn, sent, cuts []byte) {
	c := &client{failer: s, addr: "unix:1", conn: conn}
	for i, n := range cuts {
		piece := sent[:min(int(n), len(sent))]
		if _, err := conn.Write(piece); err != nil {
			return // refused
		}
		sent = sent[len(piece):]
		if i < 4 {
			s.readOrGone(c)
		}
	}
	conn.Write(sent)
}

// readOrGone wants the server to have read all, or to have ended the connection.
func (s *service) readOrGone(c *client) {
	accepted := s.Stats().Transports[server.Unix].Accepted > 0
	eventually(s, "the server has read", func() bool {
		n, there := s.Unread(c.addr)
		accepted = accepted || s.Stats().Transports[server.Unix].Accepted > 0
		return accepted && (!there || n == 0)
	})
}

// A machine has several clients do random things, one at a time, to a server and
// to its model.
type machine struct {
	*service
	rt      *rapid.T
	model   *model
	clients []*client
}

var machineWords = []string{"g", "r", "i", "sg", "sr", "si", "d", "sd", "dump", "dump shared", "me", "iam", "who", "q", "nothing"}

// command has one client ask something. A question whose answer is known ends
// the reply, which may be empty.
func (m *machine) command() {
	c := rapid.SampledFrom(m.clients).Draw(m.rt, "client")
	line := rapid.SampledFrom(machineWords).Draw(m.rt, "word")
	line += rapid.SampledFrom([]string{"", " ", " a", " b", " a  b", " \xff", "\t", " shared", " {addr}"}).Draw(m.rt, "rest")
	line = strings.ReplaceAll(line, "{addr}", c.addr)
	want := m.model.line(c.addr, line) + m.model.line(c.addr, "i end")
	c.send(line + "\ni end\n")
	c.want(want)
}

func (m *machine) connectOne() {
	if len(m.clients) == 6 {
		return
	}
	c := m.connect(rapid.SampledFrom(everyTransport).Draw(m.rt, "transport"))
	m.clients = append(m.clients, c)
	m.model.connections++
	// Until a WebSocket is closed, its name may be another's; ask by me.
	c.send("me\n")
	c.want(m.model.line(c.addr, "me"))
}

func (m *machine) leaveOne() {
	if len(m.clients) < 2 {
		return
	}
	i := rapid.IntRange(0, len(m.clients)-1).Draw(m.rt, "leaver")
	m.clients[i].leave()
	m.model.leave(m.clients[i].addr)
	m.clients = append(m.clients[:i:i], m.clients[i+1:]...)
}

func TestAnyCommandsInAnyOrderAreAnsweredAsTheModelDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := start(rt)
		m := &machine{service: s, rt: rt, model: newModel(s.settings.LineBytes)}
		m.connectOne()
		m.connectOne()
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 11).Draw(rt, "step") {
			case 0:
				m.connectOne()
			case 1:
				m.leaveOne()
			default:
				m.command()
			}
		}
	})
}
