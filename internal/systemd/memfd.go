package systemd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// sealedFile returns a memory file with data that nobody can change any more;
// the journal accepts no other.
func sealedFile(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("lockd-journal", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create memory file: %w", err)
	}
	file := os.NewFile(uintptr(fd), "lockd-journal")
	if _, err := file.Write(data); err != nil {
		file.Close()
		return nil, fmt.Errorf("fill memory file: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		file.Close()
		return nil, fmt.Errorf("seal memory file: %w", err)
	}
	return file, nil
}
