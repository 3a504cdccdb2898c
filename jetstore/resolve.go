package jetstore

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// unknown is what the caller of an append gets whose events went out in the attempt
// and whose outcome is not proven.
func (a *attempt) unknown(cause error, c *commit, first uint64) *enact.UnknownOutcomeError {
	e := &enact.UnknownOutcomeError{
		TenantID: a.key.tenant, ExecutionID: a.key.id, CommitID: a.commit.String(), Predecessor: a.predecessor,
		Stream: c.s.cfg.stream, Incarnation: a.incarnation, First: first, Events: len(c.batch.Events),
		IdempotencyKey: c.batch.Options.IdempotencyKey, Cause: cause,
	}
	for _, m := range a.messages {
		e.Records = append(e.Records, enact.PendingRecord{Header: m.Header, Data: m.Data})
	}
	return e
}

// Resolve settles an append whose outcome was unknown. It returns the append's
// receipt if it is stored. It returns an [*enact.ConflictError] with the actual
// sequence if it is proven not to be, now or ever: another record follows its
// predecessor. While neither is so, it sends the append again, which is harmless:
// all copies are checked against one predecessor, and at most one can win. So the
// end is one of the two whenever the stream takes writes before ctx ends, and
// otherwise enact.ErrUnknownOutcome again. An append that was to create its execution
// is, where nobody else has, stored in a stream that was deleted and made again since: a
// copy that is under way could be, too.
//
// The error may come from another process, through JSON. Other errors: enact.ErrInvalidID
// and enact.ErrInvalidOption (it is not an error that a store of this log returned),
// enact.ErrTooLarge (the server takes no such message, and has none), enact.ErrCorrupt,
// enact.ErrUnsupportedVersion, enact.ErrClosed, or the context's, where it ended after
// the proof and before the receipt or the actual sequence was read.
func (s *Store) Resolve(ctx context.Context, unknown *enact.UnknownOutcomeError) (receipt enact.Receipt, err error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return enact.Receipt{}, err
	}
	defer end()
	a, first, err := s.pendingAttempt(unknown)
	if err != nil {
		return enact.Receipt{}, err
	}
	if s, err = s.of(ctx, a.key.tenant); err != nil {
		return enact.Receipt{}, err
	}
	if unknown.Stream != "" && unknown.Stream != s.cfg.stream {
		return enact.Receipt{}, invalidPending("it is about stream %q, not %q", unknown.Stream, s.cfg.stream)
	}
	a.resolving = true
	op := a.operation(s, Resolving)
	op.Events = unknown.Events
	ctx, seen := s.Observe(ctx, op)
	if seen.Watched() {
		defer func() { seen.End(Outcome{Err: err, First: receipt.First, Last: receipt.Last}) }()
	}
	position, err := s.send(ctx, a)
	switch {
	case errors.Is(err, errUnproven):
		again := *unknown
		again.Cause = err
		return enact.Receipt{}, &again
	case errors.Is(err, errOvertaken):
		last, err := s.lastRecord(ctx, a.key)
		if err != nil {
			return enact.Receipt{}, err
		}
		conflict := &enact.ConflictError{
			TenantID: a.key.tenant, ExecutionID: a.key.id,
			// Of the record as a whole: the append may have been a later part of it, and
			// what came in its place may end before that part.
			Expected: enact.Expectation{Kind: enact.ExactSequence, Sequence: first - 1},
		}
		if last != nil {
			conflict.Actual = last.Last()
		}
		return enact.Receipt{}, conflict
	case err != nil:
		return enact.Receipt{}, err
	}
	r, err := s.recordAt(ctx, a.key, position)
	if err != nil {
		return enact.Receipt{}, err
	}
	s.lanes.meet(a.key, markOf(r))
	return enact.Receipt{
		First: unknown.First, Last: unknown.First + uint64(unknown.Events) - 1, Position: position, Chain: r.Link.Chain,
	}, nil
}

// invalidPending says why an error cannot be resolved.
func invalidPending(format string, args ...any) error {
	return &enact.OptionError{Option: "UnknownOutcomeError", Reason: fmt.Sprintf(format, args...)}
}

// pendingAttempt makes the attempt again, from an error that may have travelled, and
// returns it with the sequence of its first event.
func (s *Store) pendingAttempt(u *enact.UnknownOutcomeError) (a *attempt, first uint64, err error) {
	if u == nil {
		return nil, 0, invalidPending("is nil")
	}
	if err := errors.Join(u.TenantID.Validate(), u.ExecutionID.Validate()); err != nil {
		return nil, 0, err
	}
	a = &attempt{key: execution{u.TenantID, u.ExecutionID}, predecessor: u.Predecessor, incarnation: u.Incarnation, sent: true}
	if a.commit, err = uuid.Parse(u.CommitID); err != nil {
		return nil, 0, invalidPending("commit id %q: %v", u.CommitID, err)
	}
	if len(u.Records) == 0 || u.Events < 1 || u.First < 1 {
		return nil, 0, invalidPending("it has %d records, %d events from sequence %d", len(u.Records), u.Events, u.First)
	}
	if u.Incarnation == "" {
		return nil, 0, invalidPending("it does not say which incarnation of the stream it is about")
	}
	subject := s.subject(a.key)
	var before record.Tail // of the records so far; known from the beginning only of an execution's first
	for i, p := range u.Records {
		m := &nats.Msg{Subject: subject, Header: p.Header, Data: p.Data}
		r, err := s.checkPending(a, m, i+1, len(u.Records))
		if err != nil {
			return nil, 0, invalidPending("record %d: %v", i+1, err)
		}
		if i > 0 || a.predecessor == 0 {
			if err := follows(r, before); err != nil {
				return nil, 0, invalidPending("record %d is not what was appended: %v", i+1, err)
			}
		}
		before = r.Tail()
		if i == 0 {
			first = r.Sequence
		}
		if i == 0 && r.Key != u.IdempotencyKey {
			return nil, 0, invalidPending("record 1 has the key %q, not %q", r.Key, u.IdempotencyKey)
		}
		a.messages = append(a.messages, m)
	}
	if events := uint64(u.Events); u.First < first || u.First > before.Sequence || before.Sequence-u.First < events-1 {
		return nil, 0, invalidPending("its records have events %d to %d, not %d from %d on", first, before.Sequence, events, u.First)
	}
	return a, first, nil
}

// checkPending returns the record that a message holds, which must be record i of n of
// the attempt.
func (s *Store) checkPending(a *attempt, m *nats.Msg, i, n int) (*record.Record, error) {
	// It has no position yet: any above those that it names will do, side by side.
	r, err := record.Parse(s.cfg.subjects, m.Subject, math.MaxInt64-uint64(n-i), m.Header, m.Data)
	switch {
	case err != nil:
		return nil, err
	case r.Commit != record.Commit{ID: a.commit, Index: i, Of: n}:
		return nil, fmt.Errorf("it belongs to commit %s", r.Commit)
	case i == 1 && r.Previous() != a.predecessor:
		return nil, fmt.Errorf("it follows position %d, not %d", r.Previous(), a.predecessor)
	}
	return r, nil
}

// checkPredecessor holds an attempt that may have travelled against the record that it is
// to follow: the server would store whatever names the right position. It returns an
// enact.ErrInvalidOption for what no store has made.
func (s *Store) checkPredecessor(ctx context.Context, a *attempt) error {
	if a.predecessor == 0 {
		return nil // then pendingAttempt has
	}
	before, err := s.recordAt(ctx, a.key, a.predecessor)
	switch {
	case errors.Is(err, enact.ErrCorrupt):
		return invalidPending("it follows no record of the execution: %v", err)
	case err != nil:
		return err
	case inBatch(before):
		return invalidPending("it follows record %d of %d of a batch", before.Commit.Index, before.Commit.Of)
	}
	first, err := s.checkPending(a, a.messages[0], 1, len(a.messages))
	if err == nil {
		err = follows(first, before.Tail())
	}
	if err != nil {
		return invalidPending("record 1 is not what was appended: %v", err)
	}
	return nil
}
