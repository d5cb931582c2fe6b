package packages_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/test/needs"
)

func TestTheSameSourceMakesTheSameBytes(t *testing.T) {
	one, other := packages(t, first, "sha256sum"), packages(t, second)
	var want []string
	for _, arch := range architectures() {
		want = append(want, deb(newVersion, arch), rpm(newVersion, arch), tarball(newVersion, arch))
	}
	want = append(want, "SHA256SUMS")
	slices.Sort(want)
	entries, err := os.ReadDir(one)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if !bytes.Equal(read(t, one, e.Name()), read(t, other, e.Name())) {
			t.Errorf("%s: the two builds differ", e.Name())
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("built %q, want %q", names, want)
	}
	checked := output(t, "sh", "-c", `cd "$1" && sha256sum -c SHA256SUMS`, "sh", one)
	if got := strings.Count(checked, ": OK\n"); got != len(want)-1 {
		t.Errorf("SHA256SUMS has %d files, want %d:\n%s", got, len(want)-1, checked)
	}
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// shipped has files that are in the deb and the rpm as they are in the checkout.
func shipped() map[string]string {
	units := "usr/lib/systemd/system/"
	docs := "usr/share/doc/lockd/"
	return map[string]string{
		"etc/lockd/lockd.yaml":                       "configs/lockd.yaml",
		units + "lockd.service":                      "deploy/systemd/lockd.service",
		units + "lockd.socket":                       "deploy/systemd/lockd.socket",
		units + "lockd-http.socket":                  "deploy/systemd/lockd-http.socket",
		units + "lockd-ws.socket":                    "deploy/systemd/lockd-ws.socket",
		"usr/lib/sysusers.d/lockd.conf":              "deploy/systemd/lockd.sysusers",
		docs + "README.md":                           "README.md",
		docs + "operations.md":                       "docs/operations.md",
		docs + "protocol.md":                         "docs/protocol.md",
		docs + "examples/prometheus/lockd.rules.yml": "deploy/prometheus/lockd.rules.yml",
		docs + "examples/grafana/lockd.json":         "deploy/grafana/lockd.json",
		docs + "examples/notify-reload.conf":         "deploy/systemd/notify-reload.conf",
	}
}

// made has files that the build makes, and a text in each.
func made(zsh string) map[string]string {
	man, docs := "usr/share/man/", "usr/share/doc/lockd/"
	return map[string]string{
		man + "man1/lockd-run.1.gz":                      `.TH "LOCKD\-RUN" "1" "January 2026" "lockd ` + newVersion + `"`,
		man + "man1/lockd-config-check.1.gz":             ".SH SYNOPSIS",
		man + "man5/lockd.yaml.5.gz":                     "limits.line_bytes",
		man + "man8/lockd.8.gz":                          ".SH SIGNALS",
		man + "man8/lockd-serve.8.gz":                    ".SH SIGNALS",
		docs + "changelog.gz":                            "# Changelog",
		docs + "third-party-licenses.txt.gz":             "github.com/spf13/cobra",
		"usr/share/bash-completion/completions/lockd":    "complete -o default",
		"usr/share/fish/vendor_completions.d/lockd.fish": "complete -c lockd",
		zsh: "#compdef lockd",
	}
}

func TestDebsHoldWhatTheyPromise(t *testing.T) {
	dir := packages(t, first, "dpkg-deb")
	for _, arch := range architectures() {
		path := filepath.Join(dir, deb(newVersion, arch))
		root := t.TempDir()
		output(t, "dpkg-deb", "-x", path, root)
		checkTree(t, root, "usr/share/zsh/vendor-completions/_lockd")
		checkBinary(t, filepath.Join(root, "usr/bin/lockd"), arch)
		wantFields(t, output(t, "dpkg-deb", "-f", path, "Package", "Version", "Architecture", "Section", "Recommends"),
			"Package: lockd", "Version: "+newVersion+"-1", "Architecture: "+arch, "Section: net", "Recommends: systemd")
		if got, want := output(t, "dpkg-deb", "-I", path, "conffiles"), "/etc/lockd/lockd.yaml\n/etc/needrestart/conf.d/lockd.conf\n"; got != want {
			t.Errorf("%s has the conffiles %q, want %q", path, got, want)
		}
		for line := range strings.Lines(output(t, "dpkg-deb", "-c", path)) {
			if f := strings.Fields(line); f[1] != "root/root" || f[3] != "2026-01-01" {
				t.Errorf("%s: not root's of the date that was asked for: %s", path, line)
			}
		}
	}
}

func TestRPMsHoldWhatTheyPromise(t *testing.T) {
	dir := packages(t, first, "rpm", "rpm2cpio", "cpio")
	for _, arch := range architectures() {
		path := filepath.Join(dir, rpm(newVersion, arch))
		root := t.TempDir()
		output(t, "sh", "-c", `rpm2cpio "$1" | cpio --no-absolute-filenames -D "$2" --quiet -idm`, "sh", path, root)
		checkTree(t, root, "usr/share/zsh/site-functions/_lockd")
		checkBinary(t, filepath.Join(root, "usr/bin/lockd"), arch)
		query := func(format string) string { return output(t, "rpm", "-qp", "--nosignature", "--qf", format, path) }
		uname := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
		if got, want := query("%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE} %{BUILDTIME} %{BUILDHOST}"),
			"lockd "+newVersion+" 1 "+uname+" Apache-2.0 "+epoch+" localhost"; got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
		if got := query("[%{FILENAMES} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags}\n]"); !strings.Contains(got, "/etc/lockd/lockd.yaml root:root cn\n") {
			t.Errorf("%s: lockd.yaml is no file that an upgrade keeps:\n%s", path, got)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/share/licenses/lockd/LICENSE")); err != nil {
			t.Error(err)
		}
	}
}

func wantFields(t *testing.T, got string, want ...string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(got), "\n")
	slices.Sort(lines)
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		t.Errorf("the package says %q, want %q", lines, want)
	}
}

// checkTree compares what a package holds with the checkout.
func checkTree(t *testing.T, root, zsh string) {
	t.Helper()
	for file, source := range shipped() {
		if !bytes.Equal(read(t, root, file), read(t, os.Getenv(builtVariable), "source", source)) {
			t.Errorf("%s is not as %s", file, source)
		}
		if info, err := os.Stat(filepath.Join(root, file)); err != nil || info.Mode() != 0o644 {
			t.Errorf("%s: %v %v", file, info.Mode(), err)
		}
	}
	for file, text := range made(zsh) {
		content := read(t, root, file)
		if strings.HasSuffix(file, ".gz") {
			content = unzip(t, content)
		}
		if !strings.Contains(string(content), text) {
			t.Errorf("%s does not have %q", file, text)
		}
	}
}

func unzip(t *testing.T, content []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if !r.ModTime.IsZero() || r.Name != "" {
		t.Errorf("gzip has noted the time %v and the name %q", r.ModTime, r.Name)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// checkBinary looks at a binary that may be for another machine than this.
func checkBinary(t *testing.T, path, arch string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; f.Machine != want {
		t.Errorf("%s is for %v, want %v", path, f.Machine, want)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not static", path)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o755 {
		t.Errorf("%s: %v %v", path, info.Mode(), err)
	}
	// The version is stamped into the binary as a string.
	if !bytes.Contains(read(t, path), []byte(newVersion)) {
		t.Errorf("%s does not know its version", path)
	}
}

func TestTarballsAreLaidOutAsTheREADMESays(t *testing.T) {
	dir := packages(t, first)
	for _, arch := range architectures() {
		top := strings.TrimSuffix(tarball(newVersion, arch), ".tar.gz")
		names := checkTarball(t, unzip(t, read(t, dir, tarball(newVersion, arch))))
		if !slices.IsSorted(names) {
			t.Errorf("not sorted: %q", names)
		}
		for _, want := range []string{
			"bin/lockd", "LICENSE", "README.md", "CHANGELOG.md", "third-party-licenses.txt.gz", "configs/lockd.yaml",
			"docs/operations.md", "docs/protocol.md", "deploy/systemd/lockd.service", "deploy/systemd/lockd.socket", "deploy/systemd/lockd.sysusers",
			"man/lockd.8.gz", "man/lockd.yaml.5.gz", "man/lockd-run.1.gz", "completions/lockd.bash", "completions/_lockd", "completions/lockd.fish",
		} {
			if !slices.Contains(names, top+"/"+want) {
				t.Errorf("%s lacks %s", top, want)
			}
		}
		root := t.TempDir()
		output(t, "tar", "-C", root, "-xzf", filepath.Join(dir, tarball(newVersion, arch)))
		checkBinary(t, filepath.Join(root, top, "bin/lockd"), arch)
	}
}

// checkTarball checks whose the files are and how old, and returns their names.
func checkTarball(t *testing.T, content []byte) []string {
	t.Helper()
	var names []string
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) || h.Mode&0o022 != 0 {
			t.Errorf("%s: owner %d:%d, mode %o, time %v", h.Name, h.Uid, h.Gid, h.Mode, h.ModTime)
		}
		names = append(names, strings.TrimSuffix(h.Name, "/"))
	}
}

// The packages of the other architecture differ in the binary alone.
func TestLintianFindsNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(packages(t, first, "lintian"), deb(newVersion, runtime.GOARCH))
	if out := output(t, "lintian", "--allow-root", "--fail-on", "error,warning", path); strings.TrimSpace(out) != "" {
		t.Error(out)
	}
	for line := range strings.Lines(string(read(t, needs.Repository(), "deploy/packages/lintian-overrides"))) {
		if strings.HasPrefix(line, "lockd: ") == (line[0] == '#') {
			t.Errorf("neither an override nor its reason: %s", line)
		}
	}
}

// A script of a package runs as root on every machine: no shell may stumble over it.
func TestScriptsAreWellFormed(t *testing.T) {
	needs.Tools(t, "sh")
	scripts, err := filepath.Glob(filepath.Join(needs.Repository(), "deploy/packages/scripts/*.sh"))
	if err != nil || len(scripts) < 9 {
		t.Fatal(err, scripts)
	}
	for _, s := range scripts {
		output(t, "sh", "-n", s)
	}
}
