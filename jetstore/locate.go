package jetstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/enactlog/enact/internal/record"
)

// walkFrom returns a walk up to last that begins with the record which holds event sequence.
// Where that is in the middle, the chain check starts from the record before it.
func (s *Store) walkFrom(ctx context.Context, key execution, sequence uint64, last *record.Record) (*walk, error) {
	if sequence == 1 {
		return s.newWalk(key, record.Tail{}, last), nil
	}
	start, before, err := s.startOf(ctx, key, sequence, last)
	if err != nil {
		return nil, err
	}
	return s.walkAt(key, start, before, last), nil
}

// startOf returns the record that holds event sequence, at or before last, and the one
// before it, nil if it is the first.
func (s *Store) startOf(ctx context.Context, key execution, sequence uint64, last *record.Record) (start, before *record.Record, err error) {
	start, err = s.locate(ctx, key, last, func(first, _ uint64) bool { return first <= sequence })
	if err != nil || start.Link.Number == 1 {
		return start, nil, err
	}
	if before, err = s.recordAt(ctx, key, start.Previous()); err != nil {
		return nil, nil, err
	}
	return start, before, names(start, 0, start.Link.Number-1, before)
}

// names returns an error if what stands where the record's back entry i says that record
// number is, is another one.
func names(r *record.Record, i int, number uint64, stands *record.Record) error {
	if ref := r.Link.Back[i]; stands.Sequence != ref.Sequence || stands.Link.Number != number {
		return stands.Corrupt("link: record %d stands where record %d says that record %d with event %d is", stands.Link.Number, r.Link.Number, number, ref.Sequence)
	}
	return nil
}

// walkAt returns a walk from start, which was read already, to last.
func (s *Store) walkAt(key execution, start, before, last *record.Record) *walk {
	var prev record.Tail
	if before != nil {
		prev = before.Tail()
	}
	w := s.newWalk(key, prev, last)
	if follows(start, prev) == nil {
		w.early = []*record.Record{start}
	}
	return w
}

// locate returns the latest record, at or before from, that has reached its goal;
// reached is told a record's first sequence and its number, and holds for the first
// record and every one up to some point. Each step takes the farthest jump in the
// record's back list that does not pass the goal: O(log n) point reads.
func (s *Store) locate(ctx context.Context, key execution, from *record.Record, reached func(sequence, number uint64) bool) (*record.Record, error) {
	r := from
	for !reached(r.Sequence, r.Link.Number) {
		i, jump, number := 0, 0, r.Link.Number-1
		for n := range record.Numbers(r.Link.Number) {
			if reached(r.Link.Back[i].Sequence, n) {
				break
			}
			jump, number = i, n
			i++
		}
		earlier, err := s.recordAt(ctx, key, r.Link.Back[jump].Position)
		if err != nil {
			return nil, err
		}
		if err := names(r, jump, number, earlier); err != nil {
			return nil, err
		}
		r = earlier
	}
	return r, nil
}

// recordAt reads the execution's record at a position that another of its records
// names: from any replica, and where that has nothing that fits, from the leader. That
// it is missing is said only when the leader shows a later one.
func (s *Store) recordAt(ctx context.Context, key execution, position uint64) (*record.Record, error) {
	for try := range staleTries {
		m, err := s.reads.directGet(ctx, s.cfg.stream, getRequest{Seq: position})
		if err == nil {
			if r, err := s.parse(m, key); err == nil {
				return r, nil
			}
			break
		}
		if errors.Is(err, errNotFound) {
			s.happened(ctx, StaleAnswer)
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return nil, ended(waitErr, err)
		}
	}
	m, err := retry(ctx, func() (*message, error) {
		m, err := s.asks.leaderGet(ctx, s.cfg.stream, getRequest{Seq: position, NextFor: s.subject(key)})
		if errors.Is(err, errNotFound) {
			// No proof, since a read error looks the same. A later record would be one.
			err = fmt.Errorf("enact: the leader has no record of subject %q from position %d on", s.subject(key), position)
		}
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("enact: read position %d: %w", position, err)
	}
	if m.position != position {
		return nil, (&record.Record{TenantID: key.tenant, ExecutionID: key.id, Position: position}).
			Corrupt("the stream has no record where the execution's records say one is")
	}
	return s.parse(m, key)
}
