package jetstore

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// roomAhead is for how many events that are still to be read a load makes room at once.
const roomAhead = 1 << 16

// LoadEvents implements enact.Reader.
func (s *Store) LoadEvents(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	return s.LoadEventsAfter(ctx, execution, 0, opts...)
}

// LoadEventsAfter implements enact.Reader.
func (s *Store) LoadEventsAfter(ctx context.Context, execution enact.ExecutionID, afterSeq uint64, opts ...enact.ReadOption) (events []enact.StoredEvent, err error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	o, err := readOptions(execution, opts)
	if err != nil {
		return nil, err
	}
	if s, err = s.ofRead(ctx, &o); err != nil {
		return nil, err
	}
	ctx, seen := s.Observe(ctx, s.loading(execution, &o))
	if seen.Watched() {
		defer func() { seen.End(Outcome{Err: err, Events: len(events)}) }()
	}
	rd := s.newReading(execution, afterSeq, o, within)
	defer rd.close()
	events = []enact.StoredEvent{}
	for {
		page, err := rd.next(ctx)
		if err != nil {
			return nil, err
		}
		if page == nil {
			return events, nil
		}
		if len(events) == 0 {
			events = slices.Grow(events, len(page)+int(min(rd.left(), roomAhead)))
		}
		events = append(events, page...)
	}
}

// loading describes a read.
func (s *Store) loading(execution enact.ExecutionID, o *enact.ReadOptions) Operation {
	op := Operation{Kind: Loading, Stream: s.cfg.stream, Execution: execution}
	if o.TenantID != nil {
		op.Tenant = *o.TenantID
	}
	return op
}

// within is the wait for a page of a call that is counted in already.
func within(ctx context.Context) (context.Context, func(), error) { return ctx, func() {}, nil }

// Events implements enact.Reader. Where the context has no deadline, the store's
// time-out bounds each wait for the server, not the iteration.
func (s *Store) Events(ctx context.Context, execution enact.ExecutionID, afterSeq uint64, opts ...enact.ReadOption) iter.Seq2[enact.StoredEvent, error] {
	return func(yield func(enact.StoredEvent, error) bool) {
		o, err := readOptions(execution, opts)
		part := s
		if err == nil {
			part, err = s.partFor(ctx, &o)
		}
		if err != nil {
			yield(enact.StoredEvent{}, err)
			return
		}
		ctx, seen := part.Observe(ctx, part.loading(execution, &o))
		read := 0
		if seen.Watched() {
			defer func() { seen.End(Outcome{Err: err, Events: read}) }()
		}
		rd := part.newReading(execution, afterSeq, o, part.begin)
		defer rd.close()
		for err == nil {
			var page []enact.StoredEvent
			if page, err = rd.next(ctx); page == nil && err == nil {
				return
			}
			for _, ev := range page {
				if err = ctx.Err(); err != nil {
					break
				}
				read++
				if !yield(ev, nil) {
					return
				}
			}
		}
		yield(enact.StoredEvent{}, err)
	}
}

// LatestSequence implements enact.Reader.
func (s *Store) LatestSequence(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (sequence uint64, ok bool, err error) {
	head, err := s.Head(ctx, execution, opts...)
	return head.Sequence, head.Sequence > 0, err
}

// ExecutionExists implements enact.Reader.
func (s *Store) ExecutionExists(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (bool, error) {
	head, err := s.Head(ctx, execution, opts...)
	return head.Sequence > 0, err
}

// CountEvents implements enact.Reader.
func (s *Store) CountEvents(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (uint64, error) {
	head, err := s.Head(ctx, execution, opts...)
	return head.Sequence, err
}

// Head returns the end of an execution's history, which later proves it. An unknown
// execution has a head whose Sequence is 0. Errors are those of enact.Reader.
func (s *Store) Head(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (enact.Head, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return enact.Head{}, err
	}
	defer end()
	o, err := readOptions(execution, opts)
	if err != nil {
		return enact.Head{}, err
	}
	if s, err = s.ofRead(ctx, &o); err != nil {
		return enact.Head{}, err
	}
	key, last, err := s.watermark(ctx, execution, o)
	head := enact.Head{TenantID: key.tenant, ExecutionID: execution}
	if err != nil || last == nil {
		return head, err
	}
	if inBatch(last) {
		return head, torn(last)
	}
	head.Sequence, head.Position, head.Chain = last.Last(), last.Position, last.Link.Chain
	return head, nil
}

func readOptions(execution enact.ExecutionID, opts []enact.ReadOption) (enact.ReadOptions, error) {
	o := enact.NewReadOptions(opts...)
	if err := execution.Validate(); err != nil {
		return o, err
	}
	return o, o.Validate()
}

// watermark returns the execution's last record, which the read must reach; nil if
// it has none.
func (s *Store) watermark(ctx context.Context, id enact.ExecutionID, o enact.ReadOptions) (execution, *record.Record, error) {
	type answer struct {
		key  execution
		last *record.Record
	}
	a, err := retry(ctx, func() (answer, error) {
		key, last, err := s.lastOf(ctx, id, o)
		if err == nil && o.AtLeast > 0 && (last == nil || last.Last() < o.AtLeast) {
			s.happened(ctx, StaleAnswer)
			err = fmt.Errorf("%w: execution %q has not reached sequence %d", enact.ErrStale, id, o.AtLeast)
		}
		return answer{key, last}, err
	})
	return a.key, a.last, err
}

func (s *Store) lastOf(ctx context.Context, id enact.ExecutionID, o enact.ReadOptions) (execution, *record.Record, error) {
	key, inc := execution{id: id}, s.incarnation()
	if o.TenantID != nil {
		key.tenant = *o.TenantID
	} else {
		tenant, ok, err := s.tenantOf(ctx, id)
		if err != nil || !ok {
			return key, nil, err
		}
		key.tenant = tenant
	}
	if o.AllowStale {
		last, err := s.anyLast(ctx, key)
		return key, last, err
	}
	last, err := s.lastRecord(ctx, key)
	if last == nil && err == nil && o.TenantID == nil && s.incarnation() != inc {
		// It was met in a stream that is gone. In the one of now another tenant may have it.
		return s.lastOf(ctx, id, o)
	}
	return key, last, err
}

// anyLast asks any replica for the execution's last record. What the replica has
// not got, the read does not see: that is what AllowStale allows. A batch that the
// replica has in part is asked of the leader.
func (s *Store) anyLast(ctx context.Context, key execution) (*record.Record, error) {
	m, err := retry(ctx, func() (*message, error) {
		return s.reads.directGet(ctx, s.cfg.stream, getRequest{LastFor: s.subject(key)})
	})
	if err == errNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := s.parse(m, key)
	if err != nil {
		return nil, err
	}
	s.lanes.meet(key, markOf(r)) // no later answer of the leader may be older
	if inBatch(r) {
		s.happened(ctx, StaleAnswer)
		return s.lastRecord(ctx, key)
	}
	return r, nil
}

// inBatch reports whether the history that ends in last ends inside a staged batch. Only
// of the leader's word is that a torn batch: a replica that catches up stores the messages
// of a batch one by one, and shows those that it has (server/jetstream_cluster.go,
// processCatchupMsg, which does not take stream.isolateMu).
func inBatch(last *record.Record) bool { return last != nil && last.Commit.Index < last.Commit.Of }
