package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ServeEcho serves an echo server on a free port of the loopback interface, for
// network ws by WebSocket, or, with network unix, on a socket in a directory of its
// own. It prints the address as a line and ends when stdin does, so that it does not
// outlive who has started it. It answers with what it reads: the least that a server
// in Go can do.
func ServeEcho(network string, stdin io.Reader, stdout io.Writer) error {
	l, clean, err := listenEcho(network)
	if err != nil {
		return err
	}
	defer clean()
	e := &echo{conns: make(map[net.Conn]struct{})}
	e.serveConn = e.answer
	if network == "ws" {
		e.serveConn = e.answerWebSocket
	}
	e.running.Go(func() { e.serve(l) })
	_, err = fmt.Fprintln(stdout, l.Addr())
	if err == nil {
		_, err = io.Copy(io.Discard, stdin)
	}
	l.Close()
	e.close()
	e.running.Wait()
	return err
}

func listenEcho(network string) (l net.Listener, clean func(), err error) {
	if network != "unix" {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return l, func() {}, err
	}
	dir, err := os.MkdirTemp("", "lockd-bench-")
	if err != nil {
		return nil, nil, err
	}
	l, err = net.Listen("unix", filepath.Join(dir, "echo.sock"))
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, err
	}
	return l, func() { os.RemoveAll(dir) }, nil
}

// acceptPause lies between two attempts to accept where one has failed.
const acceptPause = 10 * time.Millisecond

// An echo is an echo server.
type echo struct {
	serveConn func(net.Conn) // until the client leaves or the connection is closed
	running   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func (e *echo) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-time.After(acceptPause) // out of descriptors, maybe not for long
			continue
		}
		if !e.track(c) {
			return
		}
		e.running.Go(func() {
			defer e.forget(c)
			e.serveConn(c)
		})
	}
}

func (e *echo) track(c net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		c.Close()
		return false
	}
	e.conns[c] = struct{}{}
	return true
}

func (e *echo) forget(c net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
	c.Close()
}

func (e *echo) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for c := range e.conns {
		c.Close()
	}
}

// answer does what io.Copy does not do with two sockets: it reads and writes.
func (e *echo) answer(c net.Conn) {
	buffer := make([]byte, bufferBytes)
	for {
		n, err := c.Read(buffer)
		if n > 0 {
			if _, err := c.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// An EchoProcess is a process that runs ServeEcho.
type EchoProcess struct {
	Target Target
	cmd    *exec.Cmd
	stdin  io.Closer
}

// StartEcho starts a command that runs ServeEcho with the network.
func StartEcho(network string, cmd *exec.Cmd) (*EchoProcess, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("echo server: %w", err)
	}
	p := &EchoProcess{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("echo server: no address: %w", errors.Join(err, p.Close()))
	}
	p.Target = Target{
		Name: "echo", Kind: Echo, Network: network, Address: strings.TrimSuffix(line, "\n"), PID: cmd.Process.Pid,
	}
	return p, nil
}

// Close ends the process.
func (p *EchoProcess) Close() error {
	p.stdin.Close()
	return p.cmd.Wait()
}
