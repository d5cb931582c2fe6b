package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

const manLong = `Write the man pages of lockd and all its commands to the directory DIR, which must exist. They
have the texts of --help. The same binary always writes the same pages; their date is that
of SOURCE_DATE_EPOCH, where it is set.`

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

func writeMan(env environment, dir string) error {
	date, err := manDate(env)
	if err != nil {
		return err
	}
	root := newRootCmd(env)
	adaptForMan(root)
	err = doc.GenManTreeFromOpts(root, doc.GenManTreeOptions{
		Header:           &doc.GenManHeader{Section: "1", Date: &date, Source: "lockd " + buildVersion().Version, Manual: "lockd"},
		Path:             dir,
		CommandSeparator: "-",
	})
	if err != nil {
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

// adaptForMan makes of the texts of a command and all below it what a man page
// has, which is written in Markdown.
func adaptForMan(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	cmd.Long = markdown(cmd.Long)
	for _, c := range cmd.Commands() {
		adaptForMan(c)
	}
}

// markdown makes a section of the exit codes, and lets no character of the text
// act as markup.
func markdown(text string) string {
	const heading = "\nExit codes:\n"
	text = strings.NewReplacer(heading, "\n# EXIT STATUS\n", "_", `\_`, "*", `\*`, "<", `\<`, "[", `\[`).Replace(text)
	return text
}
