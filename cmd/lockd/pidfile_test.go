package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestNoPathIsNoPIDFile(t *testing.T) {
	p, err := acquirePIDFile("")
	if p != nil || err != nil {
		t.Fatalf("%v, %v", p, err)
	}
	if err := p.remove(); err != nil {
		t.Error(err)
	}
}

func TestOfTwoWhoAcquireAtOnceOneWins(t *testing.T) {
	for _, tc := range []struct{ name, before string }{
		{"no file there", ""},
		{"the file of a dead server there", "4194305\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range 200 {
				path := filepath.Join(t.TempDir(), "lockd.pid")
				if tc.before != "" {
					writeFile(t, path, tc.before)
				}
				race(t, path)
			}
		})
	}
}

// race has several acquire path at once, checks that one got it and that it is
// gone when that one has removed it.
func race(t *testing.T, path string) {
	t.Helper()
	var files [4]*pidFile
	var errs [len(files)]error
	var acquiring sync.WaitGroup
	start := make(chan struct{})
	for i := range files {
		acquiring.Go(func() {
			<-start
			files[i], errs[i] = acquirePIDFile(path)
		})
	}
	close(start)
	acquiring.Wait()
	var won []*pidFile
	for i, err := range errs {
		if err == nil {
			won = append(won, files[i])
		} else if !strings.Contains(err.Error(), "which runs") {
			t.Errorf("lost with %v", err)
		}
	}
	if len(won) != 1 {
		t.Fatalf("%d have the file", len(won))
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("the file holds %q, %v", content, err)
	}
	if err := won[0].remove(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAPIDFileIsFreeWhenItWasRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lockd.pid")
	for range 3 {
		p, err := acquirePIDFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.remove(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnlyAPIDFileIsReplaced(t *testing.T) {
	for _, tc := range []struct {
		content  string
		replaced bool
	}{
		{"1234\n", true},
		{"1234", true},
		{" 1234 \n", true},
		{strconv.Itoa(os.Getpid()) + "\n", true}, // reused by another program since
		{"1234 5678\n", false},
		{"-1\n", false},
		{"0x12\n", false},
		{"password\n", false},
		{"\x00", false},
	} {
		t.Run(tc.content, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lockd.pid")
			writeFile(t, path, tc.content)
			p, err := acquirePIDFile(path)
			if (err == nil) != tc.replaced {
				t.Errorf("error %v", err)
			}
			if content, _ := os.ReadFile(path); tc.replaced == (string(content) == tc.content) && tc.content != fmt.Sprintln(os.Getpid()) {
				t.Errorf("the file holds %q", content)
			}
			if err := p.remove(); err != nil {
				t.Error(err)
			}
		})
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatOnlyBeginsLikeAPIDFileIsLeftAlone(t *testing.T) {
	for _, content := range []string{
		strings.Repeat("\n", 64) + "precious",
		strings.Repeat("1", 64) + " precious",
	} {
		path := filepath.Join(t.TempDir(), "lockd.pid")
		writeFile(t, path, content)
		p, err := acquirePIDFile(path)
		if err == nil {
			t.Error("no error")
		}
		if left, _ := os.ReadFile(path); string(left) != content {
			t.Errorf("the file holds %q", left)
		}
		if err := p.remove(); err != nil {
			t.Error(err)
		}
	}
}
