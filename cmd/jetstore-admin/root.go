package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact/jetstore"
)

const programName = "jetstore-admin"

// app is one run of the program: its streams and its global flags.
type app struct {
	interrupt context.Context // ends when the user interrupts
	stdin     io.Reader
	stdout    *bufio.Writer // flushed at the end of run, and by whoever writes live
	terminal  io.Writer     // what stdout writes to
	stderr    io.Writer

	connection connectionFlags
	timeout    time.Duration
	format     format
	color      colorMode
	colours    palette // for stdout, once the command line was understood

	began bool // the command line was understood, what fails now is no usage error
}

// rootCommand returns the command tree, bound to a.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   programName,
		Short: "Look after an event log for agent executions",
		Long: `Look after an event log for agent executions on NATS JetStream.

A log is either a directory, which a server inside this program opens, or the
streams of a NATS server:

  --store DIR     no network; the streams are made if they are missing, the directory
                  only by a command that writes
  --server URL    or a context of the nats CLI; the streams must exist

Flags come before the variables of the environment that their help names, and both
before what the context says. The context is --context, else NATS_CONTEXT, else the
one that "nats context select" chose.

Data goes to stdout, everything else to stderr. Tables are for people and may change;
programs should read -o json or -o jsonl. Colours are for terminals only, and NO_COLOR
turns them off. Where something has to be confirmed and there is no terminal to ask on,
nothing is done.

Exit codes:
  0    success; also an interrupt of what goes on until it is interrupted
  1    an error, or an interrupt
  2    a command line that makes no sense
Commands that check something have others, which their help names.`,
		Example: `  jetstore-admin demo
  jetstore-admin import --store ./data runs.jsonl
  jetstore-admin execution ls --store ./data --tenant acme
  jetstore-admin execution tail --server nats://localhost:4222 --follow exec_2yB8…`,
		Version:       version().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: groupLog, Title: "Executions and their events:"},
		&cobra.Group{ID: groupOperate, Title: "Looking after the log:"},
		&cobra.Group{ID: groupOther, Title: "Other commands:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	grouping(root)

	flags := root.PersistentFlags()
	a.connection.add(flags)
	flags.DurationVar(&a.timeout, "timeout", jetstore.DefaultTimeout, "end the command after this time; import, export, --follow: each request")
	flags.VarP(&a.format, "output", "o", "table, json or jsonl")
	registerFormats(root)
	flags.Var(&a.color, "color", "auto, always or never")
	registerColors(root)

	for _, group := range []struct {
		id       string
		commands []*cobra.Command
	}{
		{groupLog, a.logCommands()},
		{groupOperate, a.operateCommands()},
		{groupOther, []*cobra.Command{a.completionCommand(), a.demoCommand(), a.versionCommand()}},
	} {
		for _, cmd := range group.commands {
			cmd.GroupID = group.id
			root.AddCommand(cmd)
		}
	}
	return root
}

// Groups of commands in the help.
const (
	groupLog     = "log"
	groupOperate = "operate"
	groupOther   = "other"
)

// logCommands are about what is in the log.
func (a *app) logCommands() []*cobra.Command {
	return []*cobra.Command{
		a.appendCommand(),
		a.executionCommand(),
		a.exportCommand(),
		a.importCommand(),
	}
}

// operateCommands are about the log as a whole.
func (a *app) operateCommands() []*cobra.Command {
	return []*cobra.Command{
		a.consumerCommand(),
		a.benchCommand(),
		a.doctorCommand(),
		a.fsckCommand(),
		a.serverCommand(),
		a.streamCommand(),
		a.tenantCommand(),
	}
}

// grouping makes a command that only holds others: alone it prints its help, and what
// is not one of its commands is a usage error.
func grouping(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q for %q", args[0], cmd.CommandPath())
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// action is what a command does once its arguments and flags are understood.
type action func(ctx context.Context, cmd *cobra.Command, args []string) error

// do makes a RunE of act, bounded by --timeout.
func (a *app) do(act action) func(*cobra.Command, []string) error {
	return a.doLong(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		ctx, cancel := a.bounded(ctx)
		defer cancel()
		return act(ctx, cmd, args)
	})
}

// doLong is do for an action that goes on for as long as there is data, or the user
// wants: --timeout bounds each of its calls, as the store's own time-out.
func (a *app) doLong(act action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if a.timeout <= 0 {
			return usagef("--timeout %s is not above 0", a.timeout)
		}
		a.began = true
		a.colours = newPalette(a.color, a.terminal, os.Getenv)
		return act(cmd.Context(), cmd, args)
	}
}

// bounded returns ctx with the --timeout.
func (a *app) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

// notice tells the user something that is not data.
func (a *app) notice(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format+"\n", args...)
}
