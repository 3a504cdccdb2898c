package jetstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// An attempt is a commit id and a predecessor: the messages of one append, checked
// against the position of one record.
type attempt struct {
	key         execution
	commit      uuid.UUID
	predecessor uint64 // position of the record to follow; 0: to be the first
	incarnation string
	messages    []*nats.Msg
	sent        bool         // a copy may be under way, or stored
	resolving   bool         // a call of Resolve is about it
	checked     bool         // it was held against its predecessor, see checkPredecessor
	room        [1]*nats.Msg // where messages begins: most appends are one
}

// errUnproven ends an attempt whose outcome was not proven before its context ended.
var errUnproven = errors.New("enact: outcome not proven")

// send brings an attempt to its end: the position of its last record once it is
// committed, or errOvertaken once it is proven that it never will be.
//
// Nothing but an acknowledgement is taken at its word. What the server may answer,
// and what that proves:
//
//	acknowledgement          committed: a majority has written it
//	10071 wrong last seq N   nothing: a deposed leader refuses what the new one stores
//	10164 wrong last seq     nothing: something on the subject is in flight
//	10158, 10167, 429        nothing: busy
//	10176, 10210             nothing: this sending of the batch was dropped
//	10008, 10023, 10077      nothing: no leader, no resources, no disk, for now
//	10054, 10097, 10199      too large, unless an earlier copy was stored all the same
//	permissions violation    this copy was dropped at the door
//	no responders, time-out, connection lost: nothing
//
// After anything but an acknowledgement the leader is asked for the predecessor's
// successor on the subject. A record has at most one successor, which never
// changes, and replicas apply only what is committed, so that even a deposed leader
// is right about one that it names:
//
//	this commit              committed
//	another's                every copy of the attempt is dead for good
//	none                     unproven: the same messages are sent again
//
// Sending again is safe at any time, since all copies are compare-and-sets against
// one predecessor, of which at most one can win.
//
// If ctx ends first, the error is errUnproven if any copy may be under way (a.sent), and
// otherwise the context's.
func (s *Store) send(ctx context.Context, a *attempt) (position uint64, err error) {
	cause := errUnproven
	for try := 0; ; try++ {
		may := send
		if a.sent {
			position, may, cause = s.settled(ctx, a, cause)
			if may == done {
				return position, cause
			}
		}
		if a.sent || try > 0 {
			if waitErr := backoff(ctx, try); waitErr != nil {
				return 0, unproven(a.sent, ended(waitErr, cause))
			}
		}
		if may != send {
			continue
		}
		if a.resolving && !a.checked {
			if err := s.checkPredecessor(ctx, a); errors.Is(err, enact.ErrInvalidOption) {
				return 0, err
			} else if err != nil {
				cause = err
				continue
			}
			a.checked = true
		}
		if a.sent {
			s.happened(ctx, Retry)
		}
		position, err := s.deliver(ctx, a)
		if err == nil {
			return position, nil
		}
		a.sent = a.sent || mayHaveLeft(err)
		if !a.sent {
			if tooLarge := sizeRefusal(err, a); tooLarge != nil {
				return 0, tooLarge
			}
		}
		if errors.Is(err, nats.ErrConnectionClosed) || !a.sent && lasting(err) {
			return 0, unproven(a.sent, err)
		}
		cause = err
	}
}

// verdict is what the leader's answers say of an attempt that was sent.
type verdict int

const (
	ask  verdict = iota // nothing: ask again
	send                // it is not stored, as far as the leader knows: send it again
	done                // committed, or dead for good
)

func unproven(sent bool, err error) error {
	if !sent {
		return err
	}
	return fmt.Errorf("%w: %w", errUnproven, err)
}

// deliver sends the attempt's messages once.
func (s *Store) deliver(ctx context.Context, a *attempt) (position uint64, err error) {
	if s.asks.nc.IsClosed() {
		return 0, notSent(nats.ErrConnectionClosed)
	}
	if err := ctx.Err(); err != nil {
		return 0, notSent(err)
	}
	if len(a.messages) == 1 {
		return s.asks.publish(ctx, s.cfg.stream, a.messages[0])
	}
	ctx, seen := s.Observe(ctx, a.operation(s, Staging))
	position, err = s.stage(ctx, s.cfg.stream, a.messages)
	seen.End(Outcome{Err: err})
	return position, err
}

// errNotSent says that no message which could commit the attempt was sent.
var errNotSent = errors.New("enact: not sent")

func notSent(err error) error { return fmt.Errorf("%w: %w", errNotSent, err) }

// settled is settle, of which the tracers are told.
func (s *Store) settled(ctx context.Context, a *attempt, cause error) (position uint64, may verdict, err error) {
	if a.resolving {
		return s.settle(ctx, a, cause)
	}
	ctx, seen := s.Observe(ctx, a.operation(s, Resolving))
	position, may, err = s.settle(ctx, a, cause)
	if may == done {
		seen.End(Outcome{Err: err})
	} else {
		seen.End(Outcome{Err: errUnproven})
	}
	return position, may, err
}

// operation describes what is done with the attempt.
func (a *attempt) operation(s *Store, kind OperationKind) Operation {
	op := Operation{Kind: kind, Stream: s.cfg.stream, Tenant: a.key.tenant, Execution: a.key.id, Records: len(a.messages)}
	if h := a.messages[0].Header; kind == Resolving {
		op.Origin = enact.TraceContext{Parent: header(h, record.HeaderTraceParent), State: header(h, record.HeaderTraceState)}
	}
	return op
}

// header returns the first value of a header, spelled as it is written.
func header(h nats.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// settle looks for proof of what became of an attempt whose last sending ended in
// cause. Where it finds none, err says why.
func (s *Store) settle(ctx context.Context, a *attempt, cause error) (position uint64, may verdict, err error) {
	next, err := s.successor(ctx, a)
	switch {
	case errors.Is(err, errNotFound):
	case err != nil && !transient(err) && !lasting(err):
		// The successor is no record of the log: it is another's all the same.
		return 0, done, err
	case errors.Is(err, nats.ErrConnectionClosed):
		// Closed for good, by its owner: nobody is left to ask.
		return 0, done, unproven(true, err)
	case err != nil:
		return 0, ask, ended(err, cause)
	case next.Commit.ID != a.commit || next.Previous() != a.predecessor:
		// In a stream that was made again the commit may stand behind another record, or none:
		// sent again, without those who shared its record.
		s.lanes.meet(a.key, markOf(next)) // no later answer may be older: it would show the predecessor again
		return 0, done, errOvertaken
	default:
		position, err := s.committed(ctx, a, next)
		if err == nil {
			s.happened(ctx, Resolution)
		}
		return position, done, err
	}
	// What the connection refuses, now, says nothing of a copy that it took earlier.
	if tooLarge := sizeRefusal(cause, a); tooLarge != nil && !errors.Is(cause, nats.ErrMaxPayload) {
		return 0, done, tooLarge
	}
	// Nothing follows the predecessor, as far as this leader knows. Before the same
	// check is made again, make sure that the predecessor still is what it was.
	at, err := s.presence(ctx, a.key.id)
	held := slices.Contains(at.holders, a.key.tenant)
	switch {
	case err != nil:
		return 0, ask, ended(err, cause)
	case a.predecessor == 0 && held:
		// "Not found" was a read error, in which a server would accept a second first
		// record, or the successor came just now.
		return 0, ask, fmt.Errorf("enact: the leader cannot read the first record of subject %q: %w", s.subject(a.key), cause)
	case at.incarnation == a.incarnation:
	case a.predecessor == 0:
		// Nothing precedes it in the stream that was made since either.
		if err := s.announceAgain(ctx, a); err != nil {
			return 0, ask, ended(err, cause)
		}
		a.incarnation = at.incarnation
	case !held || a.predecessor < at.first || a.predecessor > at.last:
		// Positions of two incarnations never meet: the check can never hold again.
		return 0, done, errOvertaken
	default:
		// One that is there was read before the store learned that the stream is another one.
		// Or both streams were made by hand, and begin with the same position.
		switch err := s.checkPredecessor(ctx, a); {
		case errors.Is(err, enact.ErrInvalidOption):
			return 0, done, errOvertaken
		case err != nil:
			return 0, ask, ended(err, cause)
		}
	}
	return 0, send, cause
}

// successor asks the leader for the record that follows the attempt's predecessor.
func (s *Store) successor(ctx context.Context, a *attempt) (*record.Record, error) {
	m, err := s.asks.leaderGet(ctx, s.cfg.stream, getRequest{Seq: a.predecessor + 1, NextFor: s.subject(a.key)})
	if err != nil {
		return nil, err
	}
	return s.parse(m, a.key)
}

// committed returns the position of the attempt's last record, given its first.
func (s *Store) committed(ctx context.Context, a *attempt, first *record.Record) (uint64, error) {
	last := first.Position + uint64(first.Commit.Of) - 1
	if first.Commit.Of == 1 {
		return last, nil
	}
	// A staged batch counts only when its last record stands: a server with a full
	// disk can tear one.
	_, err := retry(ctx, func() (*record.Record, error) {
		m, err := s.asks.leaderGet(ctx, s.cfg.stream, getRequest{Seq: last, NextFor: s.subject(a.key)})
		if errors.Is(err, errNotFound) {
			return nil, s.tear(ctx, a, first)
		}
		if err != nil {
			return nil, err
		}
		if m.position != last {
			return nil, torn(first) // a later record stands where the last one does not
		}
		r, err := s.parse(m, a.key)
		if err != nil || r.Commit.ID != a.commit || r.Commit.Index != r.Commit.Of {
			return nil, torn(first)
		}
		return r, nil
	})
	switch {
	case errors.Is(err, enact.ErrCorrupt):
		return 0, err
	case err != nil:
		return 0, unproven(true, err)
	}
	return last, nil
}

// tear tells a batch that is torn for good, which is an [*enact.CorruptError], from one
// whose end may still come, which is an error to ask again after. A single node that
// cannot write the rest of a batch keeps it, takes no more writes, and completes the
// batch when it starts again (server/jetstream.go, "partial batch write"). Only what
// stands behind the torn end proves that it never will.
func (s *Store) tear(ctx context.Context, a *attempt, first *record.Record) error {
	m, err := s.asks.leaderGet(ctx, s.cfg.stream, getRequest{LastFor: s.subject(a.key)})
	if errors.Is(err, errNotFound) {
		return fmt.Errorf("enact: the leader cannot read the last record of subject %q, which has records", s.subject(a.key))
	}
	if err != nil {
		return err
	}
	if m.position < first.Position || m.position >= first.Position+uint64(first.Commit.Of)-1 {
		// Older than the batch, or not torn at all: one of the two answers was wrong.
		return fmt.Errorf("enact: the leader's answers about commit %s do not agree: the last record of its subject is at position %d", a.commit, m.position)
	}
	end, err := s.parse(m, a.key)
	if err != nil || end.Commit.ID != a.commit {
		return torn(first)
	}
	next, err := s.asks.leaderGet(ctx, s.cfg.stream, getRequest{Seq: end.Position + 1, NextFor: s.cfg.subjects.All()})
	if err == nil && next.subject != s.subject(a.key) {
		return torn(end)
	}
	return fmt.Errorf("enact: record %d of %d of commit %s is the last one stored, so far", end.Commit.Index, end.Commit.Of, a.commit)
}

// mayHaveLeft reports whether a sending that ended in err may have reached a
// server. What nats.go refuses by itself has not.
func mayHaveLeft(err error) bool {
	for _, local := range []error{nats.ErrReconnectBufExceeded, nats.ErrConnectionDraining, nats.ErrMaxPayload, enact.ErrNotPermitted, errNotSent} {
		if errors.Is(err, local) {
			return false
		}
	}
	return true
}

// sizeRefusal turns the word on size of the server, or of the connection for it, into the
// typed error.
func sizeRefusal(err error, a *attempt) error {
	if hasCode(err, codeBatchTooLarge) {
		return fmt.Errorf("%w: %w", &enact.TooLargeError{What: "batch", Size: len(a.messages), Unit: "records"}, err)
	}
	if !hasCode(err, codeTooLarge) && !hasCode(err, codeHeadersTooLarge) && !errors.Is(err, nats.ErrMaxPayload) {
		return nil
	}
	size := 0
	for _, m := range a.messages {
		size = max(size, record.HeaderBytes(m.Header)+len(m.Data))
	}
	return fmt.Errorf("%w: %w", &enact.TooLargeError{What: "record", Size: size, Unit: "bytes"}, err)
}
