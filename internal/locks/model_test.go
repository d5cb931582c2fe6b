package locks_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lockd/internal/locks"
)

func TestTheTableDoesWhatTheModelDoes(t *testing.T) {
	costs := measure(t)
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t, costs, 10)
		do := func(what action, arguments ...int) func(*rapid.T) {
			return func(t *rapid.T) {
				p.do(step{
					what:     what,
					client:   rapid.IntRange(0, len(p.clients)-1).Draw(t, "client"),
					mode:     rapid.SampledFrom([]locks.Mode{locks.Exclusive, locks.Shared, locks.Shared}).Draw(t, "mode"),
					name:     rapid.IntRange(0, len(p.names)-1).Draw(t, "name"),
					argument: rapid.SampledFrom(arguments).Draw(t, "argument"),
				})
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"get":       do(doGet, 0),
			"try":       do(doTry, 0, 1, 2, 3),
			"wait":      do(doWait, 0, 1, 2, 3),
			"wait too":  do(doWait, 0, 1, 2, 3), // more often than the rest, so that there are queues
			"wait also": do(doWait, 0, 1, 2, 3),
			"release":   do(doRelease, 0),
			"leave":     do(doLeave, 0),
			"break":     do(doBreak, 0, 1, 2, 3),
			"limit":     do(doLimit, 0, 0, 1, 2, 3),
			"pass":      do(doPass, 0, 10, 20, 30, 40),
			"":          func(*rapid.T) { p.compare() },
		})
		p.end()
	})
}

// FuzzTable reads steps out of bytes, two for each: what to do, in which mode and
// with what number, and who does it to which lock.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0x00, 0x00, 0x00, 0x10, 0x08, 0x00, 0x06, 0x10})
	f.Add([]byte("\x01\x01\x01\x11\x01\x21\x01\x31\x01\x41\x01\x51\x01\x61\x01\x71\x01\x81\x01\x91\x09\x01\x09\x91\x07\x51"))
	f.Add([]byte{0x04, 0x02, 0x04, 0x12, 0x04, 0x22, 0x06, 0x02, 0x0a, 0x02, 0x08, 0x12, 0x02, 0x22})
	f.Add([]byte{0x25, 0x02, 0x25, 0x12, 0x45, 0x22, 0x05, 0x32, 0xff, 0x00, 0x03, 0x12, 0x0b, 0x02, 0x08, 0x02, 0x03, 0x32})
	costs := measure(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPair(t, costs, 16)
		for op := range slices.Chunk(data[:min(len(data), 400)], 2) {
			if len(op) == 2 {
				p.do(stepOf(op[0], op[1]))
				p.compare()
			}
		}
		p.end()
	})
}

func stepOf(what, which byte) step {
	return step{
		what:     action(what>>1) & 7,
		mode:     locks.Mode(what & 1),
		argument: int(what >> 4),
		client:   int(which >> 4),
		name:     int(which & 15),
	}
}
