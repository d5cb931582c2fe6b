package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lockd/internal/systemd"
)

// environment is what a command may use of the process it runs in.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
	environ        []string
}

// Exit codes, after sysexits.h where the shell has none of its own.
const (
	exitFailed      = 1
	exitUsage       = 2 // wrong flags or a wrong configuration: trying again is useless
	exitFree        = 3 // nobody holds the lock, where that was asked or no harm to who wanted it free
	exitUnreachable = 69
	exitInterrupted = 130 // as a shell has it of SIGINT

	// Of run, beside those of the command.
	exitLost        = 74  // the lock, so the command was ended
	exitNotAcquired = 75  // unless -E says otherwise
	exitCannotRun   = 126 // as a shell has it
	exitNotFound    = 127 // as a shell has it
)

// An exitError is an error that decides the exit code, and may know a way out.
type exitError struct {
	err  error // nil: there is nothing to say
	code int
	hint string // "" for none
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// run executes one command line and returns the exit code.
func run(args []string, env environment) int {
	root := newRootCmd(env)
	root.SetArgs(args)
	return report(env.stderr, root.Execute())
}

// report prints an error, each line of it as one, and a hint if there is one.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{err: err, code: exitFailed}
	}
	asError, asNotice := "", ""
	if systemd.StderrIsJournal() { // which takes the priority off the line
		asError, asNotice = "<3>", "<5>"
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "%slockd: error: %s\n", asError, printable(strings.TrimSuffix(line, "\n")))
	}
	if exit.hint != "" {
		fmt.Fprintf(w, "%slockd: hint: %s\n", asNotice, printable(exit.hint))
	}
	return exit.code
}

func newRootCmd(env environment) *cobra.Command {
	root := newServeCmd(env)
	root.Use = "lockd"
	root.Short = "A network lock server"
	root.Long = "lockd is a network lock server: clients take named locks and hold them as long as\n" +
		"their connection lasts. Without a command it serves, as \"lockd serve\" does."
	root.Version = buildVersion().String()
	root.SetVersionTemplate("lockd {{.Version}}\n")
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	root.AddCommand(
		newServeCmd(env),
		newConfigCmd(env),
		newPingCmd(env),
		newRunCmd(env),
		newBenchCmd(env),
		newBenchEchoCmd(env),
		newLsCmd(env),
		newInspectCmd(env),
		newWhoCmd(env),
		newStatsCmd(env),
		newWatchCmd(env),
		newBreakCmd(env),
		newKickCmd(env),
		newVersionCmd(env),
		newCompletionCmd(env),
		newManCmd(env),
	)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelpCmd())
	return root
}

// usageError tells where the right usage is shown.
func usageError(cmd *cobra.Command, err error) error {
	return &exitError{err: err, code: exitUsage, hint: fmt.Sprintf("see %q", cmd.CommandPath()+" --help")}
}

// noArgs accepts no arguments. At the root, one is a misspelt command.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return usageError(cmd, fmt.Errorf("%s takes no argument, there is %q", cmd.CommandPath(), args[0]))
	}
	err := fmt.Errorf("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2 // edits
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return usageError(cmd, err)
}

// onlySubcommands is for commands that do nothing themselves.
func onlySubcommands(cmd *cobra.Command, args []string) error {
	if err := noArgs(cmd, args); err != nil {
		return err
	}
	return usageError(cmd, fmt.Errorf("%s needs a command", cmd.CommandPath()))
}

// newHelpCmd is cobra's, but for what it does with a command that does not exist.
func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noArgs(cmd.Root(), args)
			}
			return about.Help()
		},
	}
}
