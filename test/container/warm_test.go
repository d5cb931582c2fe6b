package container_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lockd/test/needs"
)

// architectures are those that the image is built for.
func architectures() []string { return []string{"amd64", "arm64"} }

// warm fills the build cache that the Dockerfile mounts with what this machine
// has compiled already, as it would be on the second build. Compiling all of it
// anew takes minutes, twice, and tests nothing of ours.
func (e *engine) warm() error {
	context := filepath.Join(e.dir, e.name, "compiled") // ends with the engine
	if err := os.Mkdir(context, 0o755); err != nil {
		return err
	}
	for _, architecture := range architectures() {
		if err := copyCompiled(context, architecture); err != nil {
			return err
		}
	}
	dockerfile := "FROM golang:1.26\nRUN --mount=type=bind,target=/compiled --mount=type=cache,target=/root/.cache/go-build " +
		"cp -a /compiled/. /root/.cache/go-build\n"
	build := e.command("exec", e.name, "docker", "build", "-q", "-f", "-", context)
	build.Env = append(build.Env, "DOCKER_BUILDKIT=1")
	build.Stdin = strings.NewReader(dockerfile)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("fill the build cache: %w\n%s", err, out)
	}
	return nil
}

// copyCompiled copies what lockd is linked of from Go's build cache into dir,
// compiling what is not there.
func copyCompiled(dir, architecture string) error {
	list := exec.Command("go", "list", "-trimpath", "-export", "-deps", "-f", "{{.BuildID}} {{.Export}}", "./cmd/lockd")
	list.Dir = needs.Repository()
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture)
	var problems bytes.Buffer
	list.Stderr = &problems
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("compile for %s: %w\n%s", architecture, err, problems.Bytes())
	}
	for line := range strings.Lines(string(out)) {
		id, compiled, _ := strings.Cut(strings.TrimSpace(line), " ")
		if compiled == "" { // unsafe
			continue
		}
		entry, err := entryOf(id, compiled)
		if err != nil {
			return err
		}
		for _, file := range append(entry, compiled) {
			if err := copyInto(dir, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// entryOf finds the files of the cache that lead from what a package is compiled
// of, whose hash the first part of its build ID begins, to the compiled file.
func entryOf(buildID, compiled string) ([]string, error) {
	action, _, _ := strings.Cut(buildID, "/")
	hash, err := base64.RawURLEncoding.DecodeString(action)
	if err != nil {
		return nil, fmt.Errorf("build ID %q: %w", buildID, err)
	}
	cache := filepath.Dir(filepath.Dir(compiled))
	name := hex.EncodeToString(hash)
	return filepath.Glob(filepath.Join(cache, name[:2], name+"*-a"))
}

// copyInto copies a file to where it is in its cache, XX/FILE.
func copyInto(dir, file string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	path := filepath.Join(dir, filepath.Base(filepath.Dir(file)), filepath.Base(file))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
