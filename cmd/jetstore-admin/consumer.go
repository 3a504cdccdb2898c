package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) consumerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "consumer",
		Aliases: []string{"con"},
		Short:   "Look after those who follow the log live: tails, follows and groups",
		Long: `Look after those who follow the log live: list them with how far behind they are, pause
and resume groups, and remove what nobody uses any more.`,
		Example: `  jetstore-admin consumer ls --server nats://localhost:4222
  jetstore-admin consumer pause --server nats://localhost:4222 --for 1h billing`,
	}
	grouping(cmd)
	cmd.AddCommand(a.consumerLsCommand(), a.consumerInfoCommand(), a.consumerRmCommand(), a.consumerPauseCommand(), a.consumerResumeCommand())
	return cmd
}

// tenantOfLog is the usage of a --tenant that says whose stream is meant.
const tenantOfLog = "tenant whose stream it is, where each tenant has one"

// onLog makes a RunE of act, which gets the store that holds the log.
func (a *app) onLog(tenant *tenantFlag, act func(context.Context, *jetstore.Store, []string) error) func(*cobra.Command, []string) error {
	return a.do(func(ctx context.Context, _ *cobra.Command, args []string) error {
		return a.withStore(ctx, reads, func(store *jetstore.Store) error {
			log, err := logOf(ctx, store, tenant)
			if err != nil {
				return err
			}
			return act(ctx, log, args)
		})
	})
}

func (a *app) consumerLsCommand() *cobra.Command {
	var tenant tenantFlag
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the consumers of the log, by name",
		Long: `List the consumers of the log, by name.

LAG counts the records that a consumer has not been sent, or not acknowledged. What
another program made is of kind "other".`,
		Example: `  jetstore-admin consumer ls --server nats://localhost:4222
  jetstore-admin consumer ls --context production --per-tenant --tenant acme -o jsonl`,
		Args: takes(0, 0),
		RunE: a.onLog(&tenant, func(ctx context.Context, log *jetstore.Store, _ []string) error {
			infos, err := consumer.List(ctx, log)
			if err != nil {
				return err
			}
			return a.printConsumers(infos)
		}),
	}
	tenant.add(cmd, tenantOfLog)
	return cmd
}

func (a *app) consumerInfoCommand() *cobra.Command {
	var tenant tenantFlag
	cmd := &cobra.Command{
		Use:   "info NAME",
		Short: "Show a consumer",
		Long: `Show a consumer of the log: what it follows, how far it has come, and what it has been
sent and not yet acknowledged.`,
		Example: `  jetstore-admin consumer info --server nats://localhost:4222 billing
  jetstore-admin consumer info --context production billing -o json`,
		Args: takes(1, 1),
		RunE: a.onLog(&tenant, func(ctx context.Context, log *jetstore.Store, args []string) error {
			return a.printConsumer(ctx, log, args[0])
		}),
	}
	tenant.add(cmd, tenantOfLog)
	return cmd
}

func (a *app) consumerRmCommand() *cobra.Command {
	var (
		tenant tenantFlag
		force  bool
	)
	cmd := &cobra.Command{
		Use:     "rm NAME",
		Aliases: []string{"remove"},
		Short:   "Remove a consumer; a group loses its position",
		Long: `Remove a consumer from the server. A group loses its position; what it was is written
to stderr. A tail or a follow that runs makes itself another consumer, and so does a
member of a group, which is why one that is in use is removed with --force only.`,
		Example: `  jetstore-admin consumer rm --server nats://localhost:4222 billing
  jetstore-admin consumer rm --context production --force billing`,
		Args: takes(1, 1),
		RunE: a.onLog(&tenant, func(ctx context.Context, log *jetstore.Store, args []string) error {
			info, err := consumer.Get(ctx, log, args[0])
			if err != nil {
				return err
			}
			if info.Waiting > 0 && !force {
				return fmt.Errorf("%s %q is in use, and would be made again: end who uses it first, or give --force", info.Kind, info.Name)
			}
			if err := consumer.Remove(ctx, log, info.Name); err != nil {
				return err
			}
			if info.Kind == consumer.KindGroup {
				a.notice("removed group %q, which had acknowledged everything up to position %d", info.Name, info.Acknowledged)
				return nil
			}
			a.notice("removed %q", info.Name)
			return nil
		}),
	}
	tenant.add(cmd, tenantOfLog)
	cmd.Flags().BoolVar(&force, "force", false, "remove it although it is in use")
	return cmd
}

func (a *app) consumerPauseCommand() *cobra.Command {
	var (
		tenant tenantFlag
		length time.Duration
		until  string
		end    time.Time
	)
	cmd := &cobra.Command{
		Use:   "pause NAME",
		Short: "Keep a group from being sent anything for a while",
		Long: `Keep a group from being sent anything until a time. What its members hold they finish.
The pause ends by itself, or with "consumer resume".`,
		Example: `  jetstore-admin consumer pause --server nats://localhost:4222 --for 1h billing
  jetstore-admin consumer pause --server nats://localhost:4222 --until 2026-05-04T18:00:00Z billing`,
		Args: takes(1, 1),
	}
	run := a.onLog(&tenant, func(ctx context.Context, log *jetstore.Store, args []string) error {
		if err := consumer.Pause(ctx, log, args[0], end); err != nil {
			return err
		}
		a.notice("group %q is paused until %s", args[0], end.UTC().Format(time.RFC3339))
		return nil
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if end = time.Now().Add(length); until != "" {
			var err error
			if end, err = time.Parse(time.RFC3339, until); err != nil || !end.After(time.Now()) {
				return usagef("--until %q is not a time to come as in 2006-01-02T15:04:05Z", until)
			}
		} else if length <= 0 {
			return usagef("--for %s is not above 0", length)
		}
		return run(cmd, args)
	}
	tenant.add(cmd, tenantOfLog)
	cmd.Flags().DurationVar(&length, "for", 0, "how long, as in 90m")
	cmd.Flags().StringVar(&until, "until", "", "until this `time`, as in 2006-01-02T15:04:05Z")
	oneOf(cmd, "for", "until")
	return cmd
}

func (a *app) consumerResumeCommand() *cobra.Command {
	var tenant tenantFlag
	cmd := &cobra.Command{
		Use:   "resume NAME",
		Short: "End a group's pause",
		Long: `End a group's pause, so that its members are sent at once what has come meanwhile. A
group that is not paused stays as it is.`,
		Example: `  jetstore-admin consumer resume --server nats://localhost:4222 billing
  jetstore-admin consumer resume --context production --per-tenant --tenant acme billing`,
		Args: takes(1, 1),
		RunE: a.onLog(&tenant, func(ctx context.Context, log *jetstore.Store, args []string) error {
			if err := consumer.Resume(ctx, log, args[0]); err != nil {
				return err
			}
			a.notice("group %q goes on", args[0])
			return nil
		}),
	}
	tenant.add(cmd, tenantOfLog)
	return cmd
}

// consumerView is a consumer as printed in JSON.
type consumerView struct {
	consumer.Info
	Lag uint64 `json:"lag"` // records that it has still to be done with
}

func viewConsumer(i consumer.Info) consumerView {
	if i.Subjects == nil {
		i.Subjects = []string{}
	}
	return consumerView{i, i.Lag()}
}

func (a *app) printConsumers(infos []consumer.Info) error {
	switch a.format {
	case formatJSON:
		views := make([]consumerView, len(infos))
		for i := range infos {
			views[i] = viewConsumer(infos[i])
		}
		return writeJSON(a.stdout, a.format, views)
	case formatJSONL:
		for i := range infos {
			if err := writeJSON(a.stdout, a.format, viewConsumer(infos[i])); err != nil {
				return err
			}
		}
		return nil
	}
	if len(infos) == 0 {
		a.notice("no consumers")
		return nil
	}
	t := newTable()
	t.AppendHeader(table.Row{"Name", "Kind", "Lag", "In flight", "State", "Label", "Client", "Subjects"})
	t.SetColumnConfigs([]table.ColumnConfig{{Name: "Lag", Align: text.AlignRight}, {Name: "In flight", Align: text.AlignRight}})
	for i := range infos {
		info := &infos[i]
		t.AppendRow(table.Row{
			info.Name, kindOf(info), humanize.Comma(int64(info.Lag())), humanize.Comma(int64(info.InFlight)), stateOf(info),
			inline(info.Label, summaryWidth), inline(info.Client, summaryWidth), subjectsOf(info),
		})
	}
	_, err := a.stdout.WriteString(t.Render() + "\n")
	return err
}

func (a *app) printConsumer(ctx context.Context, log *jetstore.Store, name string) error {
	info, err := consumer.Get(ctx, log, name)
	if err != nil {
		return err
	}
	if a.format != formatTable {
		return writeJSON(a.stdout, a.format, viewConsumer(info))
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return writePairs(a.stdout, [][2]string{
		{"Name", info.Name},
		{"Kind", kindOf(&info)},
		{"State", stateOf(&info)},
		{"Label", inline(info.Label, summaryWidth)},
		{"Client", inline(info.Client, summaryWidth)},
		{"Subjects", subjectsOf(&info)},
		{"Created", stamp(info.Created, clock)},
		{"Lag in records", number(info.Lag())},
		{"Not sent", number(info.Pending)},
		{"In flight", strconv.Itoa(info.InFlight)},
		{"Sent again", strconv.Itoa(info.Redelivered)},
		{"Waiting requests", strconv.Itoa(info.Waiting)},
		{"Delivered", "position " + number(info.Delivered)},
		{"Acknowledged", acknowledgedOf(&info)},
	})
}

func kindOf(i *consumer.Info) string {
	return strings.TrimSpace(i.Mode + " " + string(i.Kind))
}

// stateOf says what a consumer does.
func stateOf(i *consumer.Info) string {
	switch {
	case !i.PausedUntil.IsZero():
		return "paused until " + i.PausedUntil.Format(time.RFC3339)
	case i.Waiting > 0:
		return "in use"
	case i.InFlight > 0:
		return "busy"
	}
	return "idle"
}

func subjectsOf(i *consumer.Info) string {
	if len(i.Subjects) == 0 {
		return "all"
	}
	return strings.Join(i.Subjects, " ")
}

func acknowledgedOf(i *consumer.Info) string {
	if i.Kind != consumer.KindGroup {
		return ""
	}
	return fmt.Sprintf("position %d", i.Acknowledged)
}
