package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func (c *client) storm(stop <-chan struct{}) (done <-chan struct{}) {
	return async(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			c.write(fmt.Sprintf("g storm%d\nr storm%d\n", i, i))
			for range 2 {
				c.arm()
				if _, err := c.in.ReadString('\n'); err != nil {
					return
				}
			}
		}
	})
}

func TestEventsStandBetweenReplies(t *testing.T) {
	forEachTransport(t, func(t *testing.T, transport string) {
		s := start(t)
		listing := s.fill(500)
		stop := make(chan struct{})
		stormed := s.connect("unix").storm(stop)
		a := s.connect(transport)
		a.ask("watch storm", "1 ok\n")
		events := 0
		for i := 0; i < 8 || events < 100 && i < 10_000; i++ {
			a.send("sd\n")
			events += a.eventsBefore(listing)
			if i%4 == 0 {
				a.send("ls s 0000\ninfo\n")
				events += a.eventsBefore(`{"name":"000000 `)
				for range 100 { // the rest of the first is a line as well
					a.line()
				}
				a.line()
				events += a.eventsBefore("address: ")
				for a.line() != "\n" {
				}
			}
		}
		close(stop)
		soon(t, "the storm is over", stormed)
		if events < 20 {
			t.Errorf("%d events were there", events)
		}
	})
}

func (c *client) eventsBefore(reply string) (n int) {
	c.Helper()
	for {
		c.arm()
		if first, err := c.in.Peek(1); err != nil || first[0] != '*' {
			c.want(reply)
			return n
		}
		n++
		c.line()
	}
}

func TestEventsAreInOrder(t *testing.T) {
	s := start(t)
	const clients, each = 6, 60
	var watchers []*client
	for _, transport := range everyTransport {
		c := s.connect(transport)
		c.ask("watch hot", "1 ok\n")
		watchers = append(watchers, c)
	}
	var all sync.WaitGroup
	for i := range clients {
		c := s.connect(everyTransport[i%4])
		all.Go(func() {
			for range each {
				c.write("gw -1 hot\nr hot\n")
				c.line()
				c.line()
			}
		})
	}
	soon(t, "all have held the lock", async(all.Wait))
	for _, w := range watchers {
		last := 0
		for i := range clients * each {
			var token, again int
			var addr, same string
			if _, err := fmt.Sscanf(w.line(), "* granted mode=exclusive token=%d addr=%s name=hot\n", &token, &addr); err != nil {
				t.Fatalf("event %d: %v", 2*i, err)
			}
			if _, err := fmt.Sscanf(w.line(), "* released mode=exclusive token=%d addr=%s name=hot\n", &again, &same); err != nil {
				t.Fatalf("event %d: %v", 2*i+1, err)
			}
			if token != again || addr != same || token <= last {
				t.Fatalf("token %d of %s was granted after %d, and %d of %s released", token, addr, last, again, same)
			}
			last = token
		}
		w.ask("i end", "0 Lock Not Locked: end\n")
	}
}

func TestManyWatchersOfManyPrefixes(t *testing.T) {
	s := start(t)
	prefixes := []string{"", "a", "aa", "aaa", "ab", "b", "aaaaaaaa", "a a"}
	names := []string{"", "a", "aa", "aaa", "ab", "abb", "b", "c", "aaaaaaaa", "aaaaaaaaa", "a a", "a a a"}
	watchers := make(map[*client]string)
	for i := range 32 {
		c := s.connect(everyTransport[i%4])
		watchers[c] = prefixes[i/4]
		c.ask("watch "+prefixes[i/4], "1 ok\n")
	}
	if n := s.Stats().Watchers; n != 32 {
		t.Errorf("%d watchers are counted", n)
	}
	b := s.connect("tcp4")
	for _, name := range names {
		b.ask("g "+name, "1 Lock Get Success: "+name+"\n")
	}
	for c, prefix := range watchers {
		for i, name := range names {
			if strings.HasPrefix(name, prefix) {
				c.want(fmt.Sprintf("* granted mode=exclusive token=%d addr=%s name=%s\n", i+1, b.addr, name))
			}
		}
	}
	left := 32
	for c := range watchers {
		switch left % 3 {
		case 0:
			c.leave()
		case 1:
			c.ask("unwatch", "1 ok\n")
		default:
			c.ask("watch zzz", "1 ok\n")
			c.ask("unwatch", "1 ok\n")
		}
		left--
		if n := s.Stats().Watchers; n != uint64(left) {
			t.Errorf("%d watchers are counted, want %d", n, left)
		}
	}
}

func TestTheEndOfAWatcher(t *testing.T) {
	talkEverywhere(t, `
		A> watch
		A< 1 ok
		B> watch foo
		B< 1 ok
		B> gw 0 foo
		B~ 1 Lock Get Success: token={t1} waited=0 name=foo
		B< * granted mode=exclusive token={t1} addr={B} name=foo
		A< * granted mode=exclusive token={t1} addr={B} name=foo
		B leave
		A< * orphaned mode=exclusive token={t1} addr={B} name=foo
		A> unwatch
		A< 1 ok
	`)
}

func TestAnEventTakesLittleTime(t *testing.T) {
	s := start(t)
	a, b := s.connect("tcp4"), s.connect("tcp4")
	a.ask("watch", "1 ok\n")
	best := time.Hour
	for i := range 20 {
		b.send(fmt.Sprintf("g foo%d\n", i))
		begun := time.Now()
		a.line()
		best = min(best, time.Since(begun))
		b.line()
	}
	if best > 200*time.Millisecond {
		t.Errorf("events come %v late at least", best)
	}
}
