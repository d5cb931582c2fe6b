package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"lockd/client"
)

// Root may use every socket, so a script that root runs cannot show this.
func TestASocketOfOthersIsNoServerThatDoesNotRun(t *testing.T) {
	for _, tt := range []struct {
		network string
		err     error
		hint    string
	}{
		{"unix", syscall.EACCES, "who may use the socket"},
		{"unix", syscall.ENOENT, "does it run"},
		{"tcp", syscall.EACCES, "does it run"}, // a firewall of this machine
	} {
		dial := &net.OpError{Op: "dial", Net: tt.network, Err: tt.err}
		var exit *exitError
		if err := explain(fmt.Errorf("connect: %w: %w", client.ErrUnreachable, dial)); !errors.As(err, &exit) {
			t.Fatalf("%v has no hint", err)
		}
		if exit.code != exitUnreachable || !strings.Contains(exit.hint, tt.hint) {
			t.Errorf("%s, %v: code %d, hint %q, want %d and %q", tt.network, tt.err, exit.code, exit.hint, exitUnreachable, tt.hint)
		}
	}
}
