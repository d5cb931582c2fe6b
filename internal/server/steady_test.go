package server_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

const (
	steadyRounds  = 2000 // of each of the steady client's turns
	networkOfTest = "LOCKD_TEST_NETWORK"
)

// steadyCommands are commands of every kind that costs nothing but time, 96 of
// them, and steadyPipeline is how many are sent at once.
var steadyCommands = strings.Repeat("g a lock\ng a lock\ni a lock\nr a lock\nsg a lock\nsi a lock\nsr a lock\nr a lock\nme\nnothing\ni x\nsg x\n", 8)

// steadyClient is a child that sends the same commands again and again, and
// pauses between turns until told.
func steadyClient() error {
	conn, err := net.Dial(os.Getenv(networkOfTest), os.Getenv(addressVariable))
	if err != nil {
		return err
	}
	defer conn.Close()
	commands := []byte(steadyCommands)
	replies := bytes.Count(commands, []byte("\n")) - bytes.Count(commands, []byte("nothing"))
	buf := make([]byte, 64<<10)
	return answer(func(string) (any, error) {
		for range steadyRounds {
			if _, err := conn.Write(commands); err != nil {
				return nil, err
			}
			for lines := 0; lines < replies; {
				n, err := conn.Read(buf)
				if err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				if err != nil {
					return nil, err
				}
				lines += bytes.Count(buf[:n], []byte("\n"))
			}
		}
		return fmt.Sprint(steadyRounds * bytes.Count(commands, []byte("\n"))), nil
	})
}
