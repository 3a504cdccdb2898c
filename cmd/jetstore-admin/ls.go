package main

import (
	"context"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/replay"
)

// lsReaders is how many executions are looked at at the same time.
const lsReaders = 4

func (a *app) lsCommand() *cobra.Command {
	var (
		tenant        tenantFlag
		limit, offset int
	)
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the executions of a tenant, newest created first",
		Example: `  jetstore-admin execution ls --store ./data --tenant acme
  jetstore-admin execution ls --store ./data --tenant acme --limit 10 --offset 10 -o json`,
		Args: cobra.NoArgs,
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			id, err := tenant.required()
			if err != nil {
				return err
			}
			if err := enact.ValidatePage(limit, offset); err != nil {
				return usagef("%v", err)
			}
			return a.withStore(ctx, reads, func(store *jetstore.Store) error {
				executions, err := store.ListExecutions(ctx, id, limit, offset)
				if err != nil {
					return err
				}
				infos, err := describeAll(ctx, store, id, executions)
				if err != nil {
					return err
				}
				return a.printInfos(infos)
			})
		}),
	}
	tenant.add(cmd, "tenant whose executions are listed (required)")
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "at most so many executions")
	cmd.Flags().IntVar(&offset, "offset", 0, "skip so many executions first")
	return cmd
}

// executionInfo is an execution in a list.
type executionInfo struct {
	ExecutionID enact.ExecutionID `json:"execution_id"`
	TenantID    enact.TenantID    `json:"tenant_id"`
	Status      replay.Status     `json:"status"`
	Events      uint64            `json:"events"`
	LastType    string            `json:"last_type"`
	UpdatedAt   time.Time         `json:"updated_at"`
}

// describeAll describes executions, some at a time, in the order given. The first
// error ends it.
func describeAll(ctx context.Context, store *jetstore.Store, tenant enact.TenantID, ids []enact.ExecutionID) ([]executionInfo, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	infos := make([]executionInfo, len(ids))
	next := make(chan int)
	var readers sync.WaitGroup
	for range min(lsReaders, len(ids)) {
		readers.Go(func() {
			for i := range next {
				info, err := describe(ctx, store.Execution(tenant, ids[i]))
				if err != nil {
					cancel(err)
				}
				infos[i] = info
			}
		})
	}
	for i := range ids {
		next <- i
	}
	close(next)
	readers.Wait()
	return infos, context.Cause(ctx)
}

// describe reads as little of an execution as tells where it stands: mostly its last
// event.
func describe(ctx context.Context, run jetstore.Execution) (executionInfo, error) {
	info := executionInfo{ExecutionID: run.ID(), TenantID: run.Tenant(), Status: replay.StatusUnknown}
	// The last event alone first: a page of a backwards read is much more than that.
	for _, opts := range [][]enact.ReadOption{{enact.Backwards(), enact.Limit(1)}, {enact.Backwards()}} {
		for ev, err := range run.Events(ctx, 0, opts...) {
			if err != nil {
				return info, err
			}
			if ev.Sequence > info.Events {
				info.Events, info.LastType, info.UpdatedAt = ev.Sequence, ev.Event.Type(), ev.Timestamp
			}
			if status, ok := statusAfter(ev.Event); ok {
				info.Status = status
				return info, nil
			}
		}
		if info.Events <= 1 {
			return info, nil
		}
	}
	return info, nil
}

// statusAfter returns the status that an event gives its execution, whatever came
// before; ok is false for an event that leaves it as it was. Package replay says the
// same of whole histories.
func statusAfter(event enact.Event) (status replay.Status, ok bool) {
	switch event.(type) {
	case enact.ExecutionStarted, enact.ExecutionResumed:
		return replay.StatusRunning, true
	case enact.ExecutionPaused:
		return replay.StatusPaused, true
	case enact.ExecutionCompleted:
		return replay.StatusCompleted, true
	case enact.ExecutionFailed:
		return replay.StatusFailed, true
	case enact.ExecutionCancelled:
		return replay.StatusCancelled, true
	}
	return "", false
}

func (a *app) printInfos(infos []executionInfo) error {
	switch a.format {
	case formatJSON:
		return writeJSON(a.stdout, a.format, infos)
	case formatJSONL:
		for _, info := range infos {
			if err := writeJSON(a.stdout, a.format, info); err != nil {
				return err
			}
		}
		return nil
	}
	if len(infos) == 0 {
		a.notice("no executions")
		return nil
	}
	t := newTable()
	t.AppendHeader(table.Row{"Execution", "Status", "Events", "Last event", "Updated"})
	t.SetColumnConfigs([]table.ColumnConfig{{Name: "Events", Align: text.AlignRight}})
	for _, info := range infos {
		t.AppendRow(table.Row{
			name(info.ExecutionID), a.colours.paint(statusColour(info.Status), string(info.Status)), humanize.Comma(int64(info.Events)),
			inline(info.LastType, summaryWidth), stamp(info.UpdatedAt, clock),
		})
	}
	_, err := a.stdout.WriteString(t.Render() + "\n")
	return err
}

func statusColour(status replay.Status) text.Color {
	switch status {
	case replay.StatusCompleted:
		return text.FgGreen
	case replay.StatusFailed, replay.StatusCancelled:
		return text.FgRed
	case replay.StatusPaused:
		return text.FgYellow
	}
	return text.FgCyan
}
