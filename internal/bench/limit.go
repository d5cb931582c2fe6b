package bench

import (
	"fmt"
	"math"
	"os"
	"syscall"
)

// spareFiles is for all that is not a connection of the load: standard streams, the
// poller, the echo server's pipes, /proc.
const spareFiles = 32

// MaxConnections is how many connections the limit on open files leaves to a
// measurement, and that limit.
func MaxConnections() (connections, limit int, err error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, 0, err
	}
	limit = int(min(l.Cur, math.MaxInt)) // which is none
	return max(0, limit-spareFiles), limit, nil
}

// MaxInFlight is as many requests as all connections together may have in flight:
// they and room for their answers are made up beforehand, at most 200 bytes for
// each.
const MaxInFlight = 1_000_000

// ProcessKnown tells whether a process is there whose CPU time can be read.
func ProcessKnown(pid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil
}
