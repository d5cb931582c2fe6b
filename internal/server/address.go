package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Transport is how a client is connected.
type Transport uint8

// The transports.
const (
	TCP Transport = iota
	Unix
	WebSocket
	numTransports
)

var transportNames = [numTransports]string{"tcp", "unix", "websocket"}

// String returns the transport's name as metrics and logs show it.
func (t Transport) String() string { return transportNames[t] }

// An Address is where a server listens.
type Address struct {
	Transport Transport
	HostPort  string      // of TCP and WebSocket; an empty host is every address
	Path      string      // of a Unix socket, absolute
	Mode      fs.FileMode // of a Unix socket's file
	Group     string      // that a Unix socket's file belongs to; "" leaves it
}

// defaultSocketMode lets the owner and the group connect.
const defaultSocketMode fs.FileMode = 0o660

// maxSocketPath is what the kernel has room for in a socket's address, less the
// NUL at its end.
const maxSocketPath = 107

// ParseAddress reads an address as the option listen has it:
//
//	tcp://[HOST]:PORT
//	ws://[HOST]:PORT
//	unix:///PATH?mode=0660&group=GROUP
func ParseAddress(text string) (Address, error) {
	a, err := parseAddress(text)
	if err != nil {
		return Address{}, fmt.Errorf("listen address %q: %w", text, err)
	}
	return a, nil
}

func parseAddress(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil {
		err = errors.Unwrap(err) // without the text a second time
	}
	switch {
	case err == nil && u.Scheme == "tcp" && u.Opaque == "":
		return hostPort(TCP, u)
	case err == nil && u.Scheme == "ws" && u.Opaque == "":
		return hostPort(WebSocket, u)
	case err == nil && u.Scheme == "unix" && u.Opaque == "":
		return socketFile(u)
	case err != nil && strings.Contains(text, "://"):
		return Address{}, err
	}
	return Address{}, errors.New("want tcp://[HOST]:PORT, unix:///PATH or ws://[HOST]:PORT")
}

func hostPort(t Transport, u *url.URL) (Address, error) {
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return Address{}, fmt.Errorf("nothing may follow the port; want %s://[HOST]:PORT", u.Scheme)
	}
	if strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") {
		return Address{}, fmt.Errorf("an IPv6 address stands in brackets; want %s://[::1]:PORT", u.Scheme)
	}
	port := u.Port()
	if port == "" {
		return Address{}, fmt.Errorf("no port; want %s://[HOST]:PORT", u.Scheme)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("port %s is not between 0 and 65535", port)
	}
	return Address{Transport: t, HostPort: net.JoinHostPort(u.Hostname(), strconv.FormatUint(n, 10))}, nil
}

func socketFile(u *url.URL) (Address, error) {
	if u.Host != "" || u.User != nil || len(u.Path) < 2 {
		return Address{}, errors.New("the path must be absolute; want unix:///PATH, with three slashes")
	}
	if u.Fragment != "" || strings.ContainsRune(u.Path, 0) {
		return Address{}, errors.New("the path has a NUL, or a # that does not stand as %23")
	}
	if len(u.Path) > maxSocketPath {
		return Address{}, fmt.Errorf("the path has %d bytes, a socket's may have %d", len(u.Path), maxSocketPath)
	}
	a := Address{Transport: Unix, Path: u.Path, Mode: defaultSocketMode}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Address{}, err
	}
	for key, values := range options {
		value := values[len(values)-1]
		switch key {
		case "mode":
			mode, err := strconv.ParseUint(value, 8, 32)
			if err != nil || mode > 0o777 {
				return Address{}, fmt.Errorf("mode %q is not an octal file mode like 0660", value)
			}
			a.Mode = fs.FileMode(mode)
		case "group":
			a.Group = value
		default:
			return Address{}, fmt.Errorf("unknown option %q; known are mode and group", key)
		}
	}
	return a, nil
}

// String returns the address in the form that ParseAddress reads.
func (a Address) String() string {
	switch a.Transport {
	case TCP:
		return (&url.URL{Scheme: "tcp", Host: a.HostPort}).String()
	case WebSocket:
		return (&url.URL{Scheme: "ws", Host: a.HostPort}).String()
	}
	u := url.URL{Scheme: "unix", Path: a.Path}
	options := url.Values{}
	if a.Mode != defaultSocketMode {
		options.Set("mode", fmt.Sprintf("%#o", uint32(a.Mode)))
	}
	if a.Group != "" {
		options.Set("group", a.Group)
	}
	u.RawQuery = options.Encode()
	return u.String()
}
