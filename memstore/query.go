package memstore

import (
	"context"
	"slices"
	"strings"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/cursor"
)

// Executions implements [enact.Querier]. Executions are in the order of
// [Store.ListExecutions]; a page is shorter than its limit only at the end of the list.
func (s *Store) Executions(ctx context.Context, q enact.Query) (page []enact.ExecutionInfo, next string, err error) {
	if err := s.admit(ctx, q.Validate); err != nil {
		return nil, "", err
	}
	list := cursor.List{Incarnation: s.incarnation, Tenant: q.Tenant}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, "", enact.ErrClosed
	}
	created := s.created[q.Tenant]
	// A place is the number of executions before the one that it names.
	left := len(created)
	if q.Cursor != "" {
		place, err := list.Decode(q.Cursor)
		if err != nil {
			return nil, "", err
		}
		left = int(min(place, uint64(left)))
	}
	page = []enact.ExecutionInfo{}
	for ; left > 0; left-- {
		if len(page) == q.PageSize() {
			return page, list.Encode(uint64(left)), nil
		}
		if x := s.histories[created[left-1]].info(); q.Matches(x) {
			page = append(page, x)
		}
	}
	return page, "", nil
}

// ListTenants implements [enact.Querier]. The counts are exact.
func (s *Store) ListTenants(ctx context.Context) ([]enact.TenantInfo, error) {
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, enact.ErrClosed
	}
	tenants := make([]enact.TenantInfo, 0, len(s.created))
	for id, created := range s.created {
		tenants = append(tenants, enact.TenantInfo{TenantID: id, Executions: uint64(len(created))})
	}
	slices.SortFunc(tenants, func(a, b enact.TenantInfo) int { return strings.Compare(string(a.TenantID), string(b.TenantID)) })
	return tenants, nil
}

// info is what a list says of the history, which is not empty.
func (h *history) info() enact.ExecutionInfo {
	last := len(h.events) - 1
	x := enact.ExecutionInfo{
		TenantID: h.tenant, ExecutionID: h.execution, Created: h.events[0].at, Updated: h.events[last].at,
		Events: h.latest(), Status: enact.StatusUnknown,
	}
	for i := last; i >= 0; i-- {
		if last-i == enact.StatusLookback {
			x.Status = enact.StatusRunning
			break
		}
		e, err := h.load(i)
		if err != nil {
			x.Err, x.Status = err, enact.StatusUnknown
			break
		}
		if i == last {
			x.LastEvent = e.Event.Type()
		}
		if status, ok := enact.StatusAfter(e.Event); ok {
			x.Status = status
			break
		}
	}
	return x
}
