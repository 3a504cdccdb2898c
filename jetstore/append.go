package jetstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// Append implements enact.Appender.
func (s *Store) Append(ctx context.Context, execution enact.ExecutionID, tenant enact.TenantID, event enact.Event, opts ...enact.AppendOption) (uint64, error) {
	return s.AppendBatch(ctx, execution, tenant, []enact.Event{event}, opts...)
}

// AppendBatch implements enact.Appender.
func (s *Store) AppendBatch(ctx context.Context, execution enact.ExecutionID, tenant enact.TenantID, events []enact.Event, opts ...enact.AppendOption) (uint64, error) {
	receipt, err := s.Commit(ctx, enact.Batch{
		TenantID: tenant, ExecutionID: execution, Events: events, Options: enact.NewAppendOptions(opts...),
	})
	return receipt.First, err
}

// Commit stores a batch: it is the general form under every append. Errors are
// those of enact.Appender, and a [*codec.KeyError], with nothing stored, where the
// codec's key cannot be had.
//
// The events go into as few records as hold them. One record is one publish,
// atomic by nature; more are staged as one transaction. Without an expectation an
// append that another writer overtook is sent again behind that writer's; with one
// it is an [*enact.ConflictError].
func (s *Store) Commit(ctx context.Context, batch enact.Batch) (receipt enact.Receipt, err error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return enact.Receipt{}, err
	}
	defer end()
	if s, err = s.of(ctx, batch.TenantID); err != nil {
		return enact.Receipt{}, err
	}
	ctx, seen := s.Observe(ctx, Operation{
		Kind: Appending, Stream: s.cfg.stream, Tenant: batch.TenantID, Execution: batch.ExecutionID,
		Events: len(batch.Events), Origin: batch.Options.Trace,
	})
	if seen.Watched() {
		defer func() {
			seen.End(Outcome{Err: err, First: receipt.First, Last: receipt.Last, Duplicate: receipt.Duplicate})
		}()
	}
	c := &commit{s: s, batch: &batch, key: execution{batch.TenantID, batch.ExecutionID}}
	if c.texts, err = batch.Encode(); err != nil {
		return enact.Receipt{}, err
	}
	if batch.Options.Trace.IsZero() {
		batch.Options.Trace, c.ownTrace = s.traceContext(ctx), true
	}
	if c.id, err = uuid.NewV7(); err != nil {
		return enact.Receipt{}, err
	}
	c.times = eventTimes(&batch)
	if c.groups, err = pack(c); err != nil {
		return enact.Receipt{}, err
	}
	l := s.lanes.acquire(c.key, s.cfg.subjects)
	defer s.lanes.release(l)
	return l.commit(ctx, c)
}

// commit is one append on its way. Its id stays the same over all attempts; an
// attempt is the id and a predecessor (see attempt.go).
type commit struct {
	s      *Store
	batch  *enact.Batch
	key    execution
	id     uuid.UUID
	times  []time.Time
	texts  []json.RawMessage // JSON of each event
	groups []int             // events of each record

	ownTrace  bool   // the trace context is the store's, not the caller's
	announced string // incarnation of the log whose index has acknowledged the entry of a creation; "": none
}

// eventTimes returns each event's time, UTC, without a monotonic reading.
func eventTimes(b *enact.Batch) []time.Time {
	times := make([]time.Time, len(b.Events))
	now := b.Options.Timestamp
	if now.IsZero() {
		now = time.Now()
	}
	for i := range times {
		t := now
		if b.Timestamps != nil {
			t = b.Timestamps[i]
		}
		times[i] = t.UTC().Round(0)
	}
	return times
}

// errOvertaken says that an attempt is dead for good: its predecessor has another
// successor.
var errOvertaken = errors.New("enact: another append came first")

// run appends behind the lane's tail, and behind fresher ones where that turns out
// to be old. The caller drives the lane.
func (c *commit) run(ctx context.Context, l *lane) (enact.Receipt, error) {
	if l.incarnation != c.s.incarnation() {
		l.forget()
	}
	opts := &c.batch.Options
	fresh := false // the tail was read from the leader by this call
	for {
		if !l.warm {
			if err := c.s.warmUp(ctx, l, c.looksNew()); err != nil {
				return enact.Receipt{}, err
			}
			fresh = true
		}
		if opts.IdempotencyKey != "" {
			receipt, found, err := c.s.findKey(ctx, l, c.batch)
			if found || err != nil {
				return receipt, err
			}
		}
		if latest := l.tail.Sequence; !opts.Expect.Holds(latest) {
			if !fresh {
				l.forget() // a cached tail may be old, and the actual sequence must not
				continue
			}
			return enact.Receipt{}, &enact.ConflictError{
				TenantID: c.key.tenant, ExecutionID: c.key.id, Expected: opts.Expect, Actual: latest,
			}
		}
		receipt, err := c.attempt(ctx, l)
		if errors.Is(err, errOvertaken) {
			c.s.happened(ctx, Overtaken)
			l.forget()
			continue
		}
		if err != nil {
			l.forget()
			return enact.Receipt{}, err
		}
		return receipt, nil
	}
}

// looksNew reports whether the append is likely to create its execution, which
// decides only what the leader is asked first.
func (c *commit) looksNew() bool {
	if e := c.batch.Options.Expect; e.Kind != enact.AnySequence {
		return e.Kind == enact.ExactSequence && e.Sequence == 0
	}
	_, starts := c.batch.Events[0].(enact.ExecutionStarted)
	return starts
}

// warmUp reads the lane's tail from the leader. With absentFirst it asks whether the
// execution is absent before it asks for its last record: one question instead of two
// for one that is, two instead of one for one that is not.
func (s *Store) warmUp(ctx context.Context, l *lane, absentFirst bool) error {
	l.forget()
	if absentFirst && s.lanes.highest(l.key) == 0 {
		holders, err := s.holders(ctx, l.key.id)
		if err != nil {
			return err
		}
		if !slices.Contains(holders, l.key.tenant) {
			l.warm, l.incarnation, l.keys, l.absent = true, s.incarnation(), keyWindow{from: 1}, &absence{elsewhere: holders}
			return nil
		}
	}
	last, err := s.lastRecord(ctx, l.key)
	if err != nil {
		return err
	}
	l.incarnation = s.incarnation()
	l.keys = keyWindow{from: 1}
	if last != nil {
		if inBatch(last) {
			return torn(last)
		}
		l.tail = last.Tail()
		l.keys.from = last.Link.Number + 1
	}
	l.warm = true
	return nil
}

// torn is the error for a history that ends inside a staged batch. A server with a
// full disk can leave one; nothing is appended behind it and its events are never read.
func torn(last *record.Record) error {
	return last.Corrupt("torn batch: the history ends with record %d of %d of commit %s", last.Commit.Index, last.Commit.Of, last.Commit.ID)
}

// attempt makes the append's records behind the lane's tail and sends them, together
// with appends that wait and can share its record. On success the lane's tail is the
// last one's.
func (c *commit) attempt(ctx context.Context, l *lane) (enact.Receipt, error) {
	alone := false
	for {
		g := l.gather(c, alone)
		if err := g.encode(ctx, l); err != nil {
			l.giveBack(g)
			if len(g.members) > 1 && errors.Is(err, enact.ErrTooLarge) {
				alone = true // a codec may refuse for all what it takes of each
				continue
			}
			return enact.Receipt{}, err
		}
		if l.tail.Number == 0 {
			// Behind the encoding: what cannot be encoded leaves no index entry.
			err := c.prepareCreation(ctx, l)
			if err == nil && c.id != g.attempt.commit {
				err = g.encode(ctx, l) // the entry took more than one sending, see announce
			}
			if err != nil {
				l.giveBack(g)
				return enact.Receipt{}, err
			}
		}
		if !l.launch(g) {
			l.giveBack(g)
			continue
		}
		receipt, err := l.finish(ctx, g, nil)
		if err != nil {
			return enact.Receipt{}, err
		}
		l.keys.add(c.s.cfg.keyWindow, keyEntry{
			key: c.batch.Options.IdempotencyKey, last: l.tail.Number, position: receipt.Position - uint64(len(g.attempt.messages)) + 1,
		})
		return receipt, nil
	}
}

// prepareCreation refuses an id that lives in another tenant and writes the index
// entry, which must be acknowledged before the first record, so that no execution
// with events is ever unlisted.
func (c *commit) prepareCreation(ctx context.Context, l *lane) error {
	proof := l.absent
	l.absent = nil // it serves one publish
	if proof == nil {
		holders, err := c.s.holders(ctx, c.key.id)
		if err != nil {
			return err
		}
		if slices.Contains(holders, c.key.tenant) {
			return errOvertaken // created since the lane was warmed up
		}
		proof = &absence{elsewhere: holders}
	}
	if len(proof.elsewhere) > 0 {
		return fmt.Errorf("%w: %q", enact.ErrTenantMismatch, c.key.id)
	}
	incarnation := c.s.incarnation()
	if c.announced == incarnation {
		return nil
	}
	if err := c.s.announce(ctx, c); err != nil {
		return err
	}
	c.announced = incarnation
	return nil
}

// encode makes the group's messages behind the lane's tail. A group of several is one
// record under the first one's commit id.
func (g *group) encode(ctx context.Context, l *lane) error {
	lead := g.members[0].c
	s := lead.s
	texts, times, groups := lead.texts, lead.times, lead.groups
	if len(g.members) > 1 {
		texts, times = slices.Clip(texts), slices.Clip(times)
		for _, m := range g.members[1:] {
			texts, times = append(texts, m.c.texts...), append(times, m.c.times...)
		}
		groups = []int{len(texts)}
	}
	opts := &lead.batch.Options
	tail := l.tail
	a := &attempt{key: l.key, commit: lead.id, predecessor: tail.Position, incarnation: l.incarnation}
	a.messages = a.room[:0]
	next := 0
	for i, n := range groups {
		r := &record.Record{
			TenantID: l.key.tenant, ExecutionID: l.key.id, Sequence: tail.Sequence + 1,
			Times:    times[next : next+n],
			Commit:   record.Commit{ID: lead.id, Index: i + 1, Of: len(groups)},
			Metadata: opts.Metadata, TraceParent: opts.Trace.Parent, TraceState: opts.Trace.State,
		}
		if i == 0 {
			r.Key = opts.IdempotencyKey
		}
		var events []enact.Event // none of a group: who leaves has them back
		if len(g.members) == 1 {
			events = lead.batch.Events[next : next+n]
		}
		if err := s.encodePayload(ctx, r, events, texts[next:next+n]); err != nil {
			return err
		}
		var err error
		if tail, err = r.After(tail); err != nil {
			return err
		}
		msg, size, err := r.MessageFor(l.subject)
		if err != nil {
			return err
		}
		if len(groups) > 1 {
			size += stagedBytes
		}
		if limit := int(s.asks.nc.MaxPayload()); limit > 0 && size > limit {
			return &enact.TooLargeError{What: "event", Size: size, Limit: limit, Unit: "bytes"}
		}
		a.messages = append(a.messages, msg)
		next += n
	}
	g.attempt, g.tail = a, tail
	return nil
}
