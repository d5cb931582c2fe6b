package bench

import (
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
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

func processTime(pid int) cpuTime {
	if pid == 0 {
		return cpuTime{}
	}
	p, err := procfs.NewProc(pid)
	if err != nil {
		return cpuTime{}
	}
	stat, err := p.Stat()
	return cpuTime{time.Duration(stat.CPUTime() * float64(time.Second)), err == nil}
}

// processOf finds the process at the other end of a connection by its listening
// socket. It is 0 where that is elsewhere, is not ours to see, or is several.
func processOf(conn net.Conn) int {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	var inode uint64
	switch remote := conn.RemoteAddr().(type) {
	case *net.UnixAddr:
		inode = unixInode(proc, remote.Name)
	case *net.TCPAddr:
		local, ok := conn.LocalAddr().(*net.TCPAddr)
		if ok && (remote.IP.IsLoopback() || remote.IP.Equal(local.IP)) {
			inode = tcpInode(proc, remote)
		}
	}
	if inode == 0 {
		return 0
	}
	pids := socketOwners(proc, inode)
	if len(pids) > 1 { // systemd keeps the sockets that it passes
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == 1 })
	}
	if len(pids) != 1 {
		return 0
	}
	return pids[0]
}

// unixInode finds the listening socket of a path. It is 0 where there is none.
func unixInode(proc procfs.FS, path string) uint64 {
	const listening = 1 << 16 // __SO_ACCEPTCON
	sockets, err := proc.NetUNIX()
	if err != nil {
		return 0
	}
	for _, s := range sockets.Rows {
		if s.Flags == listening && s.Path == path {
			return s.Inode
		}
	}
	return 0
}

// tcpInode finds the socket that listens on an address, or else on all addresses. It is
// 0 where there is none.
func tcpInode(proc procfs.FS, address *net.TCPAddr) (inode uint64) {
	const listening = 10 // TCP_LISTEN
	//lint:ignore SA1019 netlink would be faster with very many sockets, but this is done once
	lists := []func() (procfs.NetTCP, error){proc.NetTCP, proc.NetTCP6}
	for _, list := range lists {
		sockets, _ := list() // there may be no IPv6
		for _, s := range sockets {
			switch {
			case s.St != listening || s.LocalPort != uint64(address.Port):
			case s.LocalAddr.Equal(address.IP):
				return s.Inode
			case s.LocalAddr.IsUnspecified():
				inode = s.Inode
			}
		}
	}
	return inode
}

// socketOwners has the processes that have a socket open, as far as we may see.
func socketOwners(proc procfs.FS, inode uint64) (pids []int) {
	link := fmt.Sprintf("socket:[%d]", inode)
	all, _ := proc.AllProcs()
	for _, p := range all {
		files, _ := p.FileDescriptorTargets() // none of another's, or of one that is gone
		if slices.Contains(files, link) {
			pids = append(pids, p.PID)
		}
	}
	return pids
}
