package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that completion is written for.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Write a script that makes a shell complete this program's commands",
		Long: `Write a script that makes a shell complete this program's commands and flags: for
bash, zsh, fish or powershell. bash needs the package bash-completion.`,
		Example: `  source <(jetstore-admin completion bash)
  jetstore-admin completion fish > ~/.config/fish/completions/jetstore-admin.fish`,
		ValidArgs: shells,
		Args: cobra.MatchAll(takes(1, 1), func(_ *cobra.Command, args []string) error {
			if !slices.Contains(shells, args[0]) {
				return usagef("%q is none of %s", args[0], strings.Join(shells, ", "))
			}
			return nil
		}),
		RunE: a.do(func(_ context.Context, cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			}
			return root.GenPowerShellCompletionWithDesc(a.stdout)
		}),
	}
}
