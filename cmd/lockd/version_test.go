package main

import (
	"runtime"
	"strings"
	"testing"
)

func TestTheBuildTellsItsVersion(t *testing.T) {
	got := buildVersion()
	if got.Version == "" || got.Commit == "" || got.GoVersion != runtime.Version() {
		t.Errorf("%+v", got)
	}
	text := got.String()
	for _, part := range []string{got.Version + " (commit ", got.Commit + ", ", got.GoVersion + ")"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q lacks %q", text, part)
		}
	}
}
