package main

import (
	"context"
	"errors"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// lsFlags are the flags of ls.
type lsFlags struct {
	tenant        tenantFlag
	limit, offset int
	cursor        string
	status        []string
	lastEvent     []string

	since, until, updatedSince, updatedUntil string
}

func (a *app) lsCommand() *cobra.Command {
	var flags lsFlags
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the executions of a tenant, newest created first",
		Long: `List the executions of a tenant, newest created first, each with its status, the
number of its events, and the type and time of the last one.

Filters are added up. Times are RFC 3339, a date, or how long ago, as in 90m or 24h.
Where there are more executions than --limit, the cursor of the rest is said on stderr;
a cursor stays in its place, whatever is created meanwhile.`,
		Example: `  jetstore-admin execution ls --store ./data --tenant acme
  jetstore-admin execution ls --store ./data --tenant acme --status failed,cancelled --since 24h
  jetstore-admin execution ls --store ./data --tenant acme --limit 1000 --cursor AYk… -o json`,
		Args: takes(0, 0),
		RunE: a.do(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			q, err := flags.query(time.Now())
			if err != nil {
				return err
			}
			return a.withStore(ctx, reads, func(store *jetstore.Store) error {
				infos, next, err := listInfos(ctx, store, q, flags.limit, flags.offset)
				if errors.Is(err, enact.ErrInvalidCursor) {
					return usagef("--cursor: %v", err)
				}
				if err != nil {
					return err
				}
				if err := a.printInfos(infos); err != nil {
					return err
				}
				if next != "" {
					a.notice("more: --cursor %s", next)
				}
				return nil
			})
		}),
	}
	flags.tenant.add(cmd, "tenant whose executions are listed (required)")
	f := cmd.Flags()
	f.IntVarP(&flags.limit, "limit", "n", 50, "at most so many executions")
	f.IntVar(&flags.offset, "offset", 0, "skip so many executions first")
	f.StringVar(&flags.cursor, "cursor", "", "go on where another list ended")
	f.StringSliceVar(&flags.status, "status", nil, "only with one of these `statuses`: running, paused, completed, failed, cancelled, unknown")
	f.StringSliceVar(&flags.lastEvent, "last-event", nil, "only whose last event is of one of these `types`")
	f.StringVar(&flags.since, "since", "", "only created at this `time` or later")
	f.StringVar(&flags.until, "until", "", "only created before this `time`")
	f.StringVar(&flags.updatedSince, "updated-since", "", "only with their last event at this `time` or later")
	f.StringVar(&flags.updatedUntil, "updated-until", "", "only with their last event before this `time`")
	return cmd
}

// query makes the query that the flags describe, as of now, without a limit.
func (f *lsFlags) query(now time.Time) (q enact.Query, err error) {
	if q.Tenant, err = f.tenant.required(); err != nil {
		return q, err
	}
	if err := enact.ValidatePage(f.limit, f.offset); err != nil {
		return q, asUsage(err)
	}
	q.Cursor, q.LastEvent = f.cursor, f.lastEvent
	for _, s := range f.status {
		q.Status = append(q.Status, enact.Status(s))
	}
	for _, t := range []struct {
		flag, value string
		into        *time.Time
	}{
		{"since", f.since, &q.Since},
		{"until", f.until, &q.Until},
		{"updated-since", f.updatedSince, &q.UpdatedSince},
		{"updated-until", f.updatedUntil, &q.UpdatedUntil},
	} {
		if t.value == "" {
			continue
		}
		if *t.into, err = parseWhen(t.value, now); err != nil {
			return q, usagef("--%s %q: %v", t.flag, t.value, err)
		}
	}
	if err := q.Validate(); err != nil {
		return q, asUsage(err)
	}
	return q, nil
}

// parseWhen reads a time: RFC 3339, a date (its beginning in UTC), or how long before now.
func parseWhen(s string, now time.Time) (time.Time, error) {
	if t, err := enact.ParseTime(s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, errors.New("is no time, date or duration")
}

// executionInfo is an execution in a list, as printed.
type executionInfo struct {
	ExecutionID enact.ExecutionID `json:"execution_id"`
	TenantID    enact.TenantID    `json:"tenant_id"`
	Status      enact.Status      `json:"status"`
	Events      uint64            `json:"events"`
	LastType    string            `json:"last_type"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Error       string            `json:"error,omitempty"` // why the execution's end cannot be read
}

// listInfos lists limit executions behind the first offset ones. next is the cursor of
// those behind, "" if there are none.
func listInfos(ctx context.Context, store *jetstore.Store, q enact.Query, limit, offset int) (infos []executionInfo, next string, err error) {
	infos = []executionInfo{}
	if limit == 0 {
		return infos, q.Cursor, nil
	}
	for {
		// Never more than are wanted, so that the cursor stands behind the last one.
		q.Limit = enact.MaxQueryLimit
		if limit-len(infos) < q.Limit && offset < q.Limit {
			q.Limit = min(q.Limit, limit-len(infos)+offset)
		}
		page, next, err := store.Executions(ctx, q)
		if err != nil {
			return nil, "", err
		}
		skip := min(offset, len(page))
		offset -= skip
		for _, x := range page[skip:] {
			infos = append(infos, infoOf(x))
		}
		if q.Cursor = next; next == "" || len(infos) == limit {
			return infos, next, nil
		}
	}
}

func infoOf(x enact.ExecutionInfo) executionInfo {
	info := executionInfo{
		ExecutionID: x.ExecutionID, TenantID: x.TenantID, Status: x.Status, Events: x.Events, LastType: x.LastEvent,
		CreatedAt: x.Created, UpdatedAt: x.Updated,
	}
	if x.Err != nil {
		info.Error = x.Err.Error()
	}
	return info
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
