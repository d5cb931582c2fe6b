package client_test

import (
	"errors"
	"testing"

	"lockd/client"
)

// scripted returns a client of a server that a test makes up.
func scripted(t *testing.T, s script) *client.Client {
	t.Helper()
	return newClient(t, "", client.ClientOptions{Options: client.Options{Dial: s.dial}})
}

// checkLost wants that a lock is done for this reason.
func checkLost(t *testing.T, l *client.Lock, why error) {
	t.Helper()
	<-l.Done()
	if err := l.Err(); !errors.Is(err, why) {
		t.Errorf("the lock ended with %v, want %v", err, why)
	}
}
