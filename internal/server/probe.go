package server

import (
	"bytes"
	"errors"

	"lockd/internal/protocol"
)

// Probe has the server answer a command to itself, uncounted, which takes it
// through every part of the table and the gate, and looks whether the loops run
// that serve the clients. A server that cannot, does not return. It is what a
// watchdog asks.
func (s *Server) Probe() error {
	c := newConn(s, nil, "probe", TCP)
	c.stripe = new(stripe) // thrown away
	c.settings = s.settings.Load()
	c.execute([]byte(protocol.Stats.String()))
	if !bytes.Contains(c.out, []byte("\nconnections: ")) {
		return errors.New("server does not answer its own command")
	}
	s.outputs.put(c.out)
	s.poller.probe()
	return nil
}
