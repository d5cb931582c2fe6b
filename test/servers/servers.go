// Package servers starts the servers that lockd is compared with, for tests and
// benchmarks.
package servers

import (
	"net"
	"os/exec"
	"testing"
	"time"

	"lockd/test/needs"
)

// Redis starts a redis-server that writes nothing to disk, until t ends. It
// returns its HOST:PORT and its process.
func Redis(t testing.TB) (hostPort string, pid int) {
	t.Helper()
	return start(t, "redis-server", func(port string) []string {
		return []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"}
	})
}

// Memcached does with memcached what Redis does.
func Memcached(t testing.TB) (hostPort string, pid int) {
	t.Helper()
	return start(t, "memcached", func(port string) []string {
		return []string{"-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "root", "-c", "10000"}
	})
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
