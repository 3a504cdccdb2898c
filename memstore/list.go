package memstore

import (
	"context"

	"github.com/enactlog/enact"
)

// ListExecutions implements [enact.Lister]. Executions are in the order in which
// their first appends took effect, whatever their timestamps.
func (s *Store) ListExecutions(ctx context.Context, tenant enact.TenantID, limit, offset int) ([]enact.ExecutionID, error) {
	validPage := func() error { return enact.ValidatePage(limit, offset) }
	if err := s.admit(ctx, tenant.Validate, validPage); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, enact.ErrClosed
	}
	created := s.created[tenant]
	newest := max(0, len(created)-offset)
	page := make([]enact.ExecutionID, min(newest, limit))
	for i := range page {
		page[i] = created[newest-1-i]
	}
	return page, nil
}
