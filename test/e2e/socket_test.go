package e2e_test

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

	"lockd/test/machine"
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
			onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
				m.Run("systemctl", "start", "lockd.socket")
				m.WantProperty("ActiveState", "inactive")
				c := m.Connect(tt.network, tt.address)
				c.Want("g foo", "1 Lock Get Success: foo")
				if me := c.Ask("me"); !tt.me.MatchString(me) {
					t.Errorf("me: answered %q, want a match of %v", me, tt.me)
				}
				// The server serves before systemd has taken notice that it does.
				m.Eventually("the service is active", func() bool { return m.Property("ActiveState") == "active" })
			})
		})
	}
}

func TestUnixSocketIsForTheGroupLockd(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.socket")
		if got := m.Run("stat", "-c", "%A %U %G", "/run/lockd.sock"); got != "srw-rw---- root lockd" {
			t.Errorf("/run/lockd.sock is %s", got)
		}
	})
}

func TestStoppedServiceIsStartedByTheNextConnection(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.socket", "lockd.service")
		m.Run("systemctl", "stop", "lockd.service")
		m.WantProperty("ActiveState", "inactive")
		m.Connect("unix", "/run/lockd.sock").Want("g foo", "1 Lock Get Success: foo")
		m.WantProperty("ActiveState", "active")
	})
}

func TestStoppingServiceAndSocketEndsBoth(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.socket", "lockd.service")
		m.Run("systemctl", "stop", "lockd.socket", "lockd.service")
		for network, address := range map[string]string{"tcp": "127.0.0.1:9999", "unix": "/run/lockd.sock"} {
			if conn, err := m.Dial(t.Context(), network, address); err == nil {
				conn.Close()
				t.Errorf("%s still accepts", address)
			}
		}
	})
}

func TestEnabledSocketIsOpenedWithTheService(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "enable", "--now", "lockd.service")
		if got := m.Run("systemctl", "is-enabled", "lockd.socket"); got != "enabled" {
			t.Errorf("lockd.socket is %s along with lockd.service", got)
		}
		m.Connect("unix", "/run/lockd.sock").Want("g foo", "1 Lock Get Success: foo")
		m.Connect("tcp", "127.0.0.1:9999").Want("i foo", "1 Lock Is Locked: foo")
	})
}

func TestDisabledSocketLeavesListenToTheConfiguration(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "enable", "lockd.service")
		m.Run("systemctl", "disable", "lockd.socket")
		m.Configure("listen: ['tcp://127.0.0.1:7000']\n")
		m.Run("systemctl", "start", "lockd.service")
		m.Connect("tcp", "127.0.0.1:7000").Want("g foo", "1 Lock Get Success: foo")
		if got, _ := m.Try("systemctl", "is-active", "lockd.socket"); got != "inactive" {
			t.Errorf("lockd.socket is %s", got)
		}
	})
}

func TestHTTPSocketServesHealthAndMetrics(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd-http.socket")
		web := httpClient(t, m)
		for path, want := range map[string]string{"/healthz": "", "/readyz": "", "/metrics": "lockd_build_info{"} {
			m.Eventually(path+" answers", func() bool {
				status, body := get(t, web, "http://127.0.0.1:9996"+path)
				return status == http.StatusOK && strings.Contains(body, want)
			})
		}
		// Only `http` was passed: `listen` has its default.
		m.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
	})
}

func httpClient(t *testing.T, m *machine.Machine) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return m.Dial(ctx, network, address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: machine.Deadline}
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
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd-ws.socket")
		ctx, cancel := context.WithTimeout(t.Context(), machine.Deadline)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:9998/", &websocket.DialOptions{HTTPClient: httpClient(t, m)})
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
	})
}

func TestAllSocketsTogether(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Configure("shutdown:\n  grace: 500ms\n")
		m.Run("systemctl", "start", "lockd.socket", "lockd-http.socket", "lockd-ws.socket", "lockd.service")
		m.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
		m.Connect("unix", "/run/lockd.sock").Want("i foo", "1 Lock Is Locked: foo")
		if status, _ := get(t, httpClient(t, m), "http://127.0.0.1:9996/readyz"); status != http.StatusOK {
			t.Errorf("/readyz answers %d", status)
		}
		m.Run("systemctl", "restart", "lockd.service")
		m.Connect("tcp", "127.0.0.1:9999").Want("i foo", "0 Lock Not Locked: foo")
	})
}

func TestSocketOfAnotherNameIsRefused(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Write("/etc/systemd/system/lockd-odd.socket", "[Socket]\nService=lockd.service\nListenStream=127.0.0.1:7000\nFileDescriptorName=odd\n")
		m.Run("systemctl", "daemon-reload")
		m.Run("systemctl", "start", "lockd-odd.socket")
		if _, ok := m.Try("systemctl", "start", "lockd.service"); ok {
			t.Error("lockd started with a socket it does not know")
		}
		if out := m.Run("journalctl", "--unit=lockd", "--output=cat"); !strings.Contains(out, "odd") {
			t.Errorf("the journal does not name the socket:\n%s", out)
		}
	})
}

func TestWaitingConnectionDoesNotStartABrokenServiceForEver(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Configure("no_such_key: 1\n")
		m.Run("systemctl", "start", "lockd.socket")
		conn, err := m.Dial(t.Context(), "tcp", "127.0.0.1:9999")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		m.Eventually("systemd has given up", func() bool {
			return m.Run("systemctl", "show", "--value", "--property=Result", "lockd.socket") != "success"
		})
		if err := conn.SetReadDeadline(time.Now().Add(machine.Deadline)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a service that cannot start has answered")
		}

		// And with the mistake corrected all is well again.
		m.Configure("")
		m.Run("systemctl", "start", "lockd.socket", "lockd.service")
		m.Connect("unix", "/run/lockd.sock").Want("g foo", "1 Lock Get Success: foo")
	})
}
