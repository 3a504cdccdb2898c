package enact

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Bounds of a [Query].
const (
	DefaultQueryLimit = 50
	MaxQueryLimit     = 1000

	// StatusLookback is how many of an execution's last events are looked at for the
	// one that decides its status in a list.
	StatusLookback = 1024
)

// Querier lists executions with what is known of them; a store may offer it.
type Querier interface {
	// Executions returns the tenant's executions that match the query, newest created
	// first. next is the cursor of the page behind this one, "" at the end of the
	// list. A page may be shorter than the limit, even empty, while next is not "":
	// a store looks at a bounded number of executions at a time.
	//
	// Pages joined by their cursors hold every execution whose first append was
	// acknowledged before the first page was asked for, once each, whatever is
	// created meanwhile. What is said of an execution is as it stood when its page
	// was asked for, or later: every append acknowledged before that is in it.
	//
	// A cursor is a place in the tenant's list, not a query: filters and limit may
	// change from page to page.
	//
	// Errors: ErrInvalidID, ErrInvalidOption, ErrInvalidCursor, ErrCorrupt (the list
	// itself; for an execution see [ExecutionInfo]), ErrStale, ErrNotPermitted,
	// ErrClosed, or the context's.
	Executions(ctx context.Context, q Query) (page []ExecutionInfo, next string, err error)
	// ListTenants returns the tenants that have executions, in the order of their
	// ids. Errors: ErrCorrupt, ErrStale, ErrNotPermitted, ErrClosed, or the context's.
	ListTenants(ctx context.Context) ([]TenantInfo, error)
}

// Query chooses executions of a tenant. The zero value of every field but Tenant is
// ready for use.
type Query struct {
	Tenant TenantID
	Limit  int    // greatest number of executions in the page; 0: DefaultQueryLimit, at most MaxQueryLimit
	Cursor string // as returned with the page before; "": from the newest

	Status    []Status  // has one of these; empty: any
	LastEvent []string  // its last event is of one of these types; empty: any
	Since     time.Time // created then or later; zero: any time
	Until     time.Time // created before; zero: any time

	UpdatedSince time.Time // last event then or later; zero: any time
	UpdatedUntil time.Time // last event before; zero: any time
}

// Validate returns an [*IDError] for the tenant and an [*OptionError] for a limit out
// of range, a status that there is not, or an interval that holds no time. It does not
// look at the cursor.
func (q Query) Validate() error {
	if err := q.Tenant.Validate(); err != nil {
		return err
	}
	if q.Limit < 0 || q.Limit > MaxQueryLimit {
		return &OptionError{Option: "Limit", Reason: fmt.Sprintf("%d is not within 0 to %d", q.Limit, MaxQueryLimit)}
	}
	for _, s := range q.Status {
		switch s {
		case StatusUnknown, StatusRunning, StatusPaused, StatusCompleted, StatusFailed, StatusCancelled:
		default:
			return &OptionError{Option: "Status", Reason: fmt.Sprintf("%q is no status", clip(string(s)))}
		}
	}
	for _, in := range []struct {
		option       string
		since, until time.Time
	}{{"Until", q.Since, q.Until}, {"UpdatedUntil", q.UpdatedSince, q.UpdatedUntil}} {
		if !in.since.IsZero() && !in.until.IsZero() && !in.since.Before(in.until) {
			return &OptionError{Option: in.option, Reason: fmt.Sprintf("%v is not after %v", in.until, in.since)}
		}
	}
	return nil
}

// PageSize returns the greatest number of executions in the page.
func (q Query) PageSize() int {
	if q.Limit == 0 {
		return DefaultQueryLimit
	}
	return q.Limit
}

// MatchesCreated reports whether an execution created at t is within Since and Until.
func (q Query) MatchesCreated(t time.Time) bool { return within(t, q.Since, q.Until) }

// Matches reports whether the execution is one that the query chooses from its
// tenant's. One that could not be read (Err) is chosen by what is known of it.
func (q Query) Matches(x ExecutionInfo) bool {
	return q.MatchesCreated(x.Created) && within(x.Updated, q.UpdatedSince, q.UpdatedUntil) &&
		(len(q.LastEvent) == 0 || slices.Contains(q.LastEvent, x.LastEvent)) &&
		(len(q.Status) == 0 || slices.Contains(q.Status, x.Status))
}

func within(t, since, until time.Time) bool {
	return (since.IsZero() || !t.Before(since)) && (until.IsZero() || t.Before(until))
}

// ExecutionInfo is what a list says of an execution.
type ExecutionInfo struct {
	TenantID    TenantID    `json:"tenant_id"`
	ExecutionID ExecutionID `json:"execution_id"`
	Created     time.Time   `json:"created_at"` // time of its first event
	Updated     time.Time   `json:"updated_at"` // time of its last event
	Events      uint64      `json:"events"`     // number of events, at least 1
	LastEvent   string      `json:"last_event"` // type of its last event
	// Status is what the last event that gives one says (see [StatusAfter]), as package
	// replay has it. It is looked for in the last [StatusLookback] events: an execution
	// that has so many behind the last that gave one is [StatusRunning].
	Status Status `json:"status"`
	// Err is not nil where the execution's end cannot be read: ErrCorrupt,
	// ErrUnknownCodec, ErrUnsupportedVersion. It is listed all the same; Updated, Events
	// and LastEvent are zero where they are not known, Status is StatusUnknown.
	Err error `json:"-"`
}

// TenantInfo is what a list says of a tenant.
type TenantInfo struct {
	TenantID TenantID `json:"tenant_id"`
	// Executions is not less than the number of the tenant's executions; creations that
	// crashed or lost a race may count too.
	Executions uint64 `json:"executions"`
}

// AllExecutions yields all executions that match the query, page by page from its
// cursor on; q.Limit is the size of a page. An error is yielded once, last, beside a
// zero value.
func AllExecutions(ctx context.Context, from Querier, q Query) iter.Seq2[ExecutionInfo, error] {
	return func(yield func(ExecutionInfo, error) bool) {
		for at := q; ; {
			page, next, err := from.Executions(ctx, at)
			if err != nil {
				yield(ExecutionInfo{}, err)
				return
			}
			for _, x := range page {
				if !yield(x, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			at.Cursor = next
		}
	}
}
