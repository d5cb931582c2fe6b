package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lockd/internal/server"
)

// openListeners opens the configured addresses, equal ones once, and takes over
// the sockets that systemd passed. If one fails, none stays open.
func openListeners(ctx context.Context, addresses []string, sockets map[string][]*os.File) (opened []*server.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range opened {
				l.Close()
			}
			opened = nil
		}
	}()
	for _, name := range []string{"lockd", "ws"} {
		for _, f := range sockets[name] {
			l, err := server.Passed(f, name == "ws")
			if err != nil {
				return opened, err
			}
			opened = append(opened, l)
		}
	}
	seen := make(map[server.Address]bool)
	for _, text := range addresses {
		a, err := server.ParseAddress(text)
		if err != nil {
			return opened, err
		}
		if seen[a] {
			continue
		}
		seen[a] = true
		l, err := server.Listen(ctx, a)
		if err != nil {
			return opened, withOwnPortHint(withListenHint(err, a.HostPort), a.HostPort, opened)
		}
		opened = append(opened, l)
	}
	return opened, nil
}

// openHTTP opens the address of the HTTP endpoint, or takes over the socket that
// systemd passed. It returns nil where there is none.
func openHTTP(ctx context.Context, address string, sockets []*os.File) (net.Listener, error) {
	switch {
	case len(sockets) > 1 || len(sockets) == 1 && address != "":
		return nil, &exitError{
			err:  errors.New("more than one address for http; lockd serves one"),
			code: exitUsage, hint: "leave out http and --http, or disable lockd-http.socket",
		}
	case len(sockets) == 1:
		defer sockets[0].Close()
		l, err := net.FileListener(sockets[0])
		if err != nil {
			return nil, fmt.Errorf("passed socket http: %w", err)
		}
		return l, nil
	case address == "":
		return nil, nil
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		var failed *net.OpError
		if errors.As(err, &failed) {
			err = failed.Err // the rest stands before it already
		}
		return nil, withListenHint(fmt.Errorf("listen on http://%s: %w", address, err), address)
	}
	return l, nil
}

// withListenHint adds the way out of the errors that an admin meets.
func withListenHint(err error, hostPort string) error {
	hint := ""
	_, port, _ := net.SplitHostPort(hostPort)
	switch {
	case errors.Is(err, unix.EADDRINUSE) && port != "":
		hint = fmt.Sprintf("see who has the port with: ss -ltnp 'sport = :%s'", port)
	case errors.Is(err, unix.EACCES) && port != "":
		hint = "ports below 1024 need root or CAP_NET_BIND_SERVICE; or pick another port"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		hint = "no network interface of this machine has that address: see ip address"
	case errors.Is(err, unix.EACCES):
		hint = fileHint(err) + "; under systemd, lockd.socket can open it: ListenStream="
	default:
		hint = fileHint(err)
	}
	return &exitError{err: err, code: exitFailed, hint: hint}
}

// fileHint is the way out where a file, a socket or a descriptor cannot be made.
func fileHint(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		return "the limit on open files is low: raise it with ulimit -n or LimitNOFILE="
	case errors.Is(err, unix.EACCES):
		return fmt.Sprintf("uid %d, which this runs as, may not write there", os.Geteuid())
	case errors.Is(err, unix.EPERM):
		return "only root, or a member of the group, can give a socket to it"
	case errors.Is(err, unix.EROFS):
		return "the file system is read-only; under systemd, ProtectSystem= may be what makes it so"
	case errors.Is(err, unix.ENOENT):
		return "the directory must exist"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "the disk is full"
	}
	return ""
}

// withOwnPortHint replaces the hint where it is lockd itself that has the port.
func withOwnPortHint(err error, hostPort string, opened []*server.Listener) error {
	var hinted *exitError
	_, port, _ := net.SplitHostPort(hostPort)
	if !errors.As(err, &hinted) || !errors.Is(err, unix.EADDRINUSE) || port == "" {
		return err
	}
	for _, l := range opened {
		if strings.HasSuffix(l.String(), ":"+port) {
			hinted.hint = fmt.Sprintf("lockd itself has port %s already, at %s: by listen, http or a socket that systemd passed", port, l)
		}
	}
	return err
}

// httpURL is where the HTTP endpoint is found, as far as can be told from here.
func (d *daemon) httpURL() string {
	if d.http == nil {
		return ""
	}
	address := d.http.Addr()
	switch {
	case address.Network() == "unix":
		return "http+unix://" + address.String()
	case d.startedAs.HTTPWebConfig != "":
		return "http(s)://" + address.String() // the file may be changed at any time
	}
	return "http://" + address.String()
}
