//go:build race

package locks_test

// Fewer, as each takes ten times as long. What they are for is done by one
// goroutine, so there is no race to be found.
const (
	scheduleSteps = 80_000
	manyLocks     = 200_000
)
