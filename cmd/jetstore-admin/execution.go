package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

func (a *app) executionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "execution",
		Aliases: []string{"exec"},
		Short:   "List executions, show them, follow them live",
		Long:    `List executions, show their state and their events, and follow them live.`,
		Example: `  jetstore-admin execution ls --store ./data --tenant acme
  jetstore-admin execution show --store ./data exec_2yB8…`,
	}
	grouping(cmd)
	cmd.AddCommand(
		a.diffCommand(), a.eventsCommand(), a.headCommand(), a.lsCommand(), a.showCommand(), a.tailCommand(), a.verifyCommand(),
	)
	return cmd
}

// tenantFlag is the --tenant of a command. Where it is not given, the tenant of an
// execution is looked up.
type tenantFlag struct{ id string }

func (t *tenantFlag) add(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&t.id, "tenant", "", usage)
}

// tenantOfOne is the usage of a --tenant that is looked up.
const tenantOfOne = "tenant of the execution (default: looked up)"

// executionArg checks an execution id of the command line.
func executionArg(arg string) (enact.ExecutionID, error) {
	id := enact.ExecutionID(arg)
	if err := id.Validate(); err != nil {
		return "", asUsage(err)
	}
	return id, nil
}

// required returns the tenant, which must be given.
func (t *tenantFlag) required() (enact.TenantID, error) {
	if t.id == "" {
		return "", usagef("--tenant is required")
	}
	tenant := enact.TenantID(t.id)
	if err := tenant.Validate(); err != nil {
		return "", asUsage(err)
	}
	return tenant, nil
}

// head returns the end of an execution's history, which may be empty; its TenantID
// is then the flag's, if any.
func (t *tenantFlag) head(ctx context.Context, store *jetstore.Store, id enact.ExecutionID) (enact.Head, error) {
	if t.id == "" {
		return store.Head(ctx, id)
	}
	tenant, err := t.required()
	if err != nil {
		return enact.Head{}, err
	}
	return store.Head(ctx, id, enact.InTenant(tenant))
}

// existing is head for an execution that must have events.
func (t *tenantFlag) existing(ctx context.Context, store *jetstore.Store, id enact.ExecutionID) (enact.Head, error) {
	head, err := t.head(ctx, store, id)
	if err == nil && head.Sequence == 0 {
		err = t.notFound(id)
	}
	return head, err
}

func (t *tenantFlag) notFound(id enact.ExecutionID) error {
	if t.id == "" {
		return fmt.Errorf("execution %q not found", id)
	}
	return fmt.Errorf("execution %q not found in tenant %q", id, t.id)
}

// withExecution opens the log and calls f with an execution that has events.
func (a *app) withExecution(ctx context.Context, t *tenantFlag, arg string, f func(jetstore.Execution, enact.Head) error) error {
	id, err := executionArg(arg)
	if err != nil {
		return err
	}
	return a.withStore(ctx, reads, func(store *jetstore.Store) error {
		head, err := t.existing(ctx, store, id)
		if err != nil {
			return err
		}
		return f(store.Execution(head.TenantID, id), head)
	})
}
