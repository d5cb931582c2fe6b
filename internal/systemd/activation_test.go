package systemd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childVariable makes this test binary a service that was passed sockets: it
// prints what Sockets returns.
const childVariable = "LOCKD_TEST_PASSED_SOCKETS"

func printSockets() {
	// Only now the process is known that LISTEN_PID has to name.
	os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	sockets, err := Sockets("lockd", "http")
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	for _, name := range []string{"lockd", "http"} {
		for _, f := range sockets[name] {
			content := make([]byte, 8)
			n, _ := f.Read(content)
			fmt.Printf("%s=%s ", name, content[:n])
		}
	}
	fmt.Printf("children see %q\n", os.Getenv("LISTEN_FDS"))
}

func TestSocketsArePassedByName(t *testing.T) {
	tests := []struct{ name, names, want string }{
		{"none", "", `children see ""`},
		{"one", "http", `http=0 children see ""`},
		{"several, two of one name", "http:lockd:lockd", `lockd=1 lockd=2 http=0 children see ""`},
		{"an unknown one", "lockd:odd", `error: passed socket "odd": unknown name; FileDescriptorName= must be one of lockd, http`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), childVariable+"=1")
			if tt.names != "" {
				child.ExtraFiles = numberedFiles(t, strings.Count(tt.names, ":")+1)
				child.Env = append(child.Env, "LISTEN_FDNAMES="+tt.names, fmt.Sprint("LISTEN_FDS=", len(child.ExtraFiles)))
			}
			out, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := string(bytes.TrimSpace(out)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// numberedFiles stand in for sockets; each holds its number.
func numberedFiles(t *testing.T, n int) []*os.File {
	t.Helper()
	var files []*os.File
	for i := range n {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		if _, err := fmt.Fprint(w, i); err != nil {
			t.Fatal(err)
		}
		w.Close()
		files = append(files, r)
	}
	return files
}
