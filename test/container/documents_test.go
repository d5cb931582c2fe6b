package container_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockd/test/markdown"
	"lockd/test/needs"
)

// Each command that the documents give for Docker is run as it stands there, in
// the checkout, by a shell that sees the engine's files: what it writes to /etc
// is thrown away.

func text(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(needs.Repository(), file))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// inComments are the commands in the comment at the top of a file: its lines that
// are indented.
func inComments(t *testing.T, file string) []string {
	t.Helper()
	head, _, _ := strings.Cut(text(t, file), "\n\n")
	head, _, _ = strings.Cut(head, "\nname:")
	var all []string
	for _, found := range regexp.MustCompile(`(?m)^#   (\S.*)$`).FindAllStringSubmatch(head, -1) {
		all = append(all, found[1])
	}
	if len(all) < 2 {
		t.Fatalf("%s shows the commands %q", file, all)
	}
	return all
}

// shell is a command of a shell in all of the engine's namespaces. It is killed
// when ctx ends.
func shell(ctx context.Context, commands string) *exec.Cmd {
	dir, name := filepath.Split(os.Getenv(insideVariable))
	cmd := exec.CommandContext(ctx, filepath.Join(needs.Repository(), "test/docker.sh"), "full", name, "sh", "-ec", commands)
	cmd.Env = append(os.Environ(), "DOCKER_DIR="+filepath.Clean(dir))
	cmd.Dir = needs.Repository()
	cmd.WaitDelay = time.Second
	return cmd
}

// runs runs commands that end, and compares what they print with output, unless
// that is empty.
func runs(t *testing.T, commands, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	out, err := shell(ctx, commands).CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	if output != "" && !markdown.Pattern(output, true).MatchString(string(out)) {
		t.Errorf("%sprints\n%swant\n%s", commands, out, output)
	}
}

// serves runs commands whose last one serves, until the container is stopped.
func serves(t *testing.T, commands string) {
	t.Helper()
	cmd := shell(context.Background(), commands)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		for _, id := range running(t) {
			try(t, "rm", "--force", id)
		}
		<-ended
	})
	eventually(t, commands+" serves", func() bool {
		ids := running(t)
		if len(ids) != 1 {
			return false
		}
		log, _ := try(t, "logs", ids[0])
		return strings.Contains(log, "lockd serves")
	})
	client := connect(t, "127.0.0.1:9999")
	client.want("g foo", "1 Lock Get Success: foo")
	client.conn.Close()
	if strings.Contains(commands, "9996:9996") {
		answers(t, "127.0.0.1:9996", "/readyz", "ok")
	}
	docker(t, append([]string{"stop"}, running(t)...)...)
	if err := <-ended; err != nil {
		t.Errorf("%s%v\n%s", commands, err, out.String())
	}
	ended <- nil
}

// running are the containers of the image that run.
func running(t *testing.T) []string {
	t.Helper()
	return strings.Fields(docker(t, "ps", "--quiet", "--filter", "ancestor=lockd"))
}

func inForeground(commands string) bool {
	return strings.Contains(commands, "docker run ") && !strings.Contains(commands, "docker run -d ")
}

func TestDockerCommandsInTheDocuments(t *testing.T) {
	needImage(t)
	needGrafana(t)
	for _, document := range []string{"README.md", "docs/operations.md"} {
		t.Run(document, func(t *testing.T) {
			t.Cleanup(func() { try(t, "rm", "--force", "lockd") })
			for _, b := range markdown.Marked(t, filepath.Join(needs.Repository(), document), "sh", "docker") {
				if inForeground(b.Text) {
					serves(t, b.Text)
				} else {
					runs(t, b.Text, b.Output)
				}
			}
			// One that stands in the text would not be run.
			if found := regexp.MustCompile("`docker (run|build|compose) [^`]*`").FindString(text(t, document)); found != "" {
				t.Errorf("%s is no block", found)
			}
		})
	}
}

func TestDockerCommandsInTheDockerfile(t *testing.T) {
	needImage(t)
	for _, command := range inComments(t, "deploy/docker/Dockerfile") {
		t.Run(command, func(t *testing.T) {
			if inForeground(command) {
				serves(t, command)
			} else {
				runs(t, command, "")
			}
		})
	}
}

// needGrafana makes an image of Grafana's name that has its user and does
// nothing, so that all of the compose file can be started.
func needGrafana(t *testing.T) {
	t.Helper()
	cmd := exec.Command("docker", "build", "-q", "-t", composedServices(t)["grafana"].Image, "-")
	cmd.Stdin = strings.NewReader("FROM golang:1.26\nUSER 472\nENTRYPOINT trap exit TERM; sleep 3600 & wait\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestDockerCommandsInTheComposeFile(t *testing.T) {
	needImage(t)
	needGrafana(t)
	if out, err := exec.Command("ip", "addr", "add", "10.0.0.5/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { compose(t, "down", "--volumes", "--timeout", "1") })
	for _, command := range inComments(t, composePath) {
		runs(t, command, "")
		address, _, _ := strings.Cut(strings.TrimPrefix(command, "BIND_ADDRESS="), " ")
		if !strings.HasPrefix(command, "BIND_ADDRESS=") {
			address = "127.0.0.1"
		}
		answers(t, "127.0.0.1:9996", "/readyz", "ok")
		connect(t, address+":9999").want("g foo", "1 Lock Get Success: foo")
	}
	wantGrafanaReads(t)
}

// wantGrafanaReads looks at the files as Grafana's user sees them.
func wantGrafanaReads(t *testing.T) {
	t.Helper()
	for _, v := range composedServices(t)["grafana"].Volumes {
		if v.Type != "bind" {
			continue
		}
		want, err := os.ReadFile(v.Source)
		if err != nil {
			t.Fatal(err)
		}
		if got := compose(t, "exec", "-T", "grafana", "cat", v.Target); got != string(want) {
			t.Errorf("in the container %s has %d bytes, and %s has %d", v.Target, len(got), v.Source, len(want))
		}
	}
}
