package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// commands returns every command of the program but help.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.Name() != "help" {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

// Every command says what it does, shows two ways of using it that its flags and
// arguments allow, and is in a group of the help.
func TestEveryCommandHasHelp(t *testing.T) {
	for _, cmd := range commands(new(app).rootCommand()) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			require.NotEmpty(t, cmd.Short)
			require.False(t, strings.HasSuffix(cmd.Short, "."), "Short is a headline: %q", cmd.Short)
			require.NotEmpty(t, cmd.Long)
			for line := range strings.SplitSeq(cmd.Long, "\n") {
				require.LessOrEqual(t, len(line), 100, line)
			}
			require.True(t, cmd.Runnable())
			require.NotNil(t, cmd.Args, "without Args anything is taken")
			if cmd.Parent() == cmd.Root() {
				require.NotEmpty(t, cmd.GroupID)
			}
			checkExamples(t, cmd)
		})
	}
}

// checkExamples reads the examples as a command line: those of a group, which shows its
// commands', by its commands.
func checkExamples(t *testing.T, cmd *cobra.Command) {
	examples := 0
	for line := range strings.SplitSeq(cmd.Example, "\n") {
		require.True(t, strings.HasPrefix(line, "  "), "%q is not indented", line)
		_, line, found := strings.Cut(line, programName+" ")
		if !found {
			if strings.TrimSpace(line) == programName {
				examples++
			}
			continue // the rest of a pipe
		}
		examples++
		line = regexp.MustCompile(`[|<>)].*`).ReplaceAllString(line, "")
		words := shellWords.FindAllString(line, -1)
		root := new(app).rootCommand()
		found2, rest, err := root.Find(words)
		require.NoError(t, err, line)
		require.True(t, strings.HasPrefix(found2.CommandPath()+" ", cmd.CommandPath()+" "), "%q is an example of another command", line)
		require.NoError(t, found2.ParseFlags(rest), line)
		require.NoError(t, found2.ValidateArgs(found2.Flags().Args()), line)
	}
	require.GreaterOrEqual(t, examples, 2, "two examples at least:\n%s", cmd.Example)
}

var shellWords = regexp.MustCompile(`'[^']*'|\S+`)

// What a shell would complete is what there is.
func TestHelpNamesEveryCommand(t *testing.T) {
	code, help, stderr := admin(t, "", "--help")
	require.Zero(t, code, stderr)
	for _, cmd := range new(app).rootCommand().Commands() {
		require.Regexp(t, `(?m)^  `+cmd.Name()+` +\S`, help)
	}
}
