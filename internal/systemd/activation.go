package systemd

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Sockets returns the sockets that the service manager passed to this process,
// by the names of FileDescriptorName=, and makes child processes not see them. A
// name that is not among the known ones is an error: a socket that nobody serves
// would leave its clients waiting.
func Sockets(known ...string) (map[string][]*os.File, error) {
	sockets := make(map[string][]*os.File)
	for _, f := range activation.Files(true) {
		if !slices.Contains(known, f.Name()) {
			return nil, fmt.Errorf("passed socket %q: unknown name; FileDescriptorName= must be one of %s",
				f.Name(), strings.Join(known, ", "))
		}
		sockets[f.Name()] = append(sockets[f.Name()], f)
	}
	return sockets, nil
}
