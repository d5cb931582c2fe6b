//go:build !race

package locks_test

const (
	scheduleSteps = 3_000_000 // some seconds
	manyLocks     = 1_000_000
)
