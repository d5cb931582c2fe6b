package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lockd/internal/config"
)

// serveFlags are the flags that set the configuration from the command line.
type serveFlags struct {
	config          string
	listen, tcp     []string
	http            string
	disableDump     bool
	disableRegistry bool
	pidFile         string
	logLevel        string
	logFormat       string
	shutdownGrace   string
}

func newServeCmd(env environment) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve locks, in the foreground",
		Long: "Serve locks, in the foreground, until SIGTERM or SIGINT; a second one does not wait\n" +
			"for clients to leave. SIGHUP reads the configuration again. Flags stand above the\n" +
			"environment, that above the configuration file.\n\n" +
			"Exit codes:\n\n" +
			"    0   closed, as a signal had it\n" +
			"    1   failed\n" +
			"    2   wrong usage, or a wrong configuration",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), env, f.options(cmd.Flags(), env))
		},
	}
	f.bind(cmd.Flags())
	return cmd
}

func (f *serveFlags) bind(flags *pflag.FlagSet) {
	bindConfig(flags, &f.config)
	flags.StringArrayVar(&f.listen, "listen", nil, "`URL` to listen on: tcp://[HOST]:PORT, unix:///PATH?mode=0660&group=G or ws://[HOST]:PORT; may be repeated; replaces the configured list")
	flags.StringArrayVarP(&f.tcp, "tcp", "t", nil, "`[HOST:]PORT` to listen on, short for --listen tcp://[HOST]:PORT; may be repeated")
	flags.StringVar(&f.http, "http", "", "`ADDRESS` of metrics, health and status; empty switches them off")
	flags.BoolVar(&f.disableDump, "disable-dump", false, "refuse the commands that list locks and clients")
	flags.BoolVar(&f.disableRegistry, "disable-registry", false, "refuse the commands that name clients")
	flags.StringVarP(&f.pidFile, "pid-file", "p", "", "write the process id to `FILE`")
	flags.StringVar(&f.logLevel, "log-level", "", "least `LEVEL` to log: debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "", "`FORMAT` of the log: auto, text, color, json or journal")
	flags.StringVar(&f.shutdownGrace, "shutdown-grace", "", "how long a close waits for clients: `DURATION`, 0 or forever")
}

// options turns the flags that were given into what config.Load takes.
func (f *serveFlags) options(flags *pflag.FlagSet, env environment) config.Options {
	o := configOptions(f.config, env)
	set := func(flag, key string, values ...string) {
		if flags.Changed(flag) {
			o.Overrides = append(o.Overrides, config.Override{Key: key, Values: values, Origin: "flag --" + flag})
		}
	}
	listen := slices.Clone(f.listen)
	for _, t := range f.tcp {
		listen = append(listen, tcpAddress(t))
	}
	if flags.Changed("listen") { // the two make one list
		set("listen", "listen", listen...)
	} else {
		set("tcp", "listen", listen...)
	}
	set("http", "http", f.http)
	set("disable-dump", "features.dump", fmt.Sprint(!f.disableDump))
	set("disable-registry", "features.registry", fmt.Sprint(!f.disableRegistry))
	set("pid-file", "pid_file", f.pidFile)
	set("log-level", "log.level", f.logLevel)
	set("log-format", "log.format", f.logFormat)
	set("shutdown-grace", "shutdown.grace", f.shutdownGrace)
	return o
}

// tcpAddress writes [HOST:]PORT as the URL that it is short for.
func tcpAddress(text string) string {
	if !strings.Contains(text, ":") {
		text = ":" + text
	}
	return "tcp://" + text
}
