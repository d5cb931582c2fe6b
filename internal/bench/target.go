package bench

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// A Kind is what a target speaks.
type Kind int

// What targets speak.
const (
	Lockd     Kind = iota // lockd's protocol, of whatever level
	Echo                  // answers with what it is sent
	Redis                 // RESP
	Memcached             // its text protocol
)

// A Target is a server to measure.
type Target struct {
	Name    string // for people, and unique among the targets
	Kind    Kind
	Network string // tcp, unix or ws; "" for an echo server that is yet to be started
	Address string // HOST:PORT or a path
	PID     int    // of its process, for its CPU time; 0 to look for it
}

// ParseTarget takes tcp://HOST[:PORT], unix:///PATH, ws://HOST[:PORT],
// redis://HOST[:PORT], memcached://HOST[:PORT] or the word echo.
func ParseTarget(text string) (Target, error) {
	if text == "echo" {
		return Target{Name: text, Kind: Echo}, nil
	}
	full := text
	if !strings.Contains(text, "://") {
		full = "tcp://" + text
	}
	t, err := parseURL(full)
	if err != nil {
		return t, fmt.Errorf("address %q: %w", text, err)
	}
	t.Name = full
	return t, nil
}

func parseURL(text string) (Target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Target{}, errors.Unwrap(err) // without the text a second time
	}
	switch u.Scheme {
	case "tcp":
		return hostPort(u, Target{Network: "tcp"}, "9999")
	case "ws":
		return hostPort(u, Target{Network: "ws"}, "9998")
	case "redis":
		return hostPort(u, Target{Network: "tcp", Kind: Redis}, "6379")
	case "memcached":
		return hostPort(u, Target{Network: "tcp", Kind: Memcached}, "11211")
	case "unix":
		if u.Host != "" || len(u.Path) < 2 {
			return Target{}, errors.New("the path must be absolute; want unix:///PATH, with three slashes")
		}
		return Target{Network: "unix", Address: u.Path}, nil
	}
	return Target{}, errors.New("want tcp://HOST:PORT, unix:///PATH, ws://HOST:PORT, redis://HOST:PORT, memcached://HOST:PORT or echo")
}

func hostPort(u *url.URL, t Target, defaultPort string) (Target, error) {
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return t, fmt.Errorf("want no more than %s://HOST:PORT", u.Scheme)
	}
	if strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") {
		return t, errors.New("an IPv6 address goes in brackets: [::1]:9999")
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return t, fmt.Errorf("port %s is not between 0 and 65535", port)
	}
	t.Address = net.JoinHostPort(u.Hostname(), port)
	return t, nil
}

// ErrUnfit is that a target knows nothing like one of the operations.
var ErrUnfit = errors.New("no such operation")

// Fits is an error, ErrUnfit, where the target has nothing like an operation of a
// mix.
func (t Target) Fits(m Mix) error {
	for _, w := range m {
		if w.operation.stepsFor(t.Kind) == nil {
			return fmt.Errorf("%s: %w: it has nothing like %s", t.Name, ErrUnfit, w.operation.name)
		}
	}
	return nil
}
