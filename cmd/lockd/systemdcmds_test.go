package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdListen opens a socket to be passed to servers, as systemd does:
// listen SOCKET HOST:PORT|/PATH|udp:HOST:PORT. It stays open to the script's end.
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	f, err := openSocket(args[1])
	ts.Check(err)
	stageOf(ts).sockets[args[0]] = f
}

// cmdOccupy is listen for sockets that nobody is passed.
func cmdOccupy(ts *testscript.TestScript, neg bool, args []string) {
	cmdListen(ts, neg, []string{args[0], args[0]})
}

func openSocket(where string) (*os.File, error) {
	if where, ok := strings.CutPrefix(where, "udp:"); ok {
		c, err := net.ListenPacket("udp", where)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.(*net.UDPConn).File()
	}
	if strings.HasPrefix(where, "/") {
		l, err := net.Listen("unix", where)
		if err != nil {
			return nil, err
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		defer l.Close()
		return l.(*net.UnixListener).File()
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.(*net.TCPListener).File()
}

// passSockets makes a command inherit sockets, each given as NAME=SOCKET.
func passSockets(ts *testscript.TestScript, cmd *exec.Cmd, pass []string) {
	if len(pass) == 0 {
		return
	}
	var names []string
	for _, p := range pass {
		name, socket, _ := strings.Cut(p, "=")
		f := stageOf(ts).sockets[socket]
		if f == nil {
			ts.Fatalf("no socket %q was opened", socket)
		}
		names = append(names, name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(pass)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
}

// execActivated becomes lockd with LISTEN_PID set, which only the process itself
// can know before it runs.
func execActivated() {
	os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	execLockd()
}

// A manager is the service manager's end of sd_notify.
type manager struct {
	conn *net.UnixConn
}

func (m *manager) close() { m.conn.Close() }

// cmdManager opens the socket of a service manager and sets its path in
// NOTIFY_SOCKET: manager.
func cmdManager(ts *testscript.TestScript, neg bool, _ []string) {
	mustNotNegate(ts, neg)
	path := ts.MkAbs("notify.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ts.Check(err)
	stageOf(ts).manager = &manager{conn: conn}
	ts.Setenv("NOTIFY_SOCKET", path)
}

// isRoutine tells what comes when it comes.
var isRoutine = regexp.MustCompile(`^(WATCHDOG=1|EXTEND_TIMEOUT_USEC=\d+|STATUS=.*)$`)

// cmdNotified holds the next thing the manager is told, all of it, against a
// regexp: notified REGEXP. Of what is routine, only what is wanted counts.
func cmdNotified(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	re, err := regexp.Compile(`^(?:` + args[0] + `)$`)
	ts.Check(err)
	for {
		told, err := stageOf(ts).manager.next()
		ts.Check(err)
		switch {
		case re.MatchString(told):
			fmt.Fprintln(ts.Stdout(), told)
			return
		case !isRoutine.MatchString(told):
			ts.Fatalf("the manager was told %q, want %q", told, re)
		}
	}
}

// cmdReload sends SIGHUP and waits until the manager was told that the reload is
// through: reload.
func cmdReload(ts *testscript.TestScript, neg bool, _ []string) {
	cmdSignal(ts, neg, []string{"HUP"})
	for told := ""; !strings.HasPrefix(told, "RELOADING=1\n"); {
		var err error
		told, err = stageOf(ts).manager.next()
		ts.Check(err)
	}
	cmdNotified(ts, false, []string{`READY=1\nSTATUS=.*`})
}

func (m *manager) next() (string, error) {
	m.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	n, err := m.conn.Read(buf)
	if err != nil {
		return "", fmt.Errorf("the manager was told nothing: %w", err)
	}
	return string(buf[:n]), nil
}
