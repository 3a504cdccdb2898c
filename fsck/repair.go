package fsck

import (
	"context"
	"errors"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// Repair adds the index entries that the log's executions lack: those that [Unlisted]
// findings tell of, and of executions that were created since. It adds and does nothing
// else: what other findings tell of stays as it is. It is [jetstore.Store.RebuildIndex], of
// each tenant where each has streams of its own, and of the one that is named unless tenant
// is "". Its errors are those, and enact.ErrInvalidOption for a tenant of a shared stream.
func Repair(ctx context.Context, store *jetstore.Store, tenant enact.TenantID, progress func(jetstore.RebuildProgress)) (added uint64, err error) {
	probe, err := store.Attach()
	if err == nil {
		probe.Close()
		if tenant != "" {
			return 0, &enact.OptionError{Option: "tenant", Reason: "shares its streams: they are repaired as a whole"}
		}
		report, err := store.RebuildIndex(ctx, progress)
		return report.Added, err
	}
	if !errors.Is(err, enact.ErrTenantRequired) {
		return 0, err
	}
	tenants, err := tenantsOf(ctx, store, tenant)
	if err != nil {
		return 0, err
	}
	for _, tenant := range tenants {
		part, err := store.Tenant(ctx, tenant)
		if err != nil {
			return added, err
		}
		report, err := part.RebuildIndex(ctx, progress)
		added += report.Added
		if err != nil {
			return added, err
		}
	}
	return added, nil
}

// tenantsOf returns the tenants of a store with a stream for each: the one that is named, or all.
func tenantsOf(ctx context.Context, store *jetstore.Store, only enact.TenantID) ([]enact.TenantID, error) {
	if only != "" {
		return []enact.TenantID{only}, nil
	}
	infos, err := store.ListTenants(ctx)
	if err != nil {
		return nil, err
	}
	tenants := make([]enact.TenantID, len(infos))
	for i, info := range infos {
		tenants[i] = info.TenantID
	}
	return tenants, nil
}
