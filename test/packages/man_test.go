package packages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages unpacks the man pages of a deb, and returns their files.
func pages(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(packages(t, first, "dpkg-deb", "man", "lexgrog"), deb(newVersion, "amd64"))
	root := t.TempDir()
	output(t, "dpkg-deb", "-x", path, root)
	files, err := filepath.Glob(filepath.Join(root, "usr/share/man/man?/*.gz"))
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	return files
}

func TestManPagesAreSetWithoutAWarning(t *testing.T) {
	for _, page := range pages(t) {
		cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANROFFSEQ=", "MANWIDTH=80")
		var problems strings.Builder
		cmd.Stderr = &problems
		if err := cmd.Run(); err != nil || problems.Len() > 0 {
			t.Errorf("%s: %v\n%s", page, err, &problems)
		}
		// What whatis and apropos find.
		if out := output(t, "lexgrog", page); !strings.Contains(out, `: "lockd`) {
			t.Errorf("%s has no name: %s", page, out)
		}
	}
}

func TestManPagesReferToPagesThatAreThere(t *testing.T) {
	files := pages(t)
	var there []string // as NAME(SECTION)
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".gz")
		section := filepath.Ext(name)
		there = append(there, strings.TrimSuffix(name, section)+"("+section[1:]+")")
	}
	for _, want := range []string{"lockd(8)", "lockd-serve(8)", "lockd.yaml(5)", "lockd-run(1)", "lockd-config-check(1)"} {
		if !slices.Contains(there, want) {
			t.Errorf("there is no %s", want)
		}
	}
	reference := regexp.MustCompile(`(?m)^\.BR (\S+) (\(\d\))|^\\fB(\S+)\\fP(\(\d\))$`)
	for _, f := range files {
		found := reference.FindAllStringSubmatch(string(unzip(t, read(t, f))), -1)
		if len(found) == 0 {
			t.Errorf("%s refers to nothing", f)
		}
		for _, r := range found {
			name := strings.ReplaceAll(r[1]+r[3]+r[2]+r[4], `\`, "")
			if strings.HasPrefix(name, "lockd") && !slices.Contains(there, name) {
				t.Errorf("%s refers to %s, which is not there", f, name)
			}
		}
	}
}
