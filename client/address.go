package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DefaultAddress is the server that an empty address means.
const DefaultAddress = "tcp://127.0.0.1:9999"

// An address is where a server is, in the words of package net.
type address struct {
	text    string // for people
	network string // tcp, unix or ws
	target  string // HOST:PORT or a path
}

func parseAddress(text string) (address, error) {
	if text == "" {
		text = DefaultAddress
	}
	if !strings.Contains(text, "://") {
		text = "tcp://" + text
	}
	a, err := splitURL(text)
	if err != nil {
		return a, fmt.Errorf("address %q: %w", text, err)
	}
	return a, nil
}

func splitURL(text string) (address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return address{}, errors.Unwrap(err) // without the text a second time
	}
	switch u.Scheme {
	case "tcp":
		return hostPort(u, "9999")
	case "ws":
		return hostPort(u, "9998")
	case "unix":
		if u.Host != "" || len(u.Path) < 2 {
			return address{}, errors.New("the path must be absolute; want unix:///PATH, with three slashes")
		}
		return address{text, "unix", u.Path}, nil
	}
	return address{}, errors.New("want tcp://HOST:PORT, unix:///PATH or ws://HOST:PORT")
}

func hostPort(u *url.URL, defaultPort string) (address, error) {
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return address{}, fmt.Errorf("nothing may follow the port; want %s://HOST:PORT", u.Scheme)
	}
	if strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") {
		return address{}, errors.New("an IPv6 address goes in brackets: [::1]:9999")
	}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return address{}, fmt.Errorf("port %s is not between 0 and 65535", port)
	}
	target := net.JoinHostPort(u.Hostname(), port)
	return address{u.Scheme + "://" + target, u.Scheme, target}, nil
}

// A server that is gone without a word is noticed after 30 s, not after Go's
// 151 s: what believes to hold a lock must not go on much longer than the
// server lets it.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 3
)

// NetDial opens a connection of the networks tcp and unix. It is the Dial of
// [Options] that give none.
func NetDial(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "ws" {
		return nil, errors.New("ws:// needs Options.Dial; set it to Dial of package lockd/client/websocket")
	}
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable:   true,
		Idle:     keepAliveIdle,
		Interval: keepAliveInterval,
		Count:    keepAliveCount,
	}}
	return d.DialContext(ctx, network, address)
}
