// Package servers starts the servers that lockd is compared with, for tests and
// benchmarks.
package servers

import (
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"lockd/test/needs"
)

// Redis starts a redis-server that writes nothing to disk, until t ends. It
// returns its HOST:PORT and its process.
func Redis(t testing.TB) (hostPort string, pid int) {
	t.Helper()
	return start(t, "redis-server", func(port string) []string {
		return []string{
			"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no",
			"--maxclients", strconv.Itoa(connections()), "--tcp-backlog", acceptQueue,
			"--protected-mode", "no", // or it refuses 127.0.1.1
		}
	})
}

// Memcached does with memcached what Redis does.
func Memcached(t testing.TB) (hostPort string, pid int) {
	t.Helper()
	return start(t, "memcached", func(port string) []string {
		return []string{"-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "root", "-c", strconv.Itoa(connections()), "-b", acceptQueue}
	})
}

// acceptQueue is as long as the kernel lets it be, which is what a server in Go has.
// By default it is 511 with Redis and 1024 with memcached.
const acceptQueue = "65535"

// connections is how many a server may have, as lockd has it: as many as the limit
// on open files allows, less some for files of its own.
func connections() int {
	const spare = 200
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Max > 1<<20 {
		return 1 << 20
	}
	return max(int(l.Max)-spare, 1)
}

// patience is how long a server may take until it listens.
const patience = 10 * time.Second

func start(t testing.TB, program string, args func(port string) []string) (hostPort string, pid int) {
	t.Helper()
	needs.Tools(t, program)
	hostPort = freeAddress(t)
	_, port, _ := net.SplitHostPort(hostPort)
	cmd := exec.Command(program, args(port)...)
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if c, err := net.Dial("tcp", hostPort); err == nil {
			c.Close()
			return hostPort, cmd.Process.Pid
		}
	}
	t.Fatalf("%s does not listen on %s", program, hostPort)
	return "", 0
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
