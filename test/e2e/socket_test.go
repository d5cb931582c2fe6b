package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestSocketStartsTheService(t *testing.T) {
	tests := []struct {
		name, network, address string
		me                     *regexp.Regexp
	}{
		{"TCP over IPv4", "tcp", "127.0.0.1:9999", regexp.MustCompile(`^1 (127\.0\.0\.1:\d+) (127\.0\.0\.1:\d+)$`)},
		{"TCP over IPv6", "tcp", "[::1]:9999", regexp.MustCompile(`^1 (\[::1\]:\d+) (\[::1\]:\d+)$`)},
		{"Unix socket", "unix", "/run/lockd.sock", regexp.MustCompile(`^1 unix:1 unix:1$`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := boot(t)
			m.run("systemctl", "start", "lockd.socket")
			m.wantProperty("ActiveState", "inactive")
			c := m.connect(tt.network, tt.address)
			c.want("g foo", "1 Lock Get Success: foo")
			if me := c.ask("me"); !tt.me.MatchString(me) {
				t.Errorf("me: answered %q, want a match of %v", me, tt.me)
			}
			m.wantProperty("ActiveState", "active")
		})
	}
}

func TestUnixSocketIsForTheGroupLockd(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.socket")
	if got := m.run("stat", "-c", "%A %U %G", "/run/lockd.sock"); got != "srw-rw---- root lockd" {
		t.Errorf("/run/lockd.sock is %s", got)
	}
}

func TestStoppedServiceIsStartedByTheNextConnection(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.socket", "lockd.service")
	m.run("systemctl", "stop", "lockd.service")
	m.wantProperty("ActiveState", "inactive")
	m.connect("unix", "/run/lockd.sock").want("g foo", "1 Lock Get Success: foo")
	m.wantProperty("ActiveState", "active")
}

func TestStoppingServiceAndSocketEndsBoth(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd.socket", "lockd.service")
	m.run("systemctl", "stop", "lockd.socket", "lockd.service")
	for network, address := range map[string]string{"tcp": "127.0.0.1:9999", "unix": "/run/lockd.sock"} {
		if conn, err := m.dial(t.Context(), network, address); err == nil {
			conn.Close()
			t.Errorf("%s still accepts", address)
		}
	}
}

func TestEnabledSocketIsOpenedWithTheService(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "enable", "--now", "lockd.service")
	if got := m.run("systemctl", "is-enabled", "lockd.socket"); got != "enabled" {
		t.Errorf("lockd.socket is %s along with lockd.service", got)
	}
	m.connect("unix", "/run/lockd.sock").want("g foo", "1 Lock Get Success: foo")
	m.connect("tcp", "127.0.0.1:9999").want("i foo", "1 Lock Is Locked: foo")
}

func TestDisabledSocketLeavesListenToTheConfiguration(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "enable", "lockd.service")
	m.run("systemctl", "disable", "lockd.socket")
	m.configure("listen: ['tcp://127.0.0.1:7000']\n")
	m.run("systemctl", "start", "lockd.service")
	m.connect("tcp", "127.0.0.1:7000").want("g foo", "1 Lock Get Success: foo")
	if got, _ := m.try("systemctl", "is-active", "lockd.socket"); got != "inactive" {
		t.Errorf("lockd.socket is %s", got)
	}
}

func TestHTTPSocketServesHealthAndMetrics(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd-http.socket")
	web := m.httpClient()
	for path, want := range map[string]string{"/healthz": "", "/readyz": "", "/metrics": "lockd_build_info{"} {
		m.eventually(path+" answers", func() bool {
			status, body := get(t, web, "http://127.0.0.1:9996"+path)
			return status == http.StatusOK && strings.Contains(body, want)
		})
	}
	// Only `http` was passed: `listen` has its default.
	m.connect("tcp", "127.0.0.1:9999").want("g foo", "1 Lock Get Success: foo")
}

func (m *machine) httpClient() *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return m.dial(ctx, network, address)
	}}
	m.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: deadline}
}

func get(t *testing.T, web *http.Client, url string) (status int, body string) {
	t.Helper()
	response, err := web.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(all)
}

func TestWebSocketSocketServesTheProtocol(t *testing.T) {
	m := boot(t)
	m.run("systemctl", "start", "lockd-ws.socket")
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:9998/", &websocket.DialOptions{HTTPClient: m.httpClient()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("g foo")); err != nil {
		t.Fatal(err)
	}
	if _, reply, err := conn.Read(ctx); err != nil || string(reply) != "1 Lock Get Success: foo\n" {
		t.Errorf("g foo: answered %q, %v", reply, err)
	}
}

func TestAllSocketsTogether(t *testing.T) {
	m := boot(t)
	m.configure("shutdown:\n  grace: 500ms\n")
	m.run("systemctl", "start", "lockd.socket", "lockd-http.socket", "lockd-ws.socket", "lockd.service")
	m.connect("tcp", "127.0.0.1:9999").want("g foo", "1 Lock Get Success: foo")
	m.connect("unix", "/run/lockd.sock").want("i foo", "1 Lock Is Locked: foo")
	if status, _ := get(t, m.httpClient(), "http://127.0.0.1:9996/readyz"); status != http.StatusOK {
		t.Errorf("/readyz answers %d", status)
	}
	m.run("systemctl", "restart", "lockd.service")
	m.connect("tcp", "127.0.0.1:9999").want("i foo", "0 Lock Not Locked: foo")
}

func TestSocketOfAnotherNameIsRefused(t *testing.T) {
	m := boot(t)
	m.write("/etc/systemd/system/lockd-odd.socket", "[Socket]\nService=lockd.service\nListenStream=127.0.0.1:7000\nFileDescriptorName=odd\n")
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "start", "lockd-odd.socket")
	if _, ok := m.try("systemctl", "start", "lockd.service"); ok {
		t.Error("lockd started with a socket it does not know")
	}
	if out := m.run("journalctl", "--unit=lockd", "--output=cat"); !strings.Contains(out, "odd") {
		t.Errorf("the journal does not name the socket:\n%s", out)
	}
}

func TestWaitingConnectionDoesNotStartABrokenServiceForEver(t *testing.T) {
	m := boot(t)
	m.configure("no_such_key: 1\n")
	m.run("systemctl", "start", "lockd.socket")
	conn, err := m.dial(t.Context(), "tcp", "127.0.0.1:9999")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m.eventually("systemd has given up", func() bool {
		return m.run("systemctl", "show", "--value", "--property=Result", "lockd.socket") != "success"
	})
	if err := conn.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a service that cannot start has answered")
	}

	// And with the mistake corrected all is well again.
	m.configure("")
	m.run("systemctl", "start", "lockd.socket", "lockd.service")
	m.connect("unix", "/run/lockd.sock").want("g foo", "1 Lock Get Success: foo")
}
