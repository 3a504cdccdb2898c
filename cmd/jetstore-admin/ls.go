package main

import (
	"context"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) lsCommand() *cobra.Command {
	var (
		tenant        tenantFlag
		limit, offset int
	)
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the executions of a tenant, newest created first",
		Long: `List the executions of a tenant, newest created first, each with its status, the
number of its events, and the type and time of the last one.`,
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
				infos, err := listInfos(ctx, store, id, limit, offset)
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

// executionInfo is an execution in a list, as printed.
type executionInfo struct {
	ExecutionID enact.ExecutionID `json:"execution_id"`
	TenantID    enact.TenantID    `json:"tenant_id"`
	Status      enact.Status      `json:"status"`
	Events      uint64            `json:"events"`
	LastType    string            `json:"last_type"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Error       string            `json:"error,omitempty"` // why the execution's end cannot be read
}

// listInfos lists limit executions behind the first offset ones.
func listInfos(ctx context.Context, store *jetstore.Store, tenant enact.TenantID, limit, offset int) ([]executionInfo, error) {
	infos := []executionInfo{}
	if limit == 0 {
		return infos, nil
	}
	page := enact.MaxQueryLimit
	if limit < page && offset < page {
		page = min(page, limit+offset)
	}
	for x, err := range enact.AllExecutions(ctx, store, enact.Query{Tenant: tenant, Limit: page}) {
		if err != nil {
			return nil, err
		}
		if offset > 0 {
			offset--
			continue
		}
		info := executionInfo{
			ExecutionID: x.ExecutionID, TenantID: x.TenantID, Status: x.Status, Events: x.Events, LastType: x.LastEvent, UpdatedAt: x.Updated,
		}
		if x.Err != nil {
			info.Error = x.Err.Error()
		}
		if infos = append(infos, info); len(infos) == limit {
			break
		}
	}
	return infos, nil
}

func (a *app) printInfos(infos []executionInfo) error {
	header := table.Row{"Execution", "Status", "Events", "Last event", "Updated"}
	return printList(a, infos, "no executions", header, func(info executionInfo) table.Row {
		last := info.LastType
		if info.Error != "" {
			last = info.Error
		}
		return table.Row{
			name(info.ExecutionID), a.colours.paint(statusColour(info.Status), string(info.Status)), humanize.Comma(int64(info.Events)),
			inline(last, summaryWidth), stamp(info.UpdatedAt, clock),
		}
	}, table.ColumnConfig{Name: "Events", Align: text.AlignRight})
}

func statusColour(status enact.Status) text.Color {
	switch status {
	case enact.StatusCompleted:
		return text.FgGreen
	case enact.StatusFailed, enact.StatusCancelled:
		return text.FgRed
	case enact.StatusPaused:
		return text.FgYellow
	}
	return text.FgCyan
}
