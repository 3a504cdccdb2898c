package consumer

import (
	"context"
	"fmt"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// Filter selects events of a log. The zero Filter selects all.
type Filter struct {
	Tenants []enact.TenantID // none: all tenants
	// Types are types of events, as in enact.TypeStepCompleted; none: all. They are
	// looked at in this process: the server sends whole records.
	Types []string
}

// Validate returns an [*enact.IDError] for an invalid tenant and an
// [*enact.OptionError] for an empty type.
func (f Filter) Validate() error {
	for _, t := range f.Tenants {
		if err := t.Validate(); err != nil {
			return err
		}
	}
	if slices.Contains(f.Types, "") {
		return invalid("Filter.Types", "one is empty")
	}
	return nil
}

// subjects returns the subjects that the server is to deliver, sorted; nil for all.
func (f Filter) subjects(s enact.Subjects) []string {
	var subjects []string
	for _, t := range f.Tenants {
		subjects = append(subjects, s.Tenant(t))
	}
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

// selects returns a function that tells which events the filter selects; nil for all.
func (f Filter) selects() func(enact.Event) bool {
	if len(f.Types) == 0 {
		return nil
	}
	types := make(map[string]bool, len(f.Types))
	for _, t := range f.Types {
		types[t] = true
	}
	return func(e enact.Event) bool { return types[e.Type()] }
}

// check refuses a filter that is invalid or, unless allowed, names a tenant without
// executions.
func (f Filter) check(ctx context.Context, store *jetstore.Store, allowNew bool) error {
	if err := f.Validate(); err != nil || allowNew {
		return err
	}
	for _, t := range f.Tenants {
		known, err := store.ListExecutions(ctx, t, 1, 0)
		if err != nil {
			return fmt.Errorf("consumer: look for tenant %q: %w", string(t), err)
		}
		if len(known) == 0 {
			return &UnknownTenantError{TenantID: t}
		}
	}
	return nil
}
