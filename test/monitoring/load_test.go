package monitoring_test

import (
	"fmt"
	"strings"
	"testing"
)

// crowded is a configuration whose every limit the load runs into.
const crowded = `
allow_from: [127.0.0.0/28]
limits: {connections: 60, connections_per_ip: 40, locks_per_connection: 10, table_bytes: 300000, reply_backlog_bytes: 4096}
`

// enough refusals in a moment for a rate over five minutes that is worth an alert.
const enough = 60

// addresses that clients connect from.
const (
	localhost = "127.0.0.1"
	oneHost   = "127.0.0.2"
	otherHost = "127.0.0.3"
	stranger  = "127.0.0.99" // is not in allow_from
	unixOnly  = ""           // the Unix socket
	webSocket = "ws"         // localhost, by WebSocket
)

// everything puts a server with the configuration crowded under a load that
// moves each metric. Some clients stay, and some of them wait.
func everything(t *testing.T, l *lockd) (load *load, admin *client) {
	t.Helper()
	load = newLoad(t, l)
	admin = load.connect(unixOnly)
	load.work(load.connect(localhost))
	load.work(load.connect(webSocket))
	load.look(admin)
	load.leaveBehind()
	load.wait()
	load.breakLocks(admin)
	load.fillTable(load.connect(localhost))
	load.loseEvents(load.connect(localhost))
	load.beRefused(admin)
	return load, admin
}

// work is what most clients do: take locks and give them back.
func (l *load) work(c *client) {
	l.Helper()
	for i := range 100 {
		c.ask(fmt.Sprintf("g job %d", i%7), "1 Lock Get Success")
		c.ask(fmt.Sprintf("r job %d", i%7), "1 Lock Release Success")
		c.ask(fmt.Sprintf("sg pool %d", i%7), "1 Shared Lock Get Success")
		c.ask(fmt.Sprintf("sr pool %d", i%7), "1 Shared Lock Release Success")
	}
	c.ask("gw 0 tried", "1 Lock Get Success")
	c.ask("r tried", "1 Lock Release Success")
	c.ask("sgw 0 2 tried", "1 Shared Lock Get Success")
	c.ask("sr tried", "1 Shared Lock Release Success")
	for range 9 {
		l.count("invalid_commands", 1)
		if _, err := fmt.Fprintln(c.Conn, "nonsense"); err != nil {
			l.Fatal(err)
		}
		c.line("0 unknown command")
	}
}

func (l *load) look(c *client) {
	l.Helper()
	c.ask("iam a test", "1 ok")
	c.ask("ping", "1 pong")
	c.ask("i job 1", "0 Lock Not Locked")
	c.ask("si pool 1", "0 Shared Lock Not Locked")
	c.ask("cancel", "0 nothing to cancel")
	c.ask("dump", "map[")
	for _, listing := range []string{"d", "sd", "ls", "who", "info"} {
		c.list(listing)
	}
}

func (l *load) leaveBehind() {
	l.Helper()
	for range 30 {
		c := l.connect(localhost)
		c.ask("g left", "1 Lock Get Success")
		c.ask("sg left", "1 Shared Lock Get Success")
		c.ask("sg left too", "1 Shared Lock Get Success")
		c.leave(1, 2)
		l.settled()
	}
}

// settled waits until who has left is out of the server: only then is what it
// held free.
func (l *load) settled() {
	l.Helper()
	admin := l.clients[0]
	eventually(l.T, func() (bool, any) {
		open := 0
		for _, line := range admin.list("q") {
			fmt.Sscanf(line, "connections: %d", &open)
		}
		return open == l.counted()["connections"], fmt.Sprintf("%d connections, want %d", open, l.counted()["connections"])
	})
}

// wait has some clients wait for locks that are not given back.
func (l *load) wait() {
	l.Helper()
	holder := l.connect(localhost)
	holder.ask("gw -1 nightly", "1 Lock Get Success")
	holder.ask("sgw -1 1 pool", "1 Shared Lock Get Success")
	l.count("locks", 1)
	l.count("shared_locks", 1)
	for range 3 {
		l.connect(localhost).send("gw -1 nightly")
		l.connect(localhost).send("sgw -1 1 pool")
	}
	impatient := l.connect(localhost)
	impatient.ask("gw 20 nightly", "0 Lock Get Failure: reason=timeout")
	impatient.ask("sgw 20 1 pool", "0 Shared Lock Get Failure: reason=timeout")
}

func (l *load) breakLocks(admin *client) {
	l.Helper()
	for range 3 {
		holder := l.connect(localhost)
		holder.ask("g stuck", "1 Lock Get Success")
		admin.ask("fr x 0 stuck", "1 ok count=1")
		holder.ended(1, 0)
	}
	guest := l.connect(localhost)
	guest.ask("sg guest", "1 Shared Lock Get Success")
	admin.ask("kick "+guest.LocalAddr().String(), "1 ok count=1")
	guest.ended(0, 1)
}

// fillTable runs into the limits on locks.
func (l *load) fillTable(c *client) {
	l.Helper()
	for i := range 10 {
		c.ask(fmt.Sprintf("g mine %d", i), "1 Lock Get Success")
	}
	for range enough {
		c.ask("g one more", "0 Lock Get Failure")
	}
	for i := range 10 {
		c.ask(fmt.Sprintf("r mine %d", i), "1 Lock Release Success")
	}
	for i := range 4 { // of 300,000 bytes, which five such names do not fit into
		c.ask(long(i), "1 Shared Lock Get Success")
		l.count("shared_locks", 1)
	}
	for range enough {
		c.ask(long(4), "0 Shared Lock Get Failure")
	}
}

func long(i int) string { return fmt.Sprintf("sg %s %d", strings.Repeat("x", 60_000), i) }

// loseEvents has a client watch and not read, until it has missed something.
func (l *load) loseEvents(c *client) {
	l.Helper()
	watcher := l.connect(unixOnly)
	watcher.ask("watch", "1 ok")
	tail := strings.Repeat("x", 500)
	eventually(l.T, func() (bool, any) {
		for range 200 {
			c.send("g busy %s\nr busy %s", tail, tail)
			c.line("1 Lock Get Success")
			c.line("1 Lock Release Success")
		}
		return metric(l.T, l.lockd, "lockd_lost_events_total") > 0, "a watcher that does not read has lost nothing"
	})
}

// beRefused has clients turned away for every reason. Those who fill the
// server stay.
func (l *load) beRefused(admin *client) {
	l.Helper()
	l.refused(enough, l.tcp, stranger, "", "")
	l.refused(enough, l.tcp, localhost, "GET / HTTP/1.1\r\nHost: lockd\r\n\r\n", "HTTP/1.1 4")
	l.refused(enough, l.wsock, localhost, "GET / HTTP/1.1\r\nHost: lockd\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://elsewhere.example\r\n\r\n", "HTTP/1.1 403")
	l.settled()
	for range 40 {
		l.connect(oneHost)
	}
	l.refused(enough, l.tcp, oneHost, "", "")
	for l.counted()["connections"] < 60 {
		l.connect(otherHost)
	}
	l.refused(enough, l.tcp, otherHost, "", "")
	l.settled()
}
