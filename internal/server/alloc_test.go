//go:build !race

// The race detector has pools drop what is put into them, now and then.

package server_test

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestCommandsAllocateNothingInTheSteadyState(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which empties the pools
	forEachStream(t, func(t *testing.T, transport string) {
		s := start(t)
		network, address := s.address(transport)
		steady := startChild(t, "steady", networkOfTest+"="+network, addressVariable+"="+address)
		steady.number("go")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		commands := steady.number("go")
		runtime.ReadMemStats(&after)
		// What this test itself needs, and the runtime.
		if n := int(after.Mallocs - before.Mallocs); n > commands/1000 {
			t.Errorf("%d allocations for %d commands", n, commands)
		}
	})
}
