package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
)

// tailFlags are the flags of tail.
type tailFlags struct {
	tenant   tenantFlag
	after    uint64
	last     uint64
	fromLast bool // last is given
	follow   bool
	untilEnd bool
}

func (a *app) tailCommand() *cobra.Command {
	var flags tailFlags
	cmd := &cobra.Command{
		Use:   "tail EXECUTION",
		Short: "Print the events of an execution and follow it live",
		Long: `Print the events of an execution, one a line, and with --follow those to come.

An execution can be followed before it exists; --tenant is required then. An
interrupt ends --follow with exit code 0.`,
		Example: `  jetstore-admin execution tail --server nats://localhost:4222 -f exec_2yB8…
  jetstore-admin execution tail --server nats://localhost:4222 -f --until-end -o jsonl exec_2yB8…
  jetstore-admin execution tail --store ./data -n 20 exec_2yB8…`,
		Args: cobra.ExactArgs(1),
		RunE: a.doLong(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			flags.fromLast = cmd.Flags().Changed("last")
			if err := a.checkTail(&flags); err != nil {
				return err
			}
			if flags.follow {
				return a.follow(ctx, args[0], &flags)
			}
			ctx, cancel := a.bounded(ctx)
			defer cancel()
			return a.withExecution(ctx, &flags.tenant, args[0], func(run jetstore.Execution, head enact.Head) error {
				return a.printEvents(ctx, run, flags.start(head))
			})
		}),
	}
	flags.tenant.add(cmd, tenantOfOne)
	cmd.Flags().Uint64Var(&flags.after, "after", 0, "begin after this sequence")
	cmd.Flags().Uint64VarP(&flags.last, "last", "n", 0, "begin with the last `N` events (default all)")
	cmd.Flags().BoolVarP(&flags.follow, "follow", "f", false, "wait for events to come")
	cmd.Flags().BoolVar(&flags.untilEnd, "until-end", false, "with --follow: stop when the execution has completed, failed or been cancelled")
	cmd.MarkFlagsMutuallyExclusive("after", "last")
	return cmd
}

func (a *app) checkTail(flags *tailFlags) error {
	switch {
	case flags.untilEnd && !flags.follow:
		return usagef("--until-end needs --follow")
	case flags.follow && a.format == formatJSON:
		return usagef("--follow writes table or jsonl: a json array would have no end")
	}
	return nil
}

// start returns the sequence after which the output begins.
func (f *tailFlags) start(head enact.Head) uint64 {
	if f.fromLast {
		return head.Sequence - min(f.last, head.Sequence)
	}
	return f.after
}

// follow prints events until the user interrupts, which is a success.
func (a *app) follow(ctx context.Context, arg string, flags *tailFlags) error {
	id, err := executionArg(arg)
	if err != nil {
		return err
	}
	err = a.withStore(ctx, reads, func(store *jetstore.Store) error {
		head, err := flags.tenant.head(ctx, store, id)
		if err != nil {
			return err
		}
		if head.TenantID == "" {
			return usagef("execution %q does not exist yet: to wait for it, give its --tenant", id)
		}
		var opts []consumer.TailOption
		if flags.untilEnd {
			opts = append(opts, consumer.UntilEnd())
		}
		return a.printLive(ctx, store.Execution(head.TenantID, id), flags.start(head), opts...)
	})
	if a.interrupt.Err() != nil && !isUsage(err) {
		return nil
	}
	return err
}

// printLive prints events as they come: from the moment that those which exist are
// through, each is shown at once.
func (a *app) printLive(ctx context.Context, run jetstore.Execution, after uint64, opts ...consumer.TailOption) error {
	w := a.newEventsWriter()
	if err := w.begin(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	live, flushErr := false, error(nil)
	opts = append(opts, consumer.OnCaughtUp(func(uint64) {
		if live, flushErr = true, a.stdout.Flush(); flushErr != nil {
			stop() // the next event may be far off
		}
	}))
	for ev, err := range consumer.Tail(ctx, run, after, opts...) {
		if err != nil {
			return err
		}
		if err := w.event(ev); err != nil {
			return err
		}
		if live {
			if err := a.stdout.Flush(); err != nil {
				return err
			}
		}
	}
	if flushErr != nil {
		return flushErr
	}
	return w.end()
}
