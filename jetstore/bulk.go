package jetstore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/enactlog/enact/internal/record"
)

// A direct-get batch takes at most so many records and bytes: enough to make its
// round trip cheap, little enough that a page is small in memory.
const (
	batchRecords = 256
	batchBytes   = 1 << 20
	// staleTries is how often a replica that lags is asked again before the leader is.
	staleTries = 3
)

// bulk returns the records that follow prev (the zero tail: from the first), at
// least one, at most up to the watermark, each checked to continue the one before.
//
// They come from whatever replica answers. What a replica says that does not fit,
// or does not say, is asked of the leader, whose word is final: only there is a
// hole a hole.
func (s *Store) bulk(ctx context.Context, key execution, prev record.Tail, last *record.Record) ([]*record.Record, error) {
	missing := last.Link.Number - prev.Number
	if missing == 1 {
		return []*record.Record{last}, follows(last, prev)
	}
	for try := 0; ; try++ {
		records, err := s.dense(ctx, key, prev, int(min(missing, batchRecords)))
		if len(records) > 0 {
			return records, nil
		}
		if err != nil && !transient(err) || try >= staleTries {
			r, err := s.leaderNext(ctx, key, prev)
			if err != nil {
				return nil, err
			}
			return []*record.Record{r}, nil
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return nil, ended(waitErr, err)
		}
	}
}

// dense reads records with one direct-get batch. It returns those that fit, and an
// error if something that does not fit came after them.
func (s *Store) dense(ctx context.Context, key execution, prev record.Tail, n int) ([]*record.Record, error) {
	records := make([]*record.Record, 0, n)
	req := getRequest{Seq: prev.Position + 1, NextFor: s.subject(key), Batch: n, MaxBytes: batchBytes}
	err := s.reads.directBatch(ctx, s.cfg.stream, req, func(m *message) error {
		r, err := s.parse(m, key)
		if err == nil {
			err = follows(r, prev)
		}
		if err != nil {
			return err
		}
		records, prev = append(records, r), r.Tail()
		return nil
	})
	return records, err
}

// leaderNext reads the record after prev from the leader, which has it: a later one
// has been seen.
func (s *Store) leaderNext(ctx context.Context, key execution, prev record.Tail) (*record.Record, error) {
	m, err := retry(ctx, func() (*message, error) {
		m, err := s.asks.leaderGet(ctx, s.cfg.stream, getRequest{Seq: prev.Position + 1, NextFor: s.subject(key)})
		if errors.Is(err, errNotFound) {
			err = fmt.Errorf("enact: the leader has no record of subject %q after position %d, though a later one was seen", s.subject(key), prev.Position)
		}
		return m, err
	})
	if err != nil {
		return nil, err
	}
	r, err := s.parse(m, key)
	if err != nil {
		return nil, err
	}
	return r, follows(r, prev)
}

// follows checks that r continues a history that ends in prev. A CorruptError names
// the first thing that does not fit.
func follows(r *record.Record, prev record.Tail) error {
	switch {
	case r.Sequence > prev.Sequence+1:
		return r.Corrupt("hole: events %d to %d are missing", prev.Sequence+1, r.Sequence-1)
	case r.Sequence <= prev.Sequence:
		return r.Corrupt("repeat: event %d follows event %d", r.Sequence, prev.Sequence)
	case r.Link.Number != prev.Number+1:
		return r.Corrupt("record %d follows record %d", r.Link.Number, prev.Number)
	case r.Previous() != prev.Position:
		return r.Corrupt("the previous record is at position %d, the record says %d", prev.Position, r.Previous())
	case prev.Number > 0 && r.Link.Origin != prev.Origin:
		return r.Corrupt("the origin changes from %s to %s", prev.Origin, r.Link.Origin)
	case !r.Follows(prev.Chain):
		return r.Corrupt("broken chain: the record, or the one before it, is not what was appended")
	}
	return nil
}

// recordsFrom yields start and what follows it up to the watermark, each checked
// against the one before, start by its own link only.
func (s *Store) recordsFrom(ctx context.Context, key execution, start, last *record.Record) iter.Seq2[*record.Record, error] {
	return func(yield func(*record.Record, error) bool) {
		if !yield(start, nil) {
			return
		}
		for prev := start.Tail(); prev.Number < last.Link.Number; {
			records, err := s.bulk(ctx, key, prev, last)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
			prev = records[len(records)-1].Tail()
		}
	}
}
