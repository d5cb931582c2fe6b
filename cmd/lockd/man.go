package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manLong = `Write the man pages to the directory DIR, which must exist: lockd(8) on the server, which is
lockd-serve(8) as well, lockd.yaml(5) on its configuration, and a page of section 1 for each
other command. They have the texts of --help and of the configuration file. The same binary
always writes the same pages; their date is that of SOURCE_DATE_EPOCH, where it is set.`

const manExample = `  mkdir -p man && lockd man man
  man ./man/lockd-ls.1`

func newManCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the man pages to a directory",
		Long:    manLong,
		Example: manExample,
		Args:    upTo(1, 1, "one DIR"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return writeMan(env, args[0])
		},
	}
}

// textsDate is when the texts were last gone through as a whole.
var textsDate = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

// Pages that others refer to.
const (
	serverPage = "lockd(8)"
	configPage = "lockd.yaml(5)"
)

func writeMan(env environment, dir string) error {
	date, err := manDate(env)
	if err != nil {
		return err
	}
	source := manSource{version: buildVersion().Version, date: date}
	root := newRootCmd(env)
	pages := append(commandPages(root, source), newServerPage(root, source), newConfigPage(source))
	for _, p := range pages {
		if err := os.WriteFile(filepath.Join(dir, p.file()), []byte(p.text.String()), 0o644); err != nil {
			return fmt.Errorf("write man pages: %w", err)
		}
	}
	return linkServePage(dir)
}

// linkServePage makes `man lockd-serve` show the server's page.
func linkServePage(dir string) error {
	link := filepath.Join(dir, "lockd-serve.8")
	if target, _ := os.Readlink(link); target == "lockd.8" {
		return nil
	}
	if err := os.Symlink("lockd.8", link); err != nil {
		return fmt.Errorf("write man pages: %w", err)
	}
	return nil
}

func manDate(env environment) (time.Time, error) {
	text, _ := env.lookupEnv("SOURCE_DATE_EPOCH")
	if text == "" {
		return textsDate, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q; want seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// commandPages are the pages of all commands below parent, but for the server's.
func commandPages(parent *cobra.Command, source manSource) []*manPage {
	var pages []*manPage
	for _, c := range parent.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "serve" || c.Name() == "help" {
			continue
		}
		pages = append(pages, newCommandPage(c, source))
		pages = append(pages, commandPages(c, source)...)
	}
	return pages
}

func newCommandPage(cmd *cobra.Command, source manSource) *manPage {
	name := pageName(cmd)
	p := newManPage(name, "1", source)
	p.names(cmd.Short, name)
	p.heading("SYNOPSIS")
	p.line(bold(cmd.CommandPath()) + roff(strings.TrimPrefix(cmd.UseLine(), cmd.CommandPath())))
	text, codes, _ := strings.Cut(cmd.Long, "\nExit codes:\n")
	if text == "" {
		text = cmd.Short + "."
	}
	p.heading("DESCRIPTION")
	p.prose(text)
	p.options(cmd)
	if codes != "" {
		p.heading("EXIT STATUS")
		p.prose(codes)
	}
	p.environment(cmd)
	if cmd.Example != "" {
		p.heading("EXAMPLES")
		p.literal(strings.ReplaceAll("\n"+cmd.Example, "\n  ", "\n"))
	}
	p.seeAlso(references(cmd)...)
	return p
}

// pageName is what the page of a command is called, without its section.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// references are the pages around that of a command.
func references(cmd *cobra.Command) []string {
	var pages []string
	if cmd.Parent().HasParent() {
		pages = append(pages, pageName(cmd.Parent())+"(1)")
	}
	for _, c := range cmd.Commands() {
		pages = append(pages, pageName(c)+"(1)")
	}
	if cmd.Flags().Lookup("config") != nil || cmd.HasSubCommands() {
		pages = append(pages, configPage)
	}
	return append(pages, serverPage)
}

// options writes the flags of a command, each with its value and its default.
func (p *manPage) options(cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	p.heading("OPTIONS")
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		tag := bold("--" + f.Name)
		if f.Shorthand != "" {
			tag = bold("-"+f.Shorthand) + ", " + tag
		}
		if value != "" {
			tag += " " + italic(value)
		}
		p.item(tag, usage+defaultOf(f))
	})
}

// defaultOf is what --help says of a default: nothing of one that does nothing.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "[]", "0", "0s", "false":
		return ""
	}
	return " (default " + f.DefValue + ")"
}

// environment writes which variables stand in for flags that a command has.
func (p *manPage) environment(cmd *cobra.Command) {
	server := cmd.Flags().Lookup("server") != nil
	file := cmd.Flags().Lookup("config") != nil
	if !server && !file {
		return
	}
	p.heading("ENVIRONMENT")
	if server {
		p.item(bold("LOCKD_SERVER"), "URL of the server, where --server is not given.")
	}
	if file {
		p.item(bold("LOCKD_CONFIG"), "The configuration file, where --config is not given.")
		p.item(bold("LOCKD_")+italic("KEY"), "The value of a key of the configuration, above that of the file: see "+configPage+".")
	}
}
