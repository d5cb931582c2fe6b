package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockd/internal/bench"
)

// echoVariable makes this binary an echo server for the network that it names.
const echoVariable = "LOCKD_BENCH_ECHO"

func TestMain(m *testing.M) {
	if network := os.Getenv(echoVariable); network != "" {
		if err := bench.ServeEcho(network, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A process is a server under measurement.
type process struct {
	address string
	pid     int
	urls    []string // of lockd: all its addresses, in the order of their options
}

func startEcho(b *testing.B) process {
	b.Helper()
	t := startEchoOver(b, "tcp")
	return process{address: t.Address, pid: t.PID}
}

// startEchoOver starts an echo server as a process of its own.
func startEchoOver(b *testing.B, network string) bench.Target {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), echoVariable+"="+network)
	p, err := bench.StartEcho(network, cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	return p.Target
}

// anyPort is where a server listens that chooses its port itself.
const anyPort = "127.0.0.1:0"

// startLockd builds and starts the server, by default configuration but for the
// addresses.
func startLockd(b *testing.B) process {
	b.Helper()
	return startLockdAt(b, "", "tcp://"+anyPort)
}

// startLockdAt starts it at other addresses: the first of them is of TCP, and that
// of HTTP, if any, comes last in process.urls.
func startLockdAt(b *testing.B, http string, listen ...string) process {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "lockd")
	if out, err := exec.Command("go", "build", "-o", binary, "lockd/cmd/lockd").CombinedOutput(); err != nil {
		b.Fatalf("build lockd: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, "--http", http, "--log-format", "text")
	for _, url := range listen {
		cmd.Args = append(cmd.Args, "--listen", url)
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	line := startAndRead(b, cmd, log)
	_, after, _ := strings.Cut(line, "addresses=")
	list, _, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(after, `"`), "["), "]")
	if !ok {
		list, _, _ = strings.Cut(list, " ") // there is one, without quotes
	}
	urls := strings.Fields(list)
	if len(urls) == 0 || !strings.HasPrefix(urls[0], "tcp://") {
		b.Fatalf("no address in the start line: %s", line)
	}
	return process{strings.TrimPrefix(urls[0], "tcp://"), cmd.Process.Pid, urls}
}

// startAndRead starts a server that ends with the benchmark, and returns the
// first line it prints.
func startAndRead(b *testing.B, cmd *exec.Cmd, out io.Reader) string {
	b.Helper()
	stdin, err := cmd.StdinPipe() // so that an echo server never outlives this process
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("%s: %v", cmd.Path, err)
	}
	return strings.TrimSpace(line)
}

// residentBytes is the memory a process has now.
func (p process) residentBytes(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		b.Skip("needs /proc: ", err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == "VmRSS:" {
			kilobytes, err := strconv.Atoi(fields[1])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kilobytes) * 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// descriptors is how many files and sockets a process has open.
func (p process) descriptors(b *testing.B) int {
	b.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		b.Skip("needs /proc: ", err)
	}
	return len(open)
}

// untilDescriptors returns when a process has accepted the connections that make it
// so many, or closed those that made it more.
func (p process) untilDescriptors(b *testing.B, wanted func(n int) bool) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !wanted(p.descriptors(b)); <-tick.C {
		if time.Now().After(end) {
			b.Fatalf("after %v process %d has %d descriptors", patience, p.pid, p.descriptors(b))
		}
	}
}

// patience is how long a server may take for what it does without an answer.
const patience = 20 * time.Second
