//go:build race

package state

// A process with the race detector takes five times as long to start and to end:
// fewer of them are killed, and each kill ends more servers.
const (
	kills             = 250
	serversPerProcess = 8
)
