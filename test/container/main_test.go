// Package container_test builds the container image as a user would and runs
// it, alone and with Prometheus, under a Docker engine of its own. It is for
// `make test` as root on Debian, which sees to what it needs.
package container_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lockd/test/needs"
)

// insideVariable tells this test binary that it runs in the engine's network,
// and holds the directory that the engine keeps its state in.
const insideVariable = "LOCKD_TEST_CONTAINER_DIR"

// composeFile is Docker Compose, kept from one run to the next.
const composeFile = "bin/compose-2.26/docker-compose"

// The engine has a network of its own, which reaches nothing outside. So what
// has to be fetched is made first, and then this binary runs once more, in
// there: clients of the containers are then clients as any.
func TestMain(m *testing.M) {
	if !needs.Everything() || os.Getenv(insideVariable) != "" {
		goleak.VerifyTestMain(m)
		return
	}
	code, err := runInside()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runInside() (code int, err error) {
	for _, program := range []string{"/usr/bin/docker", "/bin/busybox", "dockerd", "prometheus", "make", "git", "ip", "nsenter", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			return 1, fmt.Errorf("LOCKD_TEST_FULL=1, but %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "lockd-container")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	e := &engine{name: "lockd-" + strconv.Itoa(os.Getpid()), dir: dir}
	end, err := e.hold()
	if err != nil {
		return 1, err
	}
	defer end()
	if err := e.prepare(); err != nil {
		return 1, err
	}
	tests := e.command("exec", append([]string{e.name, os.Args[0]}, os.Args[1:]...)...)
	tests.Env = append(tests.Env, insideVariable+"="+filepath.Join(dir, e.name))
	tests.Stdin, tests.Stdout, tests.Stderr = nil, os.Stdout, os.Stderr
	tests.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = tests.Run()
	if tests.ProcessState != nil && tests.ProcessState.ExitCode() > 0 {
		return tests.ProcessState.ExitCode(), nil
	}
	return 0, err
}

// An engine is a Docker engine of test/docker.sh.
type engine struct {
	name string
	dir  string
}

func (e *engine) command(verb string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(needs.Repository(), "test/docker.sh"), append([]string{verb}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_DIR="+e.dir)
	return cmd
}

// hold starts the engine. It ends with end, or when this process does.
func (e *engine) hold() (end func(), err error) {
	holder := e.command("hold", e.name)
	holder.Stderr = os.Stderr
	holder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	in, err := holder.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, err
	}
	end = func() {
		in.Close()
		holder.Wait()
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		end()
		return nil, fmt.Errorf("the Docker engine did not start: %w", err)
	}
	return end, nil
}

// prepare makes what the network is needed for: images and Compose.
func (e *engine) prepare() error {
	image, err := prometheusTag()
	if err != nil {
		return err
	}
	plugin := filepath.Join(needs.Repository(), composeFile)
	for _, args := range [][]string{
		{"test/golang-image.sh", "golang:1.26"},
		{"test/prometheus-image.sh", image},
		{"test/compose.sh", plugin},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = needs.Repository()
		cmd.Env = append(os.Environ(), "DOCKER_DIR="+e.dir, "DOCKER="+e.command("exec").Path+" exec "+e.name+" docker")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	plugins := filepath.Join(e.dir, e.name, "client/cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(plugin, filepath.Join(plugins, "docker-compose")); err != nil {
		return err
	}
	return e.warm()
}

// patience bounds each wait for something that happens within moments, on a
// machine that is busy with other tests.
const patience = 30 * time.Second

// need leaves t out where there is no engine: unless everything must be tested.
func need(t *testing.T) {
	t.Helper()
	needs.Full(t, "docker")
}
