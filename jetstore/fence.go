package jetstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// parse decodes a message that should be a record of the execution.
func (s *Store) parse(m *message, key execution) (*record.Record, error) {
	r, err := record.Parse(s.cfg.subjects, m.subject, m.position, m.header, m.data)
	if err != nil || r.TenantID != key.tenant || r.ExecutionID != key.id {
		if want := s.subject(key); m.subject != want {
			return nil, &enact.CorruptError{
				TenantID: key.tenant, ExecutionID: key.id, Position: m.position,
				Reason: fmt.Sprintf("a message of subject %q where one of %q was expected", m.subject, want),
			}
		}
	}
	if err != nil {
		return nil, err
	}
	s.sawPosition(r.Position)
	return r, nil
}

func (s *Store) subject(key execution) string {
	return s.cfg.subjects.Execution(key.tenant, key.id)
}

// lastRecord is the fence under every read and every cold append: it asks the
// leader for the execution's last record, which is the watermark that the answer
// must reach. It returns nil if the execution is proven to have none. An answer
// older than what this store has written or read is asked for again: a leader that
// has lost its office without knowing it gives such answers for some seconds.
func (s *Store) lastRecord(ctx context.Context, key execution) (*record.Record, error) {
	return retry(ctx, func() (*record.Record, error) {
		// What was met before the question is what the answer must reach: appends of
		// this store go on meanwhile.
		met := s.lanes.highest(key)
		m, err := s.asks.leaderGet(ctx, s.cfg.stream, getRequest{LastFor: s.subject(key)})
		if err == errNotFound {
			return nil, s.proveAbsent(ctx, key)
		}
		if err != nil {
			return nil, err
		}
		r, err := s.parse(m, key)
		if err != nil {
			return nil, err
		}
		if r.Position < met {
			s.happened(ctx, StaleAnswer)
			return nil, fmt.Errorf("%w: the leader's last record is at position %d, %d was seen", enact.ErrStale, r.Position, met)
		}
		s.lanes.meet(key, markOf(r))
		return r, nil
	})
}

// proveAbsent returns nil if the execution has no records. "Not found" is no proof:
// a message get reports read errors so (store.LoadLastMsg), and a check against 0
// would then be accepted on an existing execution.
func (s *Store) proveAbsent(ctx context.Context, key execution) error {
	met := s.lanes.highest(key) // before the question
	holders, err := s.holders(ctx, key.id)
	if err != nil {
		return err
	}
	if slices.Contains(holders, key.tenant) {
		return fmt.Errorf("enact: the leader cannot read the last record of subject %q, which has records", s.subject(key))
	}
	if met > 0 && s.lanes.highest(key) >= met { // else it was met in an earlier incarnation of the stream
		return &enact.CorruptError{
			TenantID: key.tenant, ExecutionID: key.id, Position: met,
			Reason: "the stream no longer holds the execution, of which a record was seen at this position",
		}
	}
	return nil
}

// holders returns the tenants in which the execution id has records, see presence.
func (s *Store) holders(ctx context.Context, id enact.ExecutionID) ([]enact.TenantID, error) {
	p, err := s.presence(ctx, id)
	return p.holders, err
}

// presence is what the leader says of an execution id and of the stream that it is in.
type presence struct {
	holders     []enact.TenantID // tenants in which the id has records, sorted
	incarnation string
	first, last uint64 // positions of the stream
}

// presence asks the leader, whose index of subjects is in memory. An answer that has not
// reached the highest position this store has met is asked for again.
func (s *Store) presence(ctx context.Context, id enact.ExecutionID) (presence, error) {
	info, err := retry(ctx, func() (*streamInfo, error) {
		// What was seen before the question is what the answer must reach.
		seen := s.seen.Load()
		info, err := s.asks.info(ctx, s.cfg.stream, s.cfg.subjects.AnyTenant(id))
		if err == nil && info.State.Last < seen {
			s.happened(ctx, StaleAnswer)
			err = fmt.Errorf("%w: the leader's stream ends at %d, %d was seen", enact.ErrStale, info.State.Last, seen)
		}
		return info, err
	})
	if err != nil {
		return presence{}, err
	}
	p := presence{
		holders:     make([]enact.TenantID, 0, len(info.State.Subjects)),
		incarnation: incarnationOf(info.Config.Metadata, info.Created),
		first:       info.State.First, last: info.State.Last,
	}
	s.sawIncarnation(p.incarnation)
	for subject := range info.State.Subjects {
		tenant, _, err := s.cfg.subjects.ParseExecution(subject)
		if err != nil {
			return presence{}, &enact.CorruptError{ExecutionID: id, Reason: fmt.Sprintf("foreign subject %q in the stream", subject)}
		}
		p.holders = append(p.holders, tenant)
	}
	slices.Sort(p.holders)
	return p, nil
}

// sawIncarnation forgets everything about executions when the stream was deleted
// and made again.
func (s *Store) sawIncarnation(inc string) {
	if s.inc.Swap(inc) != inc {
		s.forget()
	}
}

// forget forgets everything about executions.
func (s *Store) forget() {
	s.lanes.reset()
	s.index.reset()
	s.statuses.reset()
}

func (s *Store) incarnation() string { return s.inc.Load().(string) }

// tenantOf finds the tenant of an execution that a read named without one; ok is
// false if no tenant has it.
func (s *Store) tenantOf(ctx context.Context, id enact.ExecutionID) (tenant enact.TenantID, ok bool, err error) {
	if tenant, ok := s.lanes.tenantOf(id); ok {
		return tenant, true, nil
	}
	holders, err := s.holders(ctx, id)
	switch {
	case err != nil:
		return "", false, err
	case len(holders) > 1:
		return "", false, fmt.Errorf("%w: %q", enact.ErrAmbiguousExecution, id)
	case len(holders) == 0:
		return "", false, nil
	}
	return holders[0], true, nil
}
