package monitoring_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lockd/test/needs"
)

// A process is a program that a test has started, and that ends with it.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

func start(t *testing.T, dir string, command ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(command[0], command[1:]...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	t.Cleanup(p.kill)
	return p
}

// Write implements io.Writer: what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// says waits until the process prints what matches, and returns the groups.
func (p *process) says(pattern string) []string {
	p.t.Helper()
	var match []string
	expression := regexp.MustCompile(pattern)
	eventually(p.t, func() (bool, any) {
		match = expression.FindStringSubmatch(p.output())
		return match != nil, "there is no " + pattern + " in\n" + p.output()
	})
	return match
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// A lockd is a running one, with a directory of its own.
type lockd struct {
	*process
	dir                    string
	config                 string // its file
	tcp, unix, http, wsock string // where it listens
}

// startLockd starts one on free ports. The configuration is completed by where
// it listens; DIR in it is its directory.
func startLockd(t *testing.T, config string) *lockd {
	t.Helper()
	dir := t.TempDir()
	config = strings.ReplaceAll(`
listen: ["tcp://127.0.0.1:0", "ws://127.0.0.1:0", "unix://DIR/lockd.sock"]
http: 127.0.0.1:0
state_dir: DIR/state
shutdown: {grace: 0}
`+config, "DIR", dir)
	l := &lockd{dir: dir, config: filepath.Join(dir, "lockd.yaml"), unix: filepath.Join(dir, "lockd.sock")}
	write(t, l.config, config)
	l.begin(t)
	return l
}

// begin starts the process; again, where it has ended.
func (l *lockd) begin(t *testing.T) {
	t.Helper()
	l.process = start(t, l.dir, needs.Lockd(t), "serve", "--config", l.config, "--log-format", "text")
	addresses := l.says(`lockd serves" addresses="\[tcp://(\S+) ws://(\S+) unix://\S+ http\S*://([^\s\]]+)\]`)
	l.tcp, l.wsock, l.http = addresses[1], addresses[2], addresses[3]
}

// again ends the process without a word and starts another at the same places.
func (l *lockd) again(t *testing.T) {
	t.Helper()
	l.kill()
	text := read(t, l.config)
	for scheme, address := range map[string]string{"tcp://": l.tcp, "ws://": l.wsock, "http: ": l.http} {
		text = strings.ReplaceAll(text, scheme+"127.0.0.1:0", scheme+address)
	}
	write(t, l.config, text)
	l.begin(t)
}

// promtool runs it and returns what it prints, which is an error where it fails.
func promtool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	needs.Tools(t, "promtool")
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
