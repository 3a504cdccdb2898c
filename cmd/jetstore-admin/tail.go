package main

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
)

// tailFlags are the flags of tail.
type tailFlags struct {
	tenant   tenantFlag
	all      bool
	types    []string
	since    string
	after    string
	last     uint64
	fromLast bool // last is given
	follow   bool
	untilEnd bool

	from  time.Time // since, as a time
	point tailPoint // after, as what it means
}

// tailPoint is what --after means: a sequence for an execution, else a token.
type tailPoint struct {
	sequence uint64
	token    consumer.Token
}

func (a *app) tailCommand() *cobra.Command {
	var flags tailFlags
	cmd := &cobra.Command{
		Use:   "tail [EXECUTION]",
		Short: "Print the events of an execution, a tenant or all, and follow them live",
		Long: `Print the events of an execution, of a tenant or of the whole log, one a line, and
with --follow those to come.

Without EXECUTION, --tenant or --all says whose events are printed, in the order in
which they were appended; a text on stderr then says how to go on behind the last one.

An execution can be followed before it exists; --tenant is required then. An
interrupt ends --follow with exit code 0.`,
		Example: `  jetstore-admin execution tail --server nats://localhost:4222 -f exec_2yB8…
  jetstore-admin execution tail --server nats://localhost:4222 -f --until-end -o jsonl exec_2yB8…
  jetstore-admin execution tail --store ./data -n 20 exec_2yB8…
  jetstore-admin execution tail --server nats://localhost:4222 -f --tenant acme --type step_failed,execution_failed
  jetstore-admin execution tail --server nats://localhost:4222 --all --since 1h -o jsonl`,
		Args: takes(0, 1),
		RunE: a.doLong(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			flags.fromLast = cmd.Flags().Changed("last")
			if err := a.checkTail(&flags, args); err != nil {
				return err
			}
			if !flags.follow {
				var cancel context.CancelFunc
				ctx, cancel = a.bounded(ctx)
				defer cancel()
			}
			tail := a.tailLog
			if len(args) > 0 {
				id, err := executionArg(args[0])
				if err != nil {
					return err
				}
				tail = func(ctx context.Context, store *jetstore.Store, flags *tailFlags) error {
					return a.tailExecution(ctx, store, id, flags)
				}
			}
			err := a.withStore(ctx, reads, func(store *jetstore.Store) error { return tail(ctx, store, &flags) })
			if flags.follow && a.interrupt.Err() != nil && !isUsage(err) {
				return nil
			}
			return err
		}),
	}
	flags.tenant.add(cmd, "tenant of the execution (default: looked up); without one: the tenant to tail")
	cmd.Flags().BoolVar(&flags.all, "all", false, "the events of all executions")
	cmd.Flags().StringSliceVar(&flags.types, "type", nil, "only events of these `types`, separated by commas")
	cmd.Flags().StringVar(&flags.since, "since", "", "begin at this `time`, or so long ago: 2006-01-02T15:04:05Z, 90m. An execution's events by their own times, others by when they were stored")
	cmd.Flags().StringVar(&flags.after, "after", "", "begin after this sequence of the execution, or at this token of an earlier tail")
	cmd.Flags().Uint64VarP(&flags.last, "last", "n", 0, "begin with the last `N` events (default all of an execution, 10 of more than one)")
	cmd.Flags().BoolVarP(&flags.follow, "follow", "f", false, "wait for events to come")
	cmd.Flags().BoolVar(&flags.untilEnd, "until-end", false, "with --follow: stop when the execution has completed, failed or been cancelled")
	exclusive(cmd, "after", "last", "since")
	exclusive(cmd, "all", "tenant")
	return cmd
}

func (a *app) checkTail(flags *tailFlags, args []string) (err error) {
	one := len(args) > 0
	switch {
	case flags.untilEnd && !flags.follow:
		return usagef("--until-end needs --follow")
	case flags.untilEnd && !one:
		return usagef("--until-end is for one execution")
	case one && flags.all:
		return usagef("--all is for all executions, not for one")
	case !one && !flags.all && flags.tenant.id == "":
		return usagef("whose events? Give an EXECUTION, --tenant TENANT or --all")
	case flags.follow && a.format == formatJSON:
		return usagef("--follow writes table or jsonl: a json array would have no end")
	case slices.Contains(flags.types, ""):
		return usagef("--type: a type is empty")
	}
	if flags.since != "" {
		if flags.from, err = sinceTime(flags.since, time.Now()); err != nil {
			return err
		}
	}
	if flags.after == "" {
		return nil
	}
	if one {
		flags.point.sequence, err = sequenceArg(flags.after)
		return err
	}
	if flags.point.token, err = consumer.ParseToken(flags.after); err != nil {
		return usagef("--after: %v", err)
	}
	return nil
}

// selects reports whether an event of an execution is printed.
func (f *tailFlags) selects(ev enact.StoredEvent) bool {
	return (len(f.types) == 0 || slices.Contains(f.types, ev.Event.Type())) && !ev.Timestamp.Before(f.from)
}

// tailExecution prints the events of one execution.
func (a *app) tailExecution(ctx context.Context, store *jetstore.Store, id enact.ExecutionID, flags *tailFlags) error {
	find := flags.tenant.existing
	if flags.follow {
		find = flags.tenant.head
	}
	head, err := find(ctx, store, id)
	if err != nil {
		return err
	}
	if head.TenantID == "" {
		return usagef("execution %q does not exist yet: to wait for it, give its --tenant", id)
	}
	run := store.Execution(head.TenantID, id)
	after, err := flags.start(ctx, run, head)
	if err != nil {
		return err
	}
	if !flags.follow {
		return a.printSelected(run.Events(ctx, after), flags, func() bool { return false })
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	live, flushErr := false, error(nil)
	opts := []consumer.TailOption{consumer.OnCaughtUp(func(uint64) {
		if live, flushErr = true, a.stdout.Flush(); flushErr != nil {
			stop() // the next event may be far off
		}
	})}
	if flags.untilEnd {
		opts = append(opts, consumer.UntilEnd())
	}
	if err := a.printSelected(consumer.Tail(ctx, run, after, opts...), flags, func() bool { return live }); err != nil {
		return err
	}
	return flushErr
}

// start returns the sequence after which the output begins.
func (f *tailFlags) start(ctx context.Context, run jetstore.Execution, head enact.Head) (uint64, error) {
	if !f.fromLast {
		return f.point.sequence, nil
	}
	if len(f.types) == 0 || f.last == 0 {
		return head.Sequence - min(f.last, head.Sequence), nil
	}
	found := uint64(0)
	for ev, err := range run.Events(ctx, 0, enact.Backwards()) {
		if err != nil {
			return 0, err
		}
		if f.selects(ev) {
			if found++; found == f.last {
				return ev.Sequence - 1, nil
			}
		}
	}
	return 0, nil
}

// printSelected prints events as they come, once they are live each at once.
func (a *app) printSelected(events iter.Seq2[enact.StoredEvent, error], flags *tailFlags, live func() bool) error {
	w := a.newEventsWriter()
	if err := w.begin(); err != nil {
		return err
	}
	for ev, err := range events {
		if err != nil {
			return err
		}
		if !flags.selects(ev) {
			continue
		}
		if err := w.event(ev); err != nil {
			return err
		}
		if live() {
			if err := a.stdout.Flush(); err != nil {
				return err
			}
		}
	}
	return w.end()
}
