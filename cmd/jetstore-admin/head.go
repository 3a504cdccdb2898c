package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/jetstore"
)

// headFlags are the flags of head.
type headFlags struct {
	tenant tenantFlag
	all    bool
	file   string
}

func (a *app) headCommand() *cobra.Command {
	var flags headFlags
	cmd := &cobra.Command{
		Use:   "head [EXECUTION…]",
		Short: "Print the ends of histories, to be kept elsewhere and compared later",
		Long: `Print the end of each history: its sequence, its position, and the chain value, which
stands for all events up to it. With --all those of all executions, or of all of a
tenant with --tenant.

Kept where whoever can change the log cannot, heads show later whether the end of a
history was rewritten or is missing, which the log alone cannot show:
"execution verify --head FILE" and "fsck --head FILE" compare. So the output is what
they read, one JSON object a line, unless -o says otherwise.`,
		Example: `  jetstore-admin execution head --store ./data --all > heads.jsonl
  jetstore-admin execution head --store ./data --tenant acme --all --file heads.jsonl
  jetstore-admin execution head --store ./data -o table exec_2yB8…`,
		Args: func(_ *cobra.Command, args []string) error {
			if flags.all == (len(args) > 0) {
				return usagef("name executions, or give --all")
			}
			return nil
		},
		RunE: a.doLong(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("output") {
				a.format = formatJSONL
			}
			if flags.file != "" && a.format != formatJSONL {
				return usagef("--file is written as jsonl only")
			}
			return a.withStore(ctx, reads, func(store *jetstore.Store) error {
				if flags.all {
					return a.allHeads(ctx, store, &flags)
				}
				return a.someHeads(ctx, store, args, &flags)
			})
		}),
	}
	flags.tenant.add(cmd, "tenant of the executions (default: looked up; with --all: every tenant)")
	cmd.Flags().BoolVar(&flags.all, "all", false, "of all executions")
	cmd.Flags().StringVar(&flags.file, "file", "", "write to this `file`, which is replaced once all is written (default stdout)")
	return cmd
}

// someHeads prints the heads of executions that must have events.
func (a *app) someHeads(ctx context.Context, store *jetstore.Store, args []string, flags *headFlags) error {
	var heads []enact.Head
	for _, arg := range args {
		id, err := executionArg(arg)
		if err != nil {
			return err
		}
		head, err := flags.tenant.existing(ctx, store, id)
		if err != nil {
			return err
		}
		heads = append(heads, head)
	}
	return a.writeHeads(flags, func(write func(enact.Head) error) error {
		for _, head := range heads {
			if err := write(head); err != nil {
				return err
			}
		}
		return nil
	})
}

// allHeads prints the head of every execution, in bounded memory.
func (a *app) allHeads(ctx context.Context, store *jetstore.Store, flags *headFlags) error {
	tenants, err := a.tenantsOf(ctx, store, &flags.tenant)
	if err != nil {
		return err
	}
	var total uint64
	for _, t := range tenants {
		total += t.Executions
	}
	bar := a.progress("heads", int64(total), countUnit)
	defer bar.end()
	n, unreadable := 0, 0
	err = a.writeHeads(flags, func(write func(enact.Head) error) error {
		for _, t := range tenants {
			for x, err := range enact.AllExecutions(ctx, store, enact.Query{Tenant: t.TenantID, Limit: enact.MaxQueryLimit}) {
				if err != nil {
					return err
				}
				bar.add(1)
				head, err := store.Head(ctx, x.ExecutionID, enact.InTenant(t.TenantID))
				if errors.Is(err, enact.ErrCorrupt) || errors.Is(err, enact.ErrUnsupportedVersion) {
					// The others' heads are worth as much.
					a.notice("no head: %v", err)
					unreadable++
					continue
				}
				if err == nil {
					err = write(head)
				}
				if err != nil {
					return err
				}
				n++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	bar.end()
	a.notice("heads of %s", counted(n, "execution"))
	if unreadable > 0 {
		return fmt.Errorf("%s could not be read", counted(unreadable, "head"))
	}
	return nil
}

// tenantsOf returns the tenant of the flag, or all tenants.
func (a *app) tenantsOf(ctx context.Context, store *jetstore.Store, t *tenantFlag) ([]enact.TenantInfo, error) {
	if t.id == "" {
		return store.ListTenants(ctx)
	}
	tenant, err := t.required()
	return []enact.TenantInfo{{TenantID: tenant}}, err
}

// writeHeads writes what each gives to write, as the format and --file say.
func (a *app) writeHeads(flags *headFlags, each func(write func(enact.Head) error) error) error {
	lines := func(w io.Writer) error { return each(fsck.NewHeadWriter(w).Write) }
	switch {
	case flags.file != "":
		return replaceFile(flags.file, lines)
	case a.format == formatJSONL:
		return lines(a.stdout)
	}
	heads := []enact.Head{}
	err := each(func(h enact.Head) error {
		heads = append(heads, h)
		return nil
	})
	if err != nil {
		return err
	}
	return a.printHeads(heads)
}

func (a *app) printHeads(heads []enact.Head) error {
	return printList(a, heads, "no executions", table.Row{"Execution", "Tenant", "Sequence", "Position", "Chain"}, func(h enact.Head) table.Row {
		return table.Row{name(h.ExecutionID), name(h.TenantID), h.Sequence, h.Position, h.Chain.String()}
	})
}
