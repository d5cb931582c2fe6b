package main

import "github.com/spf13/cobra"

const serverSignals = `SIGTERM and SIGINT close: new clients are not accepted, those who wait for a lock are told that
they will not get it, and the others are served until they leave, at most for shutdown.grace.
Then they are disconnected, which frees their locks. A second one disconnects them at once.

SIGHUP reads the configuration again. Connections and locks stay. A file with a mistake
changes nothing, and the log says what is wrong.

SIGQUIT ends the process at once and prints what every goroutine was doing.`

const serverExitCodes = `    0   closed by a signal
    1   failed: an address, the state directory or the pid file cannot be had
    2   wrong usage or a wrong configuration: trying again is useless`

// newServerPage is the page of the server, with everything that is not in its
// --help: who wants to know how a daemon behaves looks into section 8.
func newServerPage(root *cobra.Command, source manSource) *manPage {
	p := newManPage("lockd", "8", source)
	p.names("network lock server", "lockd", "lockd-serve")
	serve, _, err := root.Find([]string{"serve"})
	if err != nil {
		panic(err) // it is one of ours
	}
	p.heading("SYNOPSIS")
	p.line(bold("lockd") + roff(" [serve] [flags]"))
	p.line(".br")
	p.line(bold("lockd") + roff(" COMMAND [flags] [ARGUMENT]..."))
	p.heading("DESCRIPTION")
	p.prose(root.Long + "\n\n" + serve.Long)
	p.options(serve)
	p.commands(root)
	p.heading("SIGNALS")
	p.prose(serverSignals)
	p.heading("EXIT STATUS")
	p.prose(serverExitCodes)
	p.environment(serve)
	p.item(bold("NOTIFY_SOCKET")+", "+bold("WATCHDOG_USEC")+", "+bold("LISTEN_FDS")+", "+bold("STATE_DIRECTORY"),
		"Set by systemd, which is told of start, reload, close and signs of life, and which passes sockets and the state directory.")
	p.files()
	p.seeAlso(configPage, "lockd-run(1)", "lockd-ls(1)", "lockd-config(1)", "systemctl(1)", "systemd.socket(5)")
	return p
}

// commands lists the commands for everybody else.
func (p *manPage) commands(root *cobra.Command) {
	p.heading("COMMANDS")
	p.prose("Each has a page of its own.")
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "serve" && c.Name() != "help" {
			p.item(bold(pageName(c))+"(1)", c.Short+".")
		}
	}
}

func (p *manPage) files() {
	p.heading("FILES")
	for _, f := range [][2]string{
		{"/etc/lockd/lockd.yaml", "The configuration. It may be missing."},
		{"/run/lockd.sock", "The Unix socket that lockd.socket opens, for members of the group lockd."},
		{"/var/lib/lockd", "The state directory of lockd.service. It keeps fencing tokens rising over restarts."},
		{"/usr/lib/systemd/system/lockd.service", "The unit. Next to it are lockd.socket and, optional, lockd-http.socket and lockd-ws.socket."},
	} {
		p.item(italic(f[0]), f[1])
	}
}
