package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCompletionCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the script that completes lockd's command line",
		Long: "Print the script that completes lockd's command line in a shell. For the running\n" +
			"shell:  source <(lockd completion bash)\n\n" +
			"That of bash needs the package bash-completion.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError(cmd, fmt.Errorf("%s needs one shell: bash, zsh, fish or powershell", cmd.CommandPath()))
			}
			return nil
		},
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(env.stdout, true)
			case "zsh":
				return root.GenZshCompletion(env.stdout)
			case "fish":
				return root.GenFishCompletion(env.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(env.stdout)
			}
			return usageError(cmd, fmt.Errorf("unknown shell %q; want bash, zsh, fish or powershell", args[0]))
		},
	}
}
