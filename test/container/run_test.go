package container_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hardened is what a careful admin runs it with.
func hardened() []string {
	return []string{"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}
}

func TestHardenedContainerServesWithoutRights(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, hardened())
	held := c.connect()
	held.want("g foo", "1 Lock Get Success: foo")
	c.connect().want("g foo", "0 Lock Get Failure: foo")
	c.connect().want("me", "1 172\\.17\\.0\\.1:\\d+ 172\\.17\\.0\\.1:\\d+")
	status, err := os.ReadFile("/proc/" + enginePID(t) + "/root/proc/" + c.state("Pid") + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
	} {
		if !strings.Contains(string(status), line+"\n") {
			t.Errorf("the process has not %q:\n%s", line, status)
		}
	}
	if body := get(t, c.address("9996"), "/readyz"); body != "ok\n" {
		t.Errorf("/readyz answers %q", body)
	}
}

func get(t *testing.T, address, path string) string {
	t.Helper()
	body, err := tryGet(address, path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func tryGet(address, path string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport, Timeout: patience}).Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// answers waits until a server answers at an address. That Docker's proxy
// accepts connections there says nothing.
func answers(t *testing.T, address, path, want string) {
	t.Helper()
	eventually(t, want+" at "+address+path, func() bool {
		body, err := tryGet(address, path)
		return err == nil && strings.Contains(body, want)
	})
}

// The image asks each ten seconds.
func TestHealthCheckOfTheImageTurnsHealthy(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, hardened())
	if got := c.state("Health.Status"); got != "starting" && got != "healthy" {
		t.Errorf("right after the start the container is %s", got)
	}
	c.wantState("Health.Status", "healthy")
}

// asked is a health check that asks more often.
func asked() []string {
	return []string{"--health-interval=500ms", "--health-timeout=1s", "--health-retries=2", "--health-start-period=1s"}
}

func TestHealthCheckFindsAServerThatHangs(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, asked())
	c.wantState("Health.Status", "healthy")
	docker(t, "kill", "--signal", "STOP", c.name)
	c.wantState("Health.Status", "unhealthy")
	docker(t, "kill", "--signal", "CONT", c.name)
	c.wantState("Health.Status", "healthy")
	// Docker asks nothing of a container that it has stopped or paused itself.
	docker(t, "pause", c.name)
	c.wantState("Status", "paused")
	docker(t, "unpause", c.name)
	docker(t, "stop", c.name)
	c.wantState("Status", "exited")
	c.wantState("Health.Status", "unhealthy")
}

// The health check asks where the configuration listens.
func TestHealthCheckKnowsTheConfiguration(t *testing.T) {
	needImage(t)
	t.Parallel()
	dir := configure(t, "listen: [\"tcp://:7000\"]\nallow_from: [loopback, 172.17.0.0/16]\n")
	for _, options := range [][]string{
		{"-e", "LOCKD_LISTEN=tcp://:7000"},
		{"-v", dir + ":/etc/lockd:ro"},
		{"--tmpfs", "/run", "-e", "LOCKD_LISTEN=unix:///run/lockd.sock tcp://:7000", "--user", "0"},
	} {
		c := serve(t, append(asked(), options...))
		c.wantState("Health.Status", "healthy")
		connect(t, c.address("7000")).want("g foo", "1 Lock Get Success: foo")
	}
	// It comes from inside the container, which allow_from must let in.
	c := serve(t, append(asked(), "-e", "LOCKD_ALLOW_FROM=10.0.0.0/8"))
	c.wantState("Health.Status", "unhealthy")
}

// stop stops a container and returns how long that took.
func (c *container) stop(options ...string) time.Duration {
	c.t.Helper()
	begin := time.Now()
	docker(c.t, append(append([]string{"stop"}, options...), c.name)...)
	return time.Since(begin)
}

func (c *container) wantExit(code string) {
	c.t.Helper()
	if got := c.state("Status") + " " + c.state("ExitCode"); got != "exited "+code {
		c.t.Errorf("%s has %s, want exit code %s", c.name, got, code)
	}
}

func TestStopServesClientsUntilTheyLeaveOrTheGraceIsOver(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, hardened()) // with the default grace, 5s
	holder := c.connect()
	holder.want("g foo", "1 Lock Get Success: foo")
	took := c.stop()
	c.wantExit("0")
	holder.wantEnd()
	if took < 4*time.Second || took > 9*time.Second {
		t.Errorf("with a client that stays, docker stop took %v", took)
	}
	c.wantLog(`msg=closing signal=terminated grace=5s connections=1`)

	empty := serve(t, nil)
	if took := empty.stop(); took > 4*time.Second {
		t.Errorf("without a client docker stop took %v", took)
	}
	empty.wantExit("0")
}

// Docker kills after ten seconds, whatever the grace.
func TestALongGraceNeedsALongStopTimeout(t *testing.T) {
	needImage(t)
	for _, c := range []struct {
		name    string
		options []string
		code    string
	}{
		{"without", nil, "137"},
		{"with", []string{"--stop-timeout", "30"}, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, append(c.options, "-e", "LOCKD_SHUTDOWN_GRACE=12s"))
			server.connect().want("g foo", "1 Lock Get Success: foo")
			took := server.stop()
			server.wantExit(c.code)
			if took < 9*time.Second || took > 25*time.Second {
				t.Errorf("docker stop took %v", took)
			}
		})
	}
}

// configure writes a lockd.yaml and returns its directory.
func configure(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	// The user of the container has to read it.
	for parent := dir; parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "lockd.yaml"), text)
	return dir
}

// write replaces a file as an editor does, by another of its name.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestHUPLoadsTheFileAgain(t *testing.T) {
	needImage(t)
	t.Parallel()
	dir := configure(t, "features: {dump: false}\n")
	path := filepath.Join(dir, "lockd.yaml")
	c := serve(t, append(hardened(), "-v", dir+":/etc/lockd:ro"))
	client := c.connect()
	client.want("g foo", "1 Lock Get Success: foo")
	client.want("d", "0 disabled")

	write(t, path, "features: {dump: true}\n")
	docker(t, "kill", "-s", "HUP", c.name)
	c.wantLog(`msg="configuration reloaded" changes_applied=1`)
	client.want("d", `foo: 172\.17\.0\.1:\d+`)

	write(t, path, "features: {dumq: false}\n")
	docker(t, "kill", "-s", "HUP", c.name)
	c.wantLog(`configuration not reloaded.*/etc/lockd/lockd\.yaml:1: features\.dumq: unknown key; did you mean features\.dump\?`)
	client.want("d", `foo: 172\.17\.0\.1:\d+`)
	if page := get(t, c.address("9996"), "/metrics"); !strings.Contains(page, "\nlockd_config_last_reload_successful 0\n") {
		t.Error("the metrics do not tell that the reload has failed")
	}
}

// A file that is mounted by itself is the one that was there at the start. It
// can be written to, but an editor that replaces it is not seen.
func TestAFileMountedByItselfIsNotReplaced(t *testing.T) {
	needImage(t)
	t.Parallel()
	path := filepath.Join(configure(t, "features: {dump: false}\n"), "lockd.yaml")
	c := serve(t, []string{"-v", path + ":/etc/lockd/lockd.yaml:ro"})
	client := c.connect()
	client.want("d", "0 disabled")

	if err := os.WriteFile(path, []byte("features: {dump: true, registry: false}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	docker(t, "kill", "-s", "HUP", c.name)
	c.wantLog(`msg="configuration reloaded" changes_applied=2`)

	write(t, path, "features: {dump: false}\n")
	docker(t, "kill", "-s", "HUP", c.name)
	c.wantLog(`msg="configuration reloaded" changes_applied=0`)
}

func TestConfigurationByEnvironmentAndArguments(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, []string{"-e", "LOCKD_FEATURES_DUMP=false", "-e", "LOCKD_LOG_LEVEL=warn"}, "--log-level", "debug", "--tcp", "7000", "--tcp", "9999")
	connect(t, c.address("7000")).want("d", "0 disabled")
	c.connect().want("g foo", "1 Lock Get Success: foo")
	c.wantLog(`level=DEBUG`) // a flag wins over the environment
	if out := docker(t, "exec", c.name, "lockd", "config", "show"); !regexp.MustCompile(`dump: false +# environment LOCKD_FEATURES_DUMP`).MatchString(out) {
		t.Errorf("lockd config show says\n%s", out)
	}
}

// The file in the image has everything commented out.
func TestTheFileOfTheImageChangesNothing(t *testing.T) {
	needImage(t)
	t.Parallel()
	out := docker(t, "run", "--rm", "lockd", "config", "show")
	if strings.Contains(out, "lockd.yaml") || strings.Count(out, "# default") < 20 {
		t.Errorf("lockd config show says\n%s", out)
	}
}

func TestAMistakeInTheConfigurationIsTold(t *testing.T) {
	needImage(t)
	t.Parallel()
	dir := configure(t, "limits:\n  conections: 500\n")
	for _, c := range []struct{ options, want []string }{
		{[]string{"-v", dir + ":/etc/lockd:ro"}, []string{"lockd: error: /etc/lockd/lockd.yaml:2: limits.conections: unknown key; did you mean limits.connections?", "lockd: hint: "}},
		{[]string{"-e", "LOCKD_SHUTDOWN_GRACE=5"}, []string{"lockd: error: environment LOCKD_SHUTDOWN_GRACE: 5 has no unit; write 5s"}},
	} {
		server := start(t, c.options)
		server.wantState("Status", "exited")
		server.wantExit("2")
		for _, want := range c.want {
			if !strings.Contains(server.log(), want) {
				t.Errorf("the container says\n%swant\n%s", server.log(), want)
			}
		}
	}
}

func TestCommandsInTheContainer(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, append(hardened(), "-e", "LOCKD_ADMIN_FROM=loopback"))
	holder := c.connect()
	holder.want("iam worker", "1 ok")
	holder.want("g foo", "1 Lock Get Success: foo")
	for _, test := range []struct{ command, want string }{
		{"ls", `foo +exclusive +held .*worker +172\.17\.0\.1:\d+`},
		{"ping", `tcp://127\.0\.0\.1:9999 answers in `},
		{"stats", `connections`},
	} {
		if out := docker(t, "exec", c.name, "lockd", test.command); !regexp.MustCompile(test.want).MatchString(out) {
			t.Errorf("lockd %s says %q", test.command, out)
		}
	}
	docker(t, "exec", c.name, "lockd", "break", "--yes", "foo")
	holder.wantEnd()
	// Who comes from outside is no admin.
	other := c.connect()
	other.want("me lockd/2", "2 .*")
	other.want("fr x 0 bar", "0 denied")
}

var tokenIn = regexp.MustCompile(`token=(\d+)`)

// token takes a lock that nobody has and returns its fencing token.
func (c *container) token() uint64 {
	c.t.Helper()
	found := tokenIn.FindStringSubmatch(c.connect().want("gw 0 fenced", `1 Lock Get Success: token=\d+ .*`))
	if found == nil {
		c.t.FailNow()
	}
	token, err := strconv.ParseUint(found[1], 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// The number is stored ahead, and so the next container's tokens begin where the
// clock does not explain it.
func TestAVolumeKeepsTokensRising(t *testing.T) {
	needImage(t)
	t.Parallel()
	volume := "state-" + containerName()
	t.Cleanup(func() { try(t, "volume", "rm", volume) })
	options := append(hardened(), "-v", volume+":/var/lib/lockd", "-e", "LOCKD_STATE_DIR=/var/lib/lockd")
	last, reserved := uint64(0), uint64(0)
	for _, end := range []string{"kill", "stop", "kill"} {
		c := serve(t, options)
		token := c.token()
		if token <= last || token < reserved {
			t.Errorf("the token %d comes after %d, and up to %d was reserved", token, last, reserved)
		}
		last = token
		docker(t, end, c.name)
		c.remove()
		if reserved = stored(t, volume); reserved < last {
			t.Errorf("only %d is stored after the token %d", reserved, last)
		}
	}
}

// stored is the number in the state directory on a volume.
func stored(t *testing.T, volume string) uint64 {
	t.Helper()
	path := filepath.Join(docker(t, "volume", "inspect", "--format", "{{.Mountpoint}}", volume), "tokens")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	number := strings.TrimPrefix(strings.TrimSpace(string(text)), "lockd tokens reserved up to ")
	reserved, err := strconv.ParseUint(strings.Fields(number)[0], 10, 64)
	if err != nil {
		t.Fatalf("%s holds %q", path, text)
	}
	return reserved
}

func TestTwoContainersDoNotShareAVolume(t *testing.T) {
	needImage(t)
	t.Parallel()
	volume := "state-" + containerName()
	t.Cleanup(func() { try(t, "volume", "rm", volume) })
	options := append(hardened(), "-v", volume+":/var/lib/lockd", "-e", "LOCKD_STATE_DIR=/var/lib/lockd")
	serve(t, options)
	second := start(t, options)
	second.wantState("Status", "exited")
	second.wantExit("1")
	second.wantLog(`lockd: error: state directory: /var/lib/lockd `)
}

func TestIPv6(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, append(hardened(), "-p", "[::1]:17000:9999", "-p", "127.0.0.1:17000:9999"))
	address := inspect(t, c.name, "{{.NetworkSettings.GlobalIPv6Address}}")
	if !strings.HasPrefix(address, "fd00:d0c::") {
		t.Fatalf("the container has the address %q", address)
	}
	direct := connect(t, net.JoinHostPort(address, "9999"))
	direct.want("g foo", "1 Lock Get Success: foo")
	direct.want("me", `1 \[fd00:d0c::1\]:\d+ .*`)
	connect(t, "[::1]:17000").want("g foo", "0 Lock Get Failure: foo")
	connect(t, "127.0.0.1:17000").want("g foo", "0 Lock Get Failure: foo")
	if body := get(t, net.JoinHostPort(address, "9996"), "/readyz"); body != "ok\n" {
		t.Errorf("/readyz answers %q", body)
	}
}

// Docker's proxy forwards the connections, so they come from its bridge.
func TestClientsOfPublishedPortsComeFromTheBridge(t *testing.T) {
	needImage(t)
	t.Parallel()
	serve(t, []string{"-p", "17001:9999"})
	connect(t, "127.0.0.1:17001").want("me", `1 172\.17\.0\.1:\d+ .*`)

	strict := serve(t, []string{"-p", "17002:9999", "-e", "LOCKD_ALLOW_FROM=loopback"})
	connect(t, "127.0.0.1:17002").wantEnd()
	strict.wantLog(`msg="connection refused".*reason=allow_from`)
}

func TestLogInJSON(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, []string{"-e", "LOCKD_LOG_FORMAT=json"})
	c.stop()
	lines := 0
	for scanner := bufio.NewScanner(strings.NewReader(c.log())); scanner.Scan(); lines++ {
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal(scanner.Bytes(), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Msg == "" {
			t.Errorf("%v in %s", err, scanner.Text())
		}
	}
	if lines < 3 {
		t.Errorf("the log has %d lines", lines)
	}
}

func TestOpenFilesAreLimitedByDocker(t *testing.T) {
	needImage(t)
	t.Parallel()
	c := serve(t, []string{"--ulimit", "nofile=1000:4000"})
	// lockd raises the soft limit to the hard one, and keeps 192 for other uses.
	page := get(t, c.address("9996"), "/metrics")
	found := regexp.MustCompile(`(?m)^lockd_connections_limit (\d+)$`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("there is no limit in\n%s", page)
	}
	if limit, err := strconv.Atoi(found[1]); err != nil || limit < 3800 || limit > 4000-192 {
		t.Errorf("%s clients may connect", found[1])
	}
}
