package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A cpuTime is user and system time of a process, where it is known.
type cpuTime struct {
	time  time.Duration
	known bool
}

// per is µs for each of n operations, nil where that is not known.
func (c cpuTime) per(n int64) *float64 {
	if !c.known || n == 0 {
		return nil
	}
	v := float64(c.time.Nanoseconds()) / 1000 / float64(n)
	return &v
}

func (c cpuTime) since(before cpuTime) cpuTime {
	return cpuTime{c.time - before.time, c.known && before.known}
}

// A cpu is the time that both sides have used.
type cpu struct{ server, own cpuTime }

func (c cpu) since(before cpu) cpu {
	return cpu{c.server.since(before.server), c.own.since(before.own)}
}

func cpuTimes(pid int) cpu {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	own := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return cpu{server: processTime(pid), own: cpuTime{own, err == nil}}
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on all that Go runs on.
const tick = time.Second / 100

func processTime(pid int) cpuTime {
	if pid == 0 {
		return cpuTime{}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return cpuTime{}
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ") // a name may hold anything
	fields := strings.Fields(rest)
	const utime, stime = 11, 12 // counted from the state
	if len(fields) <= stime {
		return cpuTime{}
	}
	user, err1 := strconv.ParseInt(fields[utime], 10, 64)
	system, err2 := strconv.ParseInt(fields[stime], 10, 64)
	return cpuTime{time.Duration(user+system) * tick, errors.Join(err1, err2) == nil}
}

// processOf finds the process at the other end of a connection by its listening
// socket. It is 0 where that is elsewhere, is not ours to see, or is several.
func processOf(conn net.Conn) int {
	var inode string
	switch remote := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		inode = unixInode(remote.Name)
	case *net.TCPAddr:
		local, ok := conn.LocalAddr().(*net.TCPAddr)
		if ok && (remote.IP.IsLoopback() || remote.IP.Equal(local.IP)) {
			inode = tcpInode(remote.AddrPort())
		}
	}
	if inode == "" {
		return 0
	}
	pids := socketOwners(inode)
	if len(pids) > 1 { // systemd keeps the sockets that it passes
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == 1 })
	}
	if len(pids) != 1 {
		return 0
	}
	return pids[0]
}

// unixInode finds the listening socket of a path.
func unixInode(path string) string {
	const flags, inode, name = 3, 6, 7
	const listening = "00010000" // __SO_ACCEPTCON
	for fields := range tableLines("/proc/net/unix") {
		if len(fields) > name && fields[flags] == listening && fields[name] == path {
			return fields[inode]
		}
	}
	return ""
}

// tcpInode finds the socket that listens on an address, or else on all addresses.
func tcpInode(address netip.AddrPort) (inode string) {
	const local, state, number = 1, 3, 9
	const listening = "0A" // TCP_LISTEN
	want := netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for fields := range tableLines(table) {
			if len(fields) <= number || fields[state] != listening {
				continue
			}
			switch a := kernelAddress(fields[local]); {
			case a == want:
				return fields[number]
			case a.Port() == want.Port() && a.Addr().IsUnspecified():
				inode = fields[number]
			}
		}
	}
	return inode
}

// tableLines has the fields of each line of one of the kernel's tables.
func tableLines(path string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		text, err := os.ReadFile(path)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(text)) {
			if !yield(strings.Fields(line)) {
				return
			}
		}
	}
}

// kernelAddress takes an address as /proc/net/tcp has it: words of the machine's
// byte order in hexadecimal digits, a colon, the port.
func kernelAddress(text string) netip.AddrPort {
	ip, port, _ := strings.Cut(text, ":")
	number, err1 := strconv.ParseUint(port, 16, 16)
	raw, err2 := hex.DecodeString(ip)
	if errors.Join(err1, err2) != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(number))
}

// socketOwners has the processes that have a socket open, as far as we may see.
func socketOwners(inode string) (pids []int) {
	link := "socket:[" + inode + "]"
	dirs, _ := filepath.Glob("/proc/[0-9]*/fd") // the pattern is right
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // another's, or gone
		}
		has := slices.ContainsFunc(entries, func(e os.DirEntry) bool {
			to, err := os.Readlink(filepath.Join(dir, e.Name()))
			return err == nil && to == link
		})
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); has && err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
