package client

import (
	"cmp"
	"context"
	"errors"
	"net"
	"time"

	"lockd/internal/serverurl"
)

// DefaultAddress is the server that an empty address means.
const DefaultAddress = "tcp://127.0.0.1:9999"

// An address is where a server is, in the words of package net.
type address struct {
	text    string // for people
	network string // tcp, unix or ws
	target  string // HOST:PORT or a path
}

var addressForm = serverurl.Form{
	Ports: map[string]string{"tcp": "9999", "ws": "9998"},
	Want:  "tcp://HOST:PORT, unix:///PATH or ws://HOST:PORT",
}

func parseAddress(text string) (address, error) {
	network, target, err := addressForm.Parse(cmp.Or(text, DefaultAddress))
	if err != nil {
		return address{}, err
	}
	return address{network + "://" + target, network, target}, nil
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
