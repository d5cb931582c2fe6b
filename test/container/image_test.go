package container_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lockd/test/needs"
)

// made is the image as `make image` has made it. What the documents do makes
// others with the name lockd.
const made = "lockd-made"

// built makes the image, once.
var built struct {
	sync.Once
	commit   string
	requests atomic.Int64 // to the module proxy
}

func needImage(t *testing.T) {
	t.Helper()
	need(t)
	built.Do(func() { makeImage(t) })
	docker(t, "image", "inspect", made) // fails where it was not built
}

// makeImage makes the image as the documents say, with no network but a module
// proxy. In the engine's network there is none.
func makeImage(t *testing.T) {
	t.Helper()
	modules, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(filepath.Join(strings.TrimSpace(string(modules)), "cache/download")))
	listener, err := net.Listen("tcp", "172.17.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		built.requests.Add(1)
		files.ServeHTTP(w, r)
	})}}
	proxy.Start()
	defer proxy.Close()
	built.commit = git(t, "rev-parse", "HEAD")
	cmd := exec.Command("make", "image")
	cmd.Dir = needs.Repository()
	cmd.Env = append(os.Environ(), "GOPROXY="+proxy.URL)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}
	docker(t, "tag", "lockd", made)
}

func TestImageIsBuiltWithNoNetworkButAModuleProxy(t *testing.T) {
	needImage(t)
	if n := built.requests.Load(); n < 20 {
		t.Errorf("the build has asked the module proxy %d times, so the modules come from elsewhere", n)
	}
	if strings.HasPrefix(text(t, "deploy/docker/Dockerfile"), "# syntax") {
		t.Error("the Dockerfile begins with a line that a registry is asked for")
	}
}

func TestImageIsSmall(t *testing.T) {
	needImage(t)
	size, err := strconv.Atoi(inspect(t, made, "{{.Size}}"))
	if err != nil {
		t.Fatal(err)
	}
	if size >= 20_000_000 || size < 1_000_000 {
		t.Errorf("the image has %d bytes", size)
	}
	t.Logf("the image has %d bytes", size)
}

// What the image promises to those who run it.
func TestImageTellsWhatItIs(t *testing.T) {
	needImage(t)
	for template, want := range map[string]string{
		"{{.Config.User}}":                                             "65532:65532",
		"{{.Config.StopSignal}}":                                       "SIGTERM",
		"{{.Config.Entrypoint}} {{.Config.Cmd}}":                       "[/usr/bin/lockd] [serve]",
		"{{json .Config.ExposedPorts}}":                                `{"9996/tcp":{},"9998/tcp":{},"9999/tcp":{}}`,
		"{{.Config.Healthcheck.Test}}":                                 "[CMD /usr/bin/lockd ping]",
		"{{.Config.Volumes}}":                                          "map[]", // none that nobody asked for
		"{{.Architecture}} {{.Os}}":                                    "amd64 linux",
		`{{index .Config.Labels "org.opencontainers.image.title"}}`:    "lockd",
		`{{index .Config.Labels "org.opencontainers.image.licenses"}}`: "Apache-2.0",
		`{{index .Config.Labels "org.opencontainers.image.revision"}}`: built.commit,
	} {
		if got := inspect(t, made, template); got != want {
			t.Errorf("%s is %s, want %s", template, got, want)
		}
	}
	version := inspect(t, made, `{{index .Config.Labels "org.opencontainers.image.version"}}`)
	if out := docker(t, "run", "--rm", made, "version"); version == "" || !strings.Contains(out, version) {
		t.Errorf("the image is labelled %q, and lockd version says %q", version, out)
	}
	if inspect(t, "lockd:"+version, "{{.Id}}") != inspect(t, made, "{{.Id}}") {
		t.Errorf("lockd:%s is not the same image", version)
	}
}

func git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = needs.Repository()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// layers are the hashes of what an image is made of.
func layers(t *testing.T, image string) []string {
	t.Helper()
	var all []string
	if err := json.Unmarshal([]byte(inspect(t, image, "{{json .RootFS.Layers}}")), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// The second build is of a copy, made at another time in another place.
func TestBuiltTwiceTheBinaryIsTheSame(t *testing.T) {
	needImage(t)
	checkout := t.TempDir()
	for _, name := range []string{".dockerignore", "LICENSE", "go.mod", "go.sum", "client", "cmd", "configs", "deploy", "embedded", "internal"} {
		if out, err := exec.Command("cp", "-R", filepath.Join(needs.Repository(), name), checkout).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	// Something that is no source, so that no step is taken from the first build.
	if err := os.WriteFile(filepath.Join(checkout, "cmd/again"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	version := inspect(t, made, `{{index .Config.Labels "org.opencontainers.image.version"}}`)
	build(t, checkout, "lockd-again", "--build-arg", "VERSION="+version, "--build-arg", "COMMIT="+built.commit)
	if a, b := binary(t, made), binary(t, "lockd-again"); !slices.Equal(a, b) {
		t.Errorf("built twice, the binary has %d bytes and %d, and they differ", len(a), len(b))
	}
	// The other one is an empty directory.
	if a, b := layers(t, made), layers(t, "lockd-again"); len(a) != 2 || a[0] != b[0] {
		t.Errorf("built twice, the first of these layers differs: %q and %q", a, b)
	}
}

func binary(t *testing.T, image string) []byte {
	t.Helper()
	name := containerName()
	docker(t, "create", "--name", name, image)
	t.Cleanup(func() { try(t, "rm", name) })
	path := filepath.Join(t.TempDir(), "lockd")
	docker(t, "cp", name+":/usr/bin/lockd", path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// build builds the Dockerfile under another name.
func build(t *testing.T, checkout, tag string, options ...string) {
	t.Helper()
	cmd := exec.Command("docker", append(append([]string{"build", "-f", "deploy/docker/Dockerfile", "-t", tag}, options...), ".")...)
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", tag, err, out)
	}
}

// There is no arm64 here to run it on: what it is for must do.
func TestImageIsBuiltForOtherArchitectures(t *testing.T) {
	needImage(t)
	build(t, needs.Repository(), "lockd-arm64", "--platform", "linux/arm64")
	if got := inspect(t, "lockd-arm64", "{{.Architecture}}"); got != "arm64" {
		t.Errorf("the architecture of the image is %s", got)
	}
	path := filepath.Join(t.TempDir(), "lockd")
	if err := os.WriteFile(path, binary(t, "lockd-arm64"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "version", "-m", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "GOARCH=arm64") || !strings.Contains(string(out), "CGO_ENABLED=0") {
		t.Errorf("go version -m says %v\n%s", err, out)
	}
}

// exported are the files of an image, with Docker's own, as tar tells of them.
func exported(t *testing.T, image string) []*tar.Header {
	t.Helper()
	name := containerName()
	docker(t, "create", "--name", name, image)
	t.Cleanup(func() { try(t, "rm", name) })
	path := filepath.Join(t.TempDir(), "image.tar")
	docker(t, "export", "-o", path, name)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []*tar.Header
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, header)
	}
}

// What the image has no need for is not in it. What there is has no time of its
// own, as that would make another layer of the same files with each build.
func TestImageHasNothingButLockd(t *testing.T) {
	needImage(t)
	dockers := regexp.MustCompile(`^(\.dockerenv|dev/.*|proc/|sys/|etc/(hostname|hosts|mtab|resolv\.conf)?)$`)
	var files []string
	for _, file := range exported(t, made) {
		if dockers.MatchString(file.Name) {
			continue
		}
		files = append(files, fmt.Sprintf("%s %v %d", file.Name, file.FileInfo().Mode().Perm(), file.Uid))
		if !strings.HasPrefix(file.Name, "var/lib/") && file.ModTime.Unix() != 0 {
			t.Errorf("%s is of %v", file.Name, file.ModTime)
		}
	}
	slices.Sort(files)
	want := []string{
		"etc/lockd/ -rwxr-xr-x 0", "etc/lockd/lockd.yaml -rw-r--r-- 0",
		"usr/ -rwxr-xr-x 0", "usr/bin/ -rwxr-xr-x 0", "usr/bin/lockd -rwxr-xr-x 0",
		"usr/share/ -rwxr-xr-x 0", "usr/share/doc/ -rwxr-xr-x 0", "usr/share/doc/lockd/ -rwxr-xr-x 0", "usr/share/doc/lockd/LICENSE -rw-r--r-- 0",
		"usr/share/doc/lockd/third-party-licenses.txt -rw-r--r-- 0",
		"var/ -rwxr-xr-x 0", "var/lib/ -rwxr-xr-x 0", "var/lib/lockd/ -rwxr-xr-x 65532",
	}
	if !slices.Equal(files, want) {
		t.Errorf("the image holds %q, want %q", files, want)
	}
}
