package jetstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/enactlog/enact"
)

// ListTenants implements enact.Querier. It asks the index stream's leader for its
// subjects, 100 000 at a time, as the server counts them; the counts are of index entries,
// those of crashed creations included.
func (s *Store) ListTenants(ctx context.Context) ([]enact.TenantInfo, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	counts, err := s.indexSubjects(ctx)
	if err != nil {
		return nil, err
	}
	tenants := make([]enact.TenantInfo, 0, len(counts))
	for subject, n := range counts {
		tenant, err := s.cfg.subjects.ParseIndex(subject)
		if err != nil {
			return nil, &enact.CorruptError{Reason: fmt.Sprintf("foreign subject %.300q in the index: %v", subject, err)}
		}
		tenants = append(tenants, enact.TenantInfo{TenantID: tenant, Executions: n})
	}
	slices.SortFunc(tenants, func(a, b enact.TenantInfo) int { return strings.Compare(string(a.TenantID), string(b.TenantID)) })
	return tenants, nil
}

// indexSubjects returns the number of entries of each subject of the index. The pages
// are cut from a sorted list, to which subjects are added and from which none are taken:
// one that is added meanwhile may make another appear twice, and none is missed.
func (s *Store) indexSubjects(ctx context.Context) (map[string]uint64, error) {
	type subjectsPage struct {
		streamInfo
		Total int `json:"total"`
	}
	counts := make(map[string]uint64)
	for offset := 0; ; {
		page, err := retry(ctx, func() (*subjectsPage, error) {
			met := s.tails.highestOfAll() // before the question
			page := new(subjectsPage)
			err := s.asks.request(ctx, "STREAM.INFO."+s.cfg.index(), map[string]any{
				"subjects_filter": s.cfg.subjects.AllIndex(), "offset": offset,
			}, page)
			if err != nil {
				return nil, namedStream(err, s.cfg.index())
			}
			if page.State.Last < met {
				return nil, fmt.Errorf("%w: the leader's index ends at %d, %d was seen", enact.ErrStale, page.State.Last, met)
			}
			return page, nil
		})
		if err != nil {
			return nil, err
		}
		maps.Copy(counts, page.State.Subjects)
		if offset += len(page.State.Subjects); len(page.State.Subjects) == 0 || offset >= page.Total {
			return counts, nil
		}
	}
}
