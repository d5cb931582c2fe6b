package systemd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	journalPath = "/run/systemd/journal/socket"
	// journalWait bounds how long a record waits for a journal that is behind.
	journalWait = time.Second
	// journalPause is how long a journal that was waited for in vain is not
	// tried again, so that a stuck one costs each who logs no second a line.
	journalPause = 10 * time.Second
)

var errJournalStuck = errors.New("journal did not take a record in time")

// journalSocket is a connection to the journal, made when needed.
//
// It stands in for go-systemd's journal.Send, which has no time limit and
// sends from an unconnected socket: for those the kernel reports "writable"
// while the journal's queue is full, and the process spins on it.
type journalSocket struct {
	path        string
	wait, pause time.Duration // journalWait, journalPause

	mu     sync.Mutex
	conn   *net.UnixConn // guarded by mu; nil before the first use and after an error
	paused time.Time     // guarded by mu; no attempt before this time
}

// send gives the journal one encoded entry.
func (s *journalSocket) send(entry []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.paused) {
		return errJournalStuck
	}
	err := s.attempt(entry)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.paused = time.Now().Add(s.pause)
		return fmt.Errorf("%w: %w", errJournalStuck, err)
	}
	if err != nil {
		// A journal whose socket was made anew refuses the old connection.
		err = s.attempt(entry)
	}
	return err
}

func (s *journalSocket) attempt(entry []byte) error {
	if s.conn == nil {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.path, Net: "unixgram"})
		if err != nil {
			return fmt.Errorf("connect to journal: %w", err)
		}
		s.conn = conn
	}
	if err := s.write(entry); err != nil {
		s.conn.Close()
		s.conn = nil
		return fmt.Errorf("send to journal: %w", err)
	}
	return nil
}

func (s *journalSocket) write(entry []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.wait)); err != nil {
		return err
	}
	_, err := s.conn.Write(entry)
	if !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ENOBUFS) {
		return err
	}
	// Larger than a datagram may be: the journal takes a file instead.
	file, err := sealedFile(entry)
	if err != nil {
		return err
	}
	defer file.Close()
	return s.passFile(file)
}

// passFile does what net.UnixConn refuses to do on a connected datagram socket.
func (s *journalSocket) passFile(file *os.File) error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	rights := unix.UnixRights(int(file.Fd()))
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), nil, rights, nil, 0)
		return !errors.Is(sent, unix.EAGAIN)
	})
	return errors.Join(err, sent)
}

// encodeEntry writes an entry in the journal's native protocol. Where several
// attrs have one field name the last of them is taken.
func encodeEntry(priority int, message string, attrs []journalAttr) []byte {
	entry := appendField(nil, "PRIORITY", strconv.Itoa(priority))
	entry = appendField(entry, "SYSLOG_IDENTIFIER", identifier)
	entry = appendField(entry, "MESSAGE", message)
	last := make(map[string]int, len(attrs))
	for i, a := range attrs {
		last[a.field] = i
	}
	for i, a := range attrs {
		if last[a.field] == i {
			entry = appendField(entry, a.field, a.value)
		}
	}
	return entry
}

func appendField(entry []byte, name, value string) []byte {
	entry = append(entry, name...)
	if strings.Contains(value, "\n") {
		entry = append(entry, '\n')
		entry = binary.LittleEndian.AppendUint64(entry, uint64(len(value)))
	} else {
		entry = append(entry, '=')
	}
	entry = append(entry, value...)
	return append(entry, '\n')
}
