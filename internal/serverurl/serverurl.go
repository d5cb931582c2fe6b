// Package serverurl reads the URLs by which programs name the server that they want.
package serverurl

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// A Form is what URLs may look like. It is safe for use by any goroutine.
type Form struct {
	// Ports has the schemes of servers that have a host, and the port of each where
	// the URL has none. The scheme unix there is always.
	Ports map[string]string
	// Want lists the forms, for an error.
	Want string
}

// Parse takes SCHEME://HOST[:PORT], HOST[:PORT] for the scheme tcp, or unix:///PATH.
// It returns the scheme and HOST:PORT or the path. Errors name the text and say what
// would be right.
func (f Form) Parse(text string) (scheme, target string, err error) {
	full := text
	if !strings.Contains(full, "://") {
		full = "tcp://" + full
	}
	if scheme, target, err = f.split(full); err != nil {
		return "", "", fmt.Errorf("address %q: %w", full, err)
	}
	return scheme, target, nil
}

func (f Form) split(text string) (scheme, target string, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", "", errors.Unwrap(err) // without the text a second time
	}
	if port, known := f.Ports[u.Scheme]; known {
		target, err = hostPort(u, port)
		return u.Scheme, target, err
	}
	switch {
	case u.Scheme != "unix":
		return "", "", errors.New("want " + f.Want)
	case u.Host != "" || len(u.Path) < 2:
		return "", "", errors.New("the path must be absolute; want unix:///PATH, with three slashes")
	}
	return u.Scheme, u.Path, nil
}

func hostPort(u *url.URL, defaultPort string) (string, error) {
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return "", fmt.Errorf("nothing may follow the port; want %s://HOST:PORT", u.Scheme)
	}
	if strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") {
		return "", errors.New("an IPv6 address goes in brackets: [::1]:9999")
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("port %s is not between 0 and 65535", port)
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}
