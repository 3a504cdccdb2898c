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
// those of crashed creations included. Where each tenant has streams, it asks for the index
// streams, 256 at a time; a tenant without executions, but with streams, is listed with 0.
func (s *Store) ListTenants(ctx context.Context) ([]enact.TenantInfo, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	count := s.indexSubjects
	if s.tenants != nil {
		count = s.indexStreams
	}
	counts, err := count(ctx)
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
			err := s.asks.requestWithin(ctx, pageTimeout, "STREAM.INFO."+s.cfg.index(), map[string]any{
				"subjects_filter": s.cfg.subjects.AllIndex(), "offset": offset,
			}, page)
			if err != nil {
				return nil, namedStream(err, s.cfg.index())
			}
			return page, s.indexReached(&page.streamInfo, met)
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

// indexStreams returns the number of entries of each tenant's index stream, by subject.
func (s *Store) indexStreams(ctx context.Context) (map[string]uint64, error) {
	type streamsPage struct {
		answer
		Total   int      `json:"total"`
		Missing []string `json:"missing"`
		Streams []struct {
			Config struct {
				Name     string   `json:"name"`
				Subjects []string `json:"subjects"`
			} `json:"config"`
			State struct {
				Messages uint64 `json:"messages"`
			} `json:"state"`
		} `json:"streams"`
	}
	counts := make(map[string]uint64)
	for offset := 0; ; {
		page, err := retry(ctx, func() (*streamsPage, error) {
			page := new(streamsPage)
			err := s.asks.requestWithin(ctx, pageTimeout, "STREAM.LIST", map[string]any{"subject": s.cfg.subjects.AllIndex(), "offset": offset}, page)
			if err == nil && len(page.Missing) > 0 {
				err = fmt.Errorf("enact: %d streams have no leader just now, %.300q for one", len(page.Missing), page.Missing[0])
			}
			return page, err
		})
		if err != nil {
			return nil, err
		}
		for _, stream := range page.Streams {
			if strings.HasPrefix(stream.Config.Name, s.cfg.index()+"-") && len(stream.Config.Subjects) == 1 {
				counts[stream.Config.Subjects[0]] = stream.State.Messages
			}
		}
		if offset += len(page.Streams); len(page.Streams) == 0 || offset >= page.Total {
			return counts, nil
		}
	}
}
