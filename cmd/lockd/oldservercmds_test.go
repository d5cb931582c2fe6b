package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdOldServer serves level 1 of the protocol in HOST:PORT, with the locks of a
// fixed table: backup held by worker, b by an address, and r shared by two:
// old-server HOST:PORT.
func cmdOldServer(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serveOld(conn) // one after the other is enough here
			conn.Close()
		}
	}()
	ts.Defer(func() {
		l.Close()
		<-done
	})
}

func serveOld(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		command, name, _ := strings.Cut(lines.Text(), " ")
		if _, err := io.WriteString(conn, answerOld(command, name, conn.RemoteAddr())); err != nil {
			return
		}
	}
}

func answerOld(command, name string, from net.Addr) string {
	number := map[string]int{"g backup": 1, "i backup": 1, "i b": 1, "si r": 2}[command+" "+name]
	switch command {
	case "me":
		return fmt.Sprintf("1 %s %s\n", from, from)
	case "i":
		return fmt.Sprintf("%d Lock Is Or Is Not Locked: %s\n", number, name)
	case "si":
		return fmt.Sprintf("%d Shared Lock Is Or Is Not Locked: %s\n", number, name)
	case "g":
		return fmt.Sprintf("%d Lock Get Done Or Not: %s\n", 1-number, name)
	case "r":
		return "1 Lock Release Success: " + name + "\n"
	case "d":
		return "b: 192.0.2.1:5000\nbackup: worker\n"
	case "sd":
		return "r: worker\nr: 192.0.2.2:5000\n"
	case "who":
		return "192.0.2.9:5000: worker\n"
	case "q":
		return "command_q: 7\nlocks: 2\n"
	}
	return ""
}
