package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockd/client/websocket"
	"lockd/embedded"
)

// TestMain is also the servers' that tests start as processes.
func TestMain(m *testing.M) {
	if address := os.Getenv(helper); address != "" {
		if err := serveUntilEOF(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// serveEmbedded serves at an address and returns it with the port that it got.
func serveEmbedded(t *testing.T, address string) Target {
	t.Helper()
	s, err := embedded.Listen(t.Context(), embedded.Options{Addresses: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Destroy() })
	target, err := ParseTarget(s.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func shortOptions(t *testing.T, operations string) Options {
	return Options{
		Connections: 4, Depth: 1, Mix: mustMix(t, operations), Duration: 100 * time.Millisecond,
		Warmup: 5 * time.Millisecond, Rounds: 1, Timeout: 10 * time.Second, Dial: websocket.Dial,
	}
}

// afterwards are the counters when the last of the load has left.
func afterwards(t *testing.T, target Target) map[string]string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		c := counters(t, target)
		if c["connections"] == "1" || time.Now().After(end) {
			return c
		}
	}
}

// counters are what q says.
func counters(t *testing.T, target Target) map[string]string {
	t.Helper()
	c, err := net.Dial(target.Network, target.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "me lockd/2\nq\n"); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != ""; {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		all[key] = value
	}
	return all
}

func TestOperationsAreAnsweredRightlyAndLeaveNothingHeld(t *testing.T) {
	mixes := []string{"get-release=3,inspect=2,shared", "get-release=5,wait,shared-hot=2,get,contended"}
	for _, o := range Operations() {
		mixes = append(mixes, o[0])
	}
	for _, mix := range mixes {
		for _, depth := range []int{1, 3, 100} {
			t.Run(fmt.Sprintf("%s/%d", mix, depth), func(t *testing.T) {
				target := serveEmbedded(t, "tcp://127.0.0.1:0")
				o := shortOptions(t, mix)
				o.Depth = depth
				results, err := Run(t.Context(), o, []Target{target})
				if err != nil {
					t.Fatal(err)
				}
				if r := results[0].Rounds[0]; r.Errors != 0 || r.P50 <= 0 {
					t.Errorf("%+v", r)
				}
				// The connections are closed: what they still held has become an orphan.
				want := "0"
				if strings.Contains(mix+",", "get,") {
					want = "4" // get's lock, of each connection
				}
				c := afterwards(t, target)
				if c["locks"] != "0" || c["shared_locks"] != "0" || c["orphans"] != want || c["shared_orphans"] != "0" || c["invalid_commands"] != "0" {
					t.Errorf("%v; want no lock and %s orphans", c, want)
				}
			})
		}
	}
}

func TestEveryTransportCanBeMeasured(t *testing.T) {
	for _, address := range []string{"tcp://127.0.0.1:0", "ws://127.0.0.1:0", "unix://" + filepath.Join(t.TempDir(), "s")} {
		target := serveEmbedded(t, address)
		o := shortOptions(t, "get-release=2,wait")
		o.Depth = 7
		results, err := Run(t.Context(), o, []Target{target})
		if err != nil {
			t.Fatal(err)
		}
		if r := results[0].Rounds[0]; r.Errors != 0 || r.P50 <= 0 {
			t.Errorf("%s: %+v", target.Name, r)
		}
	}
}

func TestContentionIsNoError(t *testing.T) {
	target := serveEmbedded(t, "tcp://127.0.0.1:0")
	holder, err := net.Dial("tcp", target.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	r := &run{Options: shortOptions(t, "contended"), prefix: "p-"}
	if _, err := io.WriteString(holder, "g p-hot-contended\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(holder).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	got, _ := r.measure(t.Context(), target)
	if got.Errors != 0 || got.Refused == 0 || got.Refused != got.Succeeded {
		t.Errorf("%+v; want all refused", got)
	}
}

func TestServersAreComparedInTheSameRun(t *testing.T) {
	lockd := serveEmbedded(t, "tcp://127.0.0.1:0")
	for _, network := range []string{"tcp", "unix", "ws"} {
		address, stop := startEchoHere(t, network)
		o := shortOptions(t, "get-release=2,wait")
		o.Rounds, o.Depth = 3, 5
		results, err := Run(t.Context(), o, []Target{lockd, {Name: "echo", Kind: Echo, Network: network, Address: address}})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if n, first := r.Errors(); n > 0 || len(r.Rounds) != 3 || r.Failed() {
				t.Errorf("%s: %d errors, %s; %+v", r.Target.Name, n, first, r.Rounds)
			}
		}
		if ratio, ok := results[0].Ratio(results[1]); !ok || ratio <= 0 {
			t.Errorf("the ratio is %v, %v", ratio, ok)
		}
		stop()
	}
}

// startEchoHere runs the echo server in this process. It must end when its standard
// input does, with connections or without.
func startEchoHere(t *testing.T, network string) (address string, stop func()) {
	t.Helper()
	stdin, end := io.Pipe()
	stdout, say := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- ServeEcho(network, stdin, say) }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSuffix(line, "\n")
	return address, func() {
		t.Helper()
		c, err := websocket.Dial(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		end.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Error(err)
		}
	}
}

func TestARequestAllocatesNothing(t *testing.T) {
	address, stop := startEchoHere(t, "tcp")
	defer stop()
	r := &run{Options: shortOptions(t, "get-release=3,inspect,shared-hot"), prefix: "p-"}
	r.Depth = 16
	m := &measurement{
		run: r, target: Target{Kind: Echo, Network: "tcp", Address: address}, start: time.Now(),
		recorders: []*recorder{{hist: newHistogram()}},
	}
	m.until.Store(int64(time.Hour))
	w := newWorker(m, 0)
	var err error
	if w.conn, err = r.connect(context.Background(), m.target); err != nil {
		t.Fatal(err)
	}
	defer w.conn.Close()
	allocations := testing.AllocsPerRun(200, func() {
		if err := w.exchange(r.Depth, m.elapsed()); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 || w.errors != 0 || w.succeeded == 0 {
		t.Errorf("a batch allocates %v times; %d right answers, %d errors", allocations, w.succeeded, w.errors)
	}
}

func TestNamesAreOfThisRunOnly(t *testing.T) {
	seen := make(map[string]bool)
	for range 2 {
		var sent bytes.Buffer
		s := &scripted{reply: func(n int, line string) string {
			sent.WriteString(line + "\n")
			return lockd(n, line)
		}}
		o := shortOptions(t, "inspect")
		o.Connections, o.Dial = 1, s.dial
		if _, err := Run(t.Context(), o, []Target{{}}); err != nil {
			t.Fatal(err)
		}
		s.served.Wait()
		line, _, _ := strings.Cut(sent.String(), "\n")
		if !strings.HasPrefix(line, "i lockd-bench-") || seen[line] {
			t.Errorf("asked %q", line)
		}
		seen[line] = true
	}
}
