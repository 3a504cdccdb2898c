package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) eventsCommand() *cobra.Command {
	var (
		tenant  tenantFlag
		after   uint64
		limit   int
		reverse bool
	)
	cmd := &cobra.Command{
		Use:   "events EXECUTION",
		Short: "Print the events of an execution",
		Long: `Print the events of an execution, oldest first.

The formats json and jsonl hold whole events with their positions in the stream;
the table shows what matters of each.`,
		Example: `  jetstore-admin execution events --store ./data exec_2yB8…
  jetstore-admin execution events --store ./data exec_2yB8… --reverse --limit 10
  jetstore-admin execution events --store ./data exec_2yB8… --after 40 -o jsonl`,
		Args: takes(1, 1),
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--limit %d is below 0", limit)
			}
			return a.withExecution(ctx, &tenant, args[0], func(run jetstore.Execution, _ enact.Head) error {
				opts := []enact.ReadOption{enact.Limit(limit)}
				if reverse {
					opts = append(opts, enact.Backwards())
				}
				return a.printEvents(ctx, run, after, opts...)
			})
		}),
	}
	tenant.add(cmd, tenantOfOne)
	cmd.Flags().Uint64Var(&after, "after", 0, "only events after this sequence")
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "at most so many events; 0: all")
	cmd.Flags().BoolVar(&reverse, "reverse", false, "newest first")
	return cmd
}

// printEvents writes what the log holds of an execution.
func (a *app) printEvents(ctx context.Context, run jetstore.Execution, after uint64, opts ...enact.ReadOption) error {
	w := a.newEventsWriter()
	if err := w.begin(); err != nil {
		return err
	}
	for ev, err := range run.Events(ctx, after, opts...) {
		if err != nil {
			return err
		}
		if err := w.event(ev); err != nil {
			return err
		}
	}
	return w.end()
}
