package client_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// foreign returns what pkg imports, directly or not, outside the standard
// library.
func foreign(t *testing.T, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	return strings.Fields(string(out))
}

func TestImportingTheClientBringsNothingElseAlong(t *testing.T) {
	want := []string{"lockd/internal/protocol", "lockd/internal/serverurl", "lockd/client"}
	if got := foreign(t, "lockd/client"); !slices.Equal(got, want) {
		t.Errorf("lockd/client imports %q, want %q", got, want)
	}
}

func TestTheClientHasNoHTTPInIt(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "lockd/client").Output()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(strings.Fields(string(out)), "net/http") {
		t.Error("lockd/client imports net/http")
	}
}

func TestWebSocketBringsItsLibraryAlongAndNothingElse(t *testing.T) {
	ofClient := foreign(t, "lockd/client")
	for _, pkg := range foreign(t, "lockd/client/websocket") {
		if !slices.Contains(ofClient, pkg) && pkg != "lockd/client/websocket" &&
			!strings.HasPrefix(pkg, "github.com/coder/websocket") {
			t.Errorf("lockd/client/websocket imports %s", pkg)
		}
	}
}
