// Package internal_test holds the arrows between the packages, which
// docs/architecture.md draws.
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mayImport has every package of the module and what of the module it may
// import directly. Tests may import more.
func mayImport() map[string][]string {
	return map[string][]string{
		"lockd/internal/protocol":  {},
		"lockd/internal/locks":     {},
		"lockd/internal/server":    {"lockd/internal/locks", "lockd/internal/protocol"},
		"lockd/internal/metrics":   {"lockd/internal/locks", "lockd/internal/server"},
		"lockd/internal/admin":     {"lockd/internal/human"},
		"lockd/internal/bench":     {"lockd/internal/serverurl"},
		"lockd/internal/config":    {"lockd/internal/human"},
		"lockd/internal/human":     {},
		"lockd/internal/job":       {},
		"lockd/internal/serverurl": {},
		"lockd/internal/state":     {"lockd/internal/locks"},
		"lockd/internal/systemd":   {"lockd/internal/human"},
		"lockd/configs":            {},
		"lockd/embedded":           {"lockd/internal/locks", "lockd/internal/server", "lockd/internal/state"},
		"lockd/client":             {"lockd/internal/protocol", "lockd/internal/serverurl"},
		"lockd/client/websocket":   {"lockd/client"},
		"lockd/cmd/lockd": {
			"lockd/client", "lockd/client/websocket", "lockd/configs", "lockd/internal/admin", "lockd/internal/bench", "lockd/internal/config", "lockd/internal/human", "lockd/internal/job", "lockd/internal/locks",
			"lockd/internal/metrics", "lockd/internal/server", "lockd/internal/state", "lockd/internal/systemd",
		},

		// What any implementation of the table must pass; only tests import it.
		"lockd/internal/locks/lockstest": {"lockd/internal/locks", "lockd/internal/server"},
	}
}

// keptTo has the modules that not everybody may import directly, and who may.
func keptTo() map[string][]string {
	return map[string][]string{
		"github.com/prometheus/client_":  {"lockd/internal/metrics", "lockd/internal/admin"},
		"github.com/prometheus/exporter": {"lockd/internal/admin"},
		"github.com/prometheus/procfs":   {"lockd/internal/bench", "lockd/internal/job"},
		"github.com/spf13/viper":         {"lockd/internal/config"},
		"github.com/spf13/cobra":         {"lockd/cmd/lockd"},
		"github.com/coreos/go-systemd/":  {"lockd/internal/systemd"},
		"github.com/coder/websocket":     {"lockd/internal/bench", "lockd/client/websocket"},
		"github.com/gobwas/":             {"lockd/internal/server"},
		"github.com/lmittmann/tint":      {"lockd/cmd/lockd"},
		"github.com/HdrHistogram/":       {"lockd/internal/bench"},
		"github.com/jedib0t/go-pretty/":  {"lockd/cmd/lockd"},
		"github.com/KimMachineGun/":      {"lockd/cmd/lockd"},
		"go.yaml.in/":                    {"lockd/internal/config"},
	}
}

// A listed is a package as go list tells of it.
type listed struct {
	ImportPath string
	GoFiles    []string
	Imports    []string // direct ones, without those of tests
	Deps       []string // indirect ones too
	Standard   bool
}

func list(t *testing.T, args ...string) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-test=false", "-json=ImportPath,GoFiles,Imports,Deps,Standard"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	packages := make(map[string]listed)
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

// onlyTests tells a package that has no code but tests, or a document: it may
// import what it likes.
func (p listed) onlyTests() bool {
	return len(p.GoFiles) == 0 || strings.HasPrefix(p.ImportPath, "lockd/test/")
}

func TestPackagesImportNoOtherOfOursThanTheyMay(t *testing.T) {
	may := mayImport()
	packages := list(t, "./...")
	used := make(map[string]bool)
	for path, p := range packages {
		allowed, known := may[path]
		if p.onlyTests() {
			continue
		}
		if !known {
			t.Errorf("%s is new: add it here and to docs/architecture.md", path)
			continue
		}
		for _, i := range p.Imports {
			used[path+" "+i] = true
			if strings.HasPrefix(i, "lockd/") && !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s", path, i)
			}
		}
	}
	for path, allowed := range may {
		if _, there := packages[path]; !there {
			t.Errorf("%s is gone: take it out here and in docs/architecture.md", path)
		}
		for _, i := range allowed {
			if !used[path+" "+i] {
				t.Errorf("%s does not import %s: take that out here and in docs/architecture.md", path, i)
			}
		}
	}
}

func TestModulesAreImportedOnlyWhereTheyBelong(t *testing.T) {
	used := make(map[string]bool)
	for path, p := range list(t, "./...") {
		for _, i := range p.Imports {
			for module, who := range keptTo() {
				if !strings.HasPrefix(i, module) {
					continue
				}
				used[module+" "+path] = true
				if !slices.Contains(who, path) {
					t.Errorf("%s imports %s, which is for %v", path, i, who)
				}
			}
		}
	}
	for module, who := range keptTo() {
		for _, path := range who {
			if !used[module+" "+path] {
				t.Errorf("%s does not import %s: take that out here", path, module)
			}
		}
	}
}

func TestLocksAndProtocolNeedTheStandardLibraryOnly(t *testing.T) {
	for path, p := range list(t, "-deps", "./internal/locks", "./internal/protocol") {
		if !p.Standard && path != "lockd/internal/locks" && path != "lockd/internal/protocol" {
			t.Errorf("locks or protocol need %s", path)
		}
	}
}

// They neither log, nor do I/O, nor read a configuration or a clock.
func TestLocksAndProtocolDoNoIO(t *testing.T) {
	for path, p := range list(t, "./internal/locks", "./internal/protocol") {
		for _, i := range p.Imports {
			for _, no := range []string{"io", "net", "os", "log", "context"} {
				if i == no || strings.HasPrefix(i, no+"/") {
					t.Errorf("%s imports %s", path, i)
				}
			}
		}
		for _, file := range p.GoFiles {
			source, err := os.ReadFile(filepath.Join(strings.TrimPrefix(path, "lockd/internal/"), file))
			if err != nil {
				t.Fatal(err)
			}
			if use := clock.Find(source); use != nil {
				t.Errorf("%s: %s has a clock: %s", path, file, use)
			}
		}
	}
}

// clock is what package time has beside durations and formats.
var clock = regexp.MustCompile(`time\.(Now|Since|Until|After|AfterFunc|Sleep|Tick|NewTimer|NewTicker)\b`)

// Who imports the client pays for what it needs, and no more.
func TestClientNeedsNoServerAndNoDependency(t *testing.T) {
	for path, p := range list(t, "-deps", "./client") {
		if !p.Standard && path != "lockd/client" && path != "lockd/internal/protocol" && path != "lockd/internal/serverurl" {
			t.Errorf("the client needs %s", path)
		}
		if path == "net/http" {
			t.Error("the client brings an HTTP client along")
		}
	}
}
