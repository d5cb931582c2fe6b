package packages_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockd/test/needs"
)

func packageVersion(described, seconds string) (string, error) {
	out, err := exec.Command(filepath.Join(needs.Repository(), "deploy/packages/version.sh"), described, seconds).Output()
	return strings.TrimSpace(string(out)), err
}

func TestPackageVersionIsMadeOfWhatGitSays(t *testing.T) {
	needs.Tools(t, "bash", "date")
	for described, want := range map[string]string{
		"v1.2.3":                   "1.2.3",
		"1.2.3":                    "1.2.3",
		"v2":                       "2",
		"v1.2.3-rc1":               "1.2.3~rc1",
		"v1.2.3-dirty":             "1.2.3+dirty",
		"v1.2.3-4-g9623fad":        "1.2.3+4.g9623fad",
		"v1.2.3-rc.1-4-g9623fad":   "1.2.3~rc.1+4.g9623fad",
		"v1.2.3-14-g9623fad-dirty": "1.2.3+14.g9623fad.dirty",
		"9623fad":                  "0.0.0~git20260101000000.9623fad",
		"1234567":                  "0.0.0~git20260101000000.1234567",
		"9623fad-dirty":            "0.0.0~git20260101000000.9623fad.dirty",
		"devel":                    "0.0.0~git20260101000000.devel",
	} {
		if got, err := packageVersion(described, epoch); got != want || err != nil {
			t.Errorf("%s: got %q (%v), want %q", described, got, err, want)
		}
	}
	for _, wrong := range []string{"", "1.2.3_4", "1.2.3-4", "a b", "../x", "1.2.3;id"} {
		if got, err := packageVersion(wrong, epoch); err == nil {
			t.Errorf("%q is taken for %q", wrong, got)
		}
	}
}

// Later is greater, for dpkg and for rpm: else an upgrade is none.
func TestVersionsRiseAsCommitsCome(t *testing.T) {
	needs.Full(t, "dpkg", "rpm")
	var versions []string
	for _, c := range [][2]string{
		{"fffffff", "1767225600"},
		{"fffffff-dirty", "1767225600"},
		{"0000000", "1767225601"},
		{"v0.0.0", "1767225602"},
		{"v0.1.0-rc1", "1767225603"},
		{"v0.1.0-rc1-2-gfff", "1767225604"},
		{"v0.1.0-rc2", "1767225605"},
		{"v0.1.0", "1767225606"},
		{"v0.1.0-9-gfff", "1767225607"},
		{"v0.1.0-10-gaaa", "1767225608"},
		{"v0.1.0-10-gaaa-dirty", "1767225608"},
		{"v0.1.1", "1767225609"},
	} {
		version, err := packageVersion(c[0], c[1])
		if err != nil {
			t.Fatal(c[0], err)
		}
		versions = append(versions, version)
	}
	for i, version := range versions[1:] {
		before := versions[i]
		if err := exec.Command("dpkg", "--compare-versions", before+"-1", "lt", version+"-1").Run(); err != nil {
			t.Errorf("dpkg: %s is not below %s", before, version)
		}
		if got := output(t, "rpm", "--eval", `%{lua: print(rpm.vercmp("`+before+`", "`+version+`"))}`); strings.TrimSpace(got) != "-1" {
			t.Errorf("rpm: %s is not below %s: %s", before, version, got)
		}
	}
}
