package monitoring_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A day is a load that lasts and changes, for the picture of the dashboard.
// Its actors come and go in a rhythm that is a part of its length.
type dayLoad struct {
	*load
	ctx    context.Context
	begun  time.Time
	length time.Duration
}

// day puts a server under load for a while.
func day(t *testing.T, server *lockd, length time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	d := &dayLoad{load: newLoad(t, server), ctx: ctx, begun: time.Now(), length: length}
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() { d.worker(i) })
		wg.Go(func() { d.pooled(i) })
		wg.Go(func() { d.night(i) })
	}
	for _, actor := range []func(){d.leaver, d.unwelcome, d.clumsy, d.crowd, d.operator, d.neglectful, d.browser} {
		wg.Go(actor)
	}
	wg.Wait()
}

// pause waits for about a time, longer at the quiet hours. It reports whether
// the day goes on.
func (d *dayLoad) pause(about time.Duration) bool {
	hour := float64(time.Since(d.begun)) / float64(d.length)
	quiet := 1.2 - math.Sin(2*math.Pi*2*hour)
	return d.rest(time.Duration(float64(about) * quiet * (0.5 + rand.Float64())))
}

// rest waits for a time and reports whether the day goes on.
func (d *dayLoad) rest(exactly time.Duration) bool {
	timer := time.NewTimer(exactly)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}

func (d *dayLoad) worker(i int) {
	c := d.connect(localhost)
	for d.pause(20 * time.Millisecond) {
		name := fmt.Sprint("job ", rand.IntN(2+i))
		c.ask("gw 5000 "+name, "1 Lock Get Success")
		d.pause(10 * time.Millisecond)
		c.ask("r "+name, "1 Lock Release Success")
	}
}

func (d *dayLoad) pooled(int) {
	c := d.connect(unixOnly)
	for d.pause(60 * time.Millisecond) {
		c.ask("sgw 5000 2 pool", "")
		d.pause(40 * time.Millisecond)
		c.ask("sr pool", "")
	}
}

// night is a job that takes a lock for long, and so keeps the others waiting.
func (d *dayLoad) night(i int) {
	c := d.connect(otherHost)
	for d.rest(d.length / 30 * time.Duration(i+1)) {
		c.ask("gw 20000 nightly", "1 Lock Get Success")
		d.rest(d.length / 40)
		c.ask("r nightly", "1 Lock Release Success")
	}
}

func (d *dayLoad) leaver() {
	for d.pause(300 * time.Millisecond) {
		c := d.connect(localhost)
		c.ask(fmt.Sprint("g left ", rand.Int()), "1 Lock Get Success")
		c.ask("sg left", "")
		c.leave(1, 1)
	}
}

func (d *dayLoad) unwelcome() {
	for d.pause(400 * time.Millisecond) {
		d.refused(1+rand.IntN(3), d.tcp, stranger, "", "")
		d.refused(1, d.tcp, localhost, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 4")
	}
}

func (d *dayLoad) clumsy() {
	c := d.connect(localhost)
	for i := range 10 {
		c.ask(fmt.Sprintf("g mine %d", i), "1 Lock Get Success")
	}
	for d.pause(200 * time.Millisecond) {
		fmt.Fprintln(c.Conn, "nonsense")
		c.line("0 unknown command")
		if rand.IntN(2) == 0 {
			c.ask("g one more", "0 Lock Get Failure")
		}
	}
}

// crowd are clients that come one after the other, and go at once.
func (d *dayLoad) crowd() {
	var crowd []*client
	for d.rest(d.length / 50) {
		crowd = append(crowd, d.connect(oneHost))
		if len(crowd) == 20 {
			for _, c := range crowd {
				c.leave(0, 0)
			}
			crowd = nil
		}
	}
}

// browser looks at everything, through WebSocket.
func (d *dayLoad) browser() {
	c := d.connect(webSocket)
	for d.pause(500 * time.Millisecond) {
		c.list("ls")
		c.list("who")
	}
}

// operator reloads, once with a mistake.
func (d *dayLoad) operator() {
	good := read(d.T, d.config)
	if d.rest(d.length / 2) {
		write(d.T, d.config, good+"\nlimitz: {}\n")
		d.signal(syscall.SIGHUP)
	}
	d.rest(d.length / 6)
	write(d.T, d.config, good)
	d.signal(syscall.SIGHUP)
}

// neglectful watches in the afternoon and does not read, while much happens.
func (d *dayLoad) neglectful() {
	d.rest(d.length / 2)
	d.connect(unixOnly).ask("watch busy", "1 ok")
	c, tail := d.connect(localhost), strings.Repeat("x", 500)
	for n := 300; d.rest(50 * time.Millisecond); n = max(n-20, 1) { // enough to fill what the kernel takes, and then little
		for range n {
			c.send("g busy %s\nr busy %s", tail, tail)
			c.line("1 Lock Get Success")
			c.line("1 Lock Release Success")
		}
	}
}
