//go:build !race

package server_test

import (
	"fmt"
	"runtime"
	"testing"
)

// The stack of a goroutine begins with 2 KiB, of which some 1100 bytes are had
// before it doubles, for good: there would be 2 KiB more for each client that has
// ever taken a lock. So what is on the way there must not be deep.
func TestStacksStaySmall(t *testing.T) {
	const n = 400
	s := start(t)
	clients := make([]*client, n)
	use := func(i int) {
		name := fmt.Sprint("lock ", i)
		clients[i].ask("g "+name, "1 Lock Get Success: "+name+"\n")
		clients[i].ask("r "+name, "1 Lock Release Success: "+name+"\n")
		clients[i].ask("sg "+name, "1 Shared Lock Get Success: "+name+"\n")
		clients[i].ask("sr "+name, "1 Shared Lock Release Success: "+name+"\n")
		clients[i].ask("i "+name, "0 Lock Not Locked: "+name+"\n")
	}
	warm := s.connect("tcp4") // the shards have their first locks
	for i := range 4000 {
		warm.ask(fmt.Sprint("g ", i), fmt.Sprintf("1 Lock Get Success: %d\n", i))
		warm.ask(fmt.Sprint("sg ", i), fmt.Sprintf("1 Shared Lock Get Success: %d\n", i))
	}
	warm.leave()
	for i := range clients {
		clients[i] = s.connect("tcp4")
		clients[i].ask("i warm", "0 Lock Not Locked: warm\n")
	}
	before := stackBytes()
	for i := range clients {
		use(i)
	}
	if grown := stackBytes() - before; grown > n*512 {
		t.Errorf("the stacks of %d connections have grown by %d bytes", n, grown)
	}
}

func stackBytes() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.StackInuse)
}
