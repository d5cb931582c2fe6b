package bench

import (
	"errors"
	"fmt"
	"strings"

	"lockd/internal/serverurl"
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

var targetForm = serverurl.Form{
	Ports: map[string]string{"tcp": "9999", "ws": "9998", "redis": "6379", "memcached": "11211"},
	Want:  "tcp://HOST:PORT, unix:///PATH, ws://HOST:PORT, redis://HOST:PORT, memcached://HOST:PORT or echo",
}

// ParseTarget takes tcp://HOST[:PORT], unix:///PATH, ws://HOST[:PORT],
// redis://HOST[:PORT], memcached://HOST[:PORT] or the word echo.
func ParseTarget(text string) (Target, error) {
	if text == "echo" {
		return Target{Name: text, Kind: Echo}, nil
	}
	scheme, address, err := targetForm.Parse(text)
	if err != nil {
		return Target{}, err
	}
	t := Target{Name: text, Network: scheme, Address: address}
	switch scheme {
	case "redis":
		t.Network, t.Kind = "tcp", Redis
	case "memcached":
		t.Network, t.Kind = "tcp", Memcached
	}
	if !strings.Contains(text, "://") {
		t.Name = "tcp://" + text
	}
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
