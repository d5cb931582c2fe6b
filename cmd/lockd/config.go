package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lockd/configs"
	"lockd/internal/config"
	"lockd/internal/server"
)

func newConfigCmd(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or show the configuration",
		Args:  onlySubcommands,
		RunE:  onlySubcommands,
	}
	cmd.AddCommand(newConfigCheckCmd(env), newConfigShowCmd(env), newConfigDefaultCmd(env))
	return cmd
}

func newConfigCheckCmd(env environment) *cobra.Command {
	cmd := newLoadCmd(env, "check", "Check the configuration, as a start of the server would", func(l *config.Loaded) error {
		if err := checkWebConfig(l.Config); err != nil {
			return err
		}
		file := l.File
		if file == "" {
			file = "no file, defaults and environment"
		}
		_, err := fmt.Fprintf(env.stdout, "configuration is good: %s\n", printable(file))
		return err
	})
	cmd.Long = checkLong
	return cmd
}

const checkLong = `Check the configuration, as a start of the server would. It opens nothing: whether addresses
and ports are free, and host names, groups and directories exist, the start will tell.

Exit codes:

    0   it is good; a warning may tell of variables that are nearly keys
    1   failed
    2   it is wrong, or wrong usage`

func newConfigShowCmd(env environment) *cobra.Command {
	return newLoadCmd(env, "show", "Show the configuration in force and where each value comes from", func(l *config.Loaded) error {
		return l.Print(env.stdout)
	})
}

func newConfigDefaultCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use:   "default",
		Short: "Print the commented configuration file with every key and its default",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := env.stdout.Write(configs.Default)
			return err
		},
	}
}

// newLoadCmd makes a command that does something with the loaded configuration.
func newLoadCmd(env environment, name, short string, do func(*config.Loaded) error) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			loaded, err := loadConfig(configOptions(path, env))
			if err != nil {
				return err
			}
			for _, w := range loaded.Warnings {
				fmt.Fprintf(env.stderr, "lockd: warning: %s\n", printable(w))
			}
			return do(loaded)
		},
	}
	bindConfig(cmd.Flags(), &path)
	return cmd
}

func bindConfig(flags *pflag.FlagSet, path *string) {
	flags.StringVar(path, "config", "", "configuration `FILE` (default $LOCKD_CONFIG, else "+config.DefaultPath+" if it exists)")
}

func configOptions(path string, env environment) config.Options {
	return config.Options{
		Path:      path,
		LookupEnv: env.lookupEnv,
		Environ:   env.environ,
		CheckAddress: func(text string) error {
			_, err := server.ParseAddress(text)
			return err
		},
	}
}

// loadConfig is config.Load with the exit code of a wrong configuration.
func loadConfig(o config.Options) (*config.Loaded, error) {
	loaded, err := config.Load(o)
	if err == nil {
		return loaded, nil
	}
	hint := "" // flags and variables that are wrong say themselves what would be right
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf("uid %d, which this runs as, may not read it; chmod a+r lets everybody", os.Geteuid())
	case errors.As(err, &path):
		hint = "--config and LOCKD_CONFIG name the file"
	case strings.Contains(err.Error(), ".yaml:"):
		hint = "the keys and their defaults: lockd config default"
	}
	return nil, &exitError{err: err, code: exitUsage, hint: hint}
}
