package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockd/internal/server"
)

func tryListen(t failer, url string) (*server.Listener, error) {
	t.Helper()
	a, err := server.ParseAddress(url)
	if err != nil {
		t.Fatalf("%v", err)
	}
	l, err := server.Listen(context.Background(), a)
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, err
}

func TestAPortInUseNamesTheAddress(t *testing.T) {
	for _, url := range []string{"tcp://127.0.0.1:0", "ws://[::1]:0"} {
		first := listen(t, url)
		_, err := tryListen(t, first.String())
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Fatalf("%v, want EADDRINUSE", err)
		}
		if want := "listen on " + first.String() + ": "; !strings.HasPrefix(err.Error(), want) || strings.Count(err.Error(), first.String()) != 1 {
			t.Errorf("%q does not begin with %q", err, want)
		}
		first.Close()
		listen(t, first.String())
	}
}

func TestAnAddressThatIsNotHere(t *testing.T) {
	if _, err := tryListen(t, "tcp://192.0.2.1:9999"); err == nil || !strings.Contains(err.Error(), "listen on tcp://192.0.2.1:9999: ") {
		t.Errorf("%v", err)
	}
}

// exchange has a client of the socket at path answered.
func exchange(t *testing.T, path string) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := (&client{failer: t, name: path, conn: conn}).resetReader()
	c.ask("i x", "0 Lock Not Locked: x\n")
	c.leave()
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	s := start(t)
	s.serve(listen(t, "unix://"+path))
	exchange(t, path)
}

func TestASocketInUseSaysByWhom(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	s := start(t)
	s.serve(listen(t, "unix://"+path))
	_, err := tryListen(t, "unix://"+path)
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("%v, want EADDRINUSE", err)
	}
	name, _ := os.ReadFile("/proc/self/comm")
	want := fmt.Sprintf("listen on unix://%s: %s is in use by process %d (%s)",
		path, path, os.Getpid(), strings.TrimSpace(string(name)))
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	exchange(t, path) // it serves on
}

func TestFilesThatAreNoSocketsStay(t *testing.T) {
	dir := shortDir(t)
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, []byte("precious"), 0o600), os.Symlink("/nowhere", link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		_, err := tryListen(t, "unix://"+path)
		if want := path + " exists and is no socket"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := tryListen(t, "unix://"+dir); err == nil {
		t.Error("a directory was taken for a socket")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if _, err := tryListen(t, "unix://"+filepath.Join(dir, "missing", "s")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is missing: %v", err)
	}
}

func TestModeAndGroupOfASocket(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	groups := []string{"daemon", "12345"}
	if os.Geteuid() != 0 { // then only one's own
		groups = []string{strconv.Itoa(os.Getegid())}
	}
	for _, group := range append(groups, "") {
		for _, mode := range []fs.FileMode{0o660, 0o600, 0o666, 0o777, 0} {
			path := filepath.Join(shortDir(t), "s")
			listen(t, fmt.Sprintf("unix://%s?mode=%o&group=%s", path, mode, group))
			info, err := os.Lstat(path)
			if err != nil || info.Mode() != mode|fs.ModeSocket {
				t.Fatalf("mode %o is %v, %v", mode, info.Mode(), err)
			}
			if got, want := info.Sys().(*syscall.Stat_t).Gid, groupNumber(t, group); got != want {
				t.Errorf("group %q is %d, want %d", group, got, want)
			}
		}
	}
}

func groupNumber(t *testing.T, group string) uint32 {
	t.Helper()
	if group == "" {
		return uint32(os.Getegid())
	}
	if g, err := user.LookupGroup(group); err == nil {
		group = g.Gid
	}
	n, err := strconv.Atoi(group)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func TestAnUnknownGroupLeavesNothing(t *testing.T) {
	dir := shortDir(t)
	before := descriptors(t)
	_, err := tryListen(t, "unix://"+dir+"/s?group=no-such-group")
	if err == nil || !strings.Contains(err.Error(), `group "no-such-group" is not known here`) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	eventually(t, "its descriptors are closed", func() bool { return descriptors(t) <= before })
}

func TestTheFileGoesWithItsListener(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	for range 2 {
		l := listen(t, "unix://"+path)
		l.Close()
		l.Close()
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("after Close: %v", err)
		}
	}
}

func TestAReplacedFileStays(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first := listen(t, "unix://"+path)
	if err := os.Remove(path); err != nil { // as somebody may who takes the server for dead
		t.Fatal(err)
	}
	s := start(t)
	s.serve(listen(t, "unix://"+path))
	first.Close()
	exchange(t, path)
	s.Destroy()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Destroy: %v", err)
	}
}

func TestTwoServersNeverReplaceEachOther(t *testing.T) {
	for range 50 {
		path := filepath.Join(shortDir(t), "s")
		results := make(chan error)
		for range 4 {
			go func() {
				a, _ := server.ParseAddress("unix://" + path)
				l, err := server.Listen(context.Background(), a)
				if err == nil {
					t.Cleanup(func() { l.Close() })
				}
				results <- err
			}()
		}
		won := 0
		for range 4 {
			if err := <-results; err == nil {
				won++
			} else if !errors.Is(err, unix.EADDRINUSE) {
				t.Fatal(err)
			}
		}
		if won != 1 {
			t.Fatalf("%d servers listen on one path", won)
		}
	}
}

// passedFile returns the file of a socket, as systemd passes it.
func passedFile(t *testing.T, socket interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPassedListenersServe(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	tcp, err1 := net.Listen("tcp", "127.0.0.1:0")
	web, err2 := net.Listen("tcp", "127.0.0.1:0")
	local, err3 := net.Listen("unix", path)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	local.(*net.UnixListener).SetUnlinkOnClose(false)
	s := start(t)
	for _, passed := range []struct {
		word, url string
		file      *os.File
	}{
		{"tcp4", "tcp://" + tcp.Addr().String(), passedFile(t, tcp.(*net.TCPListener))},
		{"ws", "ws://" + web.Addr().String(), passedFile(t, web.(*net.TCPListener))},
		{"unix", "unix://" + path, passedFile(t, local.(*net.UnixListener))},
	} {
		l, err := server.Passed(passed.file, passed.word == "ws")
		if err != nil {
			t.Fatal(err)
		}
		if l.String() != passed.url {
			t.Errorf("it is shown as %s, want %s", l, passed.url)
		}
		_, s.addresses[passed.word], _ = strings.Cut(passed.url, "://")
		s.serve(l)
	}
	tcp.Close()
	web.Close()
	local.Close() // the passed descriptors are others
	for _, transport := range []string{"tcp4", "unix", "ws"} {
		s.connect(transport).ask("i x", "0 Lock Not Locked: x\n")
	}
	s.Destroy()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the file of a passed socket is its owner's, and went: %v", err)
	}
}

func TestWhatIsNoListenerIsRefused(t *testing.T) {
	before := descriptors(t)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	connected, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	local, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	regular, err := os.Create(filepath.Join(shortDir(t), "f"))
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	for name, test := range map[string]struct {
		file *os.File
		ws   bool
	}{
		"connected":                {passedFile(t, connected.(*net.TCPConn)), false},
		"datagrams":                {passedFile(t, udp.(*net.UDPConn)), false},
		"regular file":             {regular, false},
		"pipe":                     {read, false},
		"WebSocket over Unix":      {passedFile(t, local.(*net.UnixListener)), true},
		"connected for WebSockets": {passedFile(t, connected.(*net.TCPConn)), true},
	} {
		l, err := server.Passed(test.file, test.ws)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), "passed socket ") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := test.file.Stat(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: the file is left open: %v", name, err)
		}
	}
	// The connection itself works on.
	io.WriteString(connected, "x")
	for _, c := range []io.Closer{tcp, connected, udp, local, write} {
		c.Close()
	}
	eventually(t, "nothing is left open", func() bool { return descriptors(t) <= before })
}

// Whether a socket blocks is one and the same for all processes that have it, and another
// service may make it block.
func TestASharedSocketThatIsMadeToBlockHoldsUpNobody(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	s := start(t)
	l, err := server.Passed(passedFile(t, tcp.(*net.TCPListener)), false)
	if err != nil {
		t.Fatal(err)
	}
	s.serve(l)
	other := s.connect("tcp4")
	raw, err := tcp.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		raw.Control(func(fd uintptr) { err = unix.SetNonblock(int(fd), false) })
		conn, dialErr := net.Dial("tcp", tcp.Addr().String())
		if err := errors.Join(err, dialErr); err != nil {
			t.Fatal(err)
		}
		other.ask("i x", "0 Lock Not Locked: x\n")
		conn.Close()
	}
}
