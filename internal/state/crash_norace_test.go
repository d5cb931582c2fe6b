//go:build !race

package state

const (
	kills             = 2000
	serversPerProcess = 2
)
