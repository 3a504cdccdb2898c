package jetstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

const (
	rebuildBatch    = 500    // entries of one transaction
	rebuildBuffered = 20_000 // entries that wait for their transactions, over all tenants
	rebuildFaults   = 100    // faults that a report keeps
	rebuildProgress = 10_000 // messages from one call of the progress function to the next
)

// RebuildProgress is how far a rebuild of the index has come.
type RebuildProgress struct {
	Position   uint64 // in the log
	End        uint64 // position where the rebuild ends
	Executions uint64 // found so far
	Added      uint64 // entries so far
}

// RebuildReport is what a rebuild of the index has found and done.
type RebuildReport struct {
	Messages   uint64 // of the log
	Executions uint64 // found
	Added      uint64 // entries that were missing and are there now
	Faults     uint64 // messages of the log or of the index that are not what should be there, or that either lacks at its end
	// FaultDetails are the first 100 of them: errors that match enact.ErrCorrupt or
	// enact.ErrUnsupportedVersion.
	FaultDetails []error
}

func (r *RebuildReport) fault(err error) {
	if r.Faults++; r.Faults <= rebuildFaults {
		r.FaultDetails = append(r.FaultDetails, err)
	}
}

// RebuildIndex adds to the index what it lacks: an entry for each execution in the log
// whose creation has none, in the order of their first records. Entries that are there
// stay where they are; an index that lacks none is left as it is. It may run beside
// writers and other rebuilds, and be run again after it was broken off.
//
// It is for an index stream that was lost: [EnsureStream] makes it anew, and this fills
// it. Where the order of the list matters, let no writer in before: what is created
// meanwhile stands before, and so is listed as older than, what is added then. While the
// stream is missing, executions are not created; appends to existing ones go on.
//
// The whole log is read, its headers only, through one consumer; in memory are 16 bytes
// for each entry of the index. progress, unless nil, is called now and then, by the
// calling goroutine. Where ctx has no deadline, the store's time-out bounds each wait for
// the server, not the rebuild.
//
// Errors: enact.ErrStreamNotFound, enact.ErrNotPermitted, enact.ErrTenantRequired (of a
// store with a stream per tenant: see [Store.Tenant]), enact.ErrClosed, or the context's; the
// report says what was done before.
func (s *Store) RebuildIndex(ctx context.Context, progress func(RebuildProgress)) (report RebuildReport, err error) {
	ctx, leave, err := s.enter(ctx, untimed)
	if err != nil {
		return RebuildReport{}, err
	}
	defer leave()
	if s.tenants != nil {
		return RebuildReport{}, enact.ErrTenantRequired
	}
	if progress == nil {
		progress = func(RebuildProgress) {}
	}
	rb := &rebuild{s: s, progress: progress, known: make(map[entryID]struct{}), tenants: make(map[enact.TenantID]*missing)}
	err = rb.run(ctx)
	return rb.report, err
}

// rebuild is a rebuild on its way.
type rebuild struct {
	s        *Store
	progress func(RebuildProgress)
	report   RebuildReport
	known    map[entryID]struct{} // creations that have entries
	tenants  map[enact.TenantID]*missing
	indexEnd uint64 // where the index ended at the beginning
	buffered int
}

// entryID stands for what an entry names: a commit and the execution that it created. An
// entry that names another execution is none of the commit's.
type entryID [16]byte

func idOf(commit uuid.UUID, key execution) entryID {
	sum := sha256.Sum256(fmt.Appendf(commit[:], "%q %q", key.tenant, key.id))
	return entryID(sum[:])
}

// missing is what is to be added for a tenant.
type missing struct {
	last    uint64     // position of the tenant's last entry, as far as known; 0: it has none
	entries []creation // in the order of the log
}

func (rb *rebuild) tenant(id enact.TenantID) *missing {
	t := rb.tenants[id]
	if t == nil {
		t = new(missing)
		rb.tenants[id] = t
	}
	return t
}

func (rb *rebuild) run(ctx context.Context) error {
	// The end of the log first: whatever was created up to there has its entry in the
	// index already, so what the index lacks then, it lacks.
	log, err := waiting(ctx, rb.s, rb.s.logState)
	if err != nil || log.State.Last < log.State.First { // empty: its last position is that before its first
		return err
	}
	if err := rb.readIndex(ctx); err != nil {
		return err
	}
	if err := rb.readLog(ctx, log.State.Last); err != nil {
		return err
	}
	return rb.flushAll(ctx)
}

// waiting bounds one wait for the server.
func waiting[T any](ctx context.Context, s *Store, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := s.withTimeout(ctx)
	defer cancel()
	return f(ctx)
}

// readIndex learns which creations have entries, and where each tenant's last one stands.
func (rb *rebuild) readIndex(ctx context.Context) error {
	end, err := waiting(ctx, rb.s, rb.s.indexEnd)
	if err != nil {
		return err
	}
	rb.indexEnd = end
	for next := uint64(1); next <= end; {
		next, err = waiting(ctx, rb.s, func(ctx context.Context) (uint64, error) { return rb.readEntries(ctx, next, end) })
		if err != nil {
			return err
		}
	}
	return nil
}

// readEntries reads a batch of the index from a position on, at least one entry if there is
// one up to end, and returns the position behind it.
func (rb *rebuild) readEntries(ctx context.Context, from, end uint64) (next uint64, err error) {
	next = from
	for try := 0; ; try++ {
		req := getRequest{Seq: from, NextFor: rb.s.cfg.subjects.AllIndex(), Batch: indexBatch, MaxBytes: denseBytes}
		err := rb.s.reads.directBatch(ctx, rb.s.cfg.index(), req, func(m *message) error {
			next = m.position + 1
			rb.note(m)
			return nil
		})
		switch {
		case err != nil && !transient(err):
			return next, err
		case next > from:
			return next, nil
		}
		if err == nil && try >= staleTries {
			if there, err := rb.isThere(ctx, rb.s.cfg.index(), from, end); err != nil || !there {
				return end + 1, err
			}
		}
		// The replica lags: another may not.
		if waitErr := backoff(ctx, try); waitErr != nil {
			return next, ended(waitErr, err)
		}
	}
}

// isThere reports whether the stream's leader has a message from a position on, up to the
// one that was its last. Where it has none the rebuild goes on without, and says so: the
// messages may be lost, or just not be readable.
func (rb *rebuild) isThere(ctx context.Context, stream string, from, end uint64) (bool, error) {
	m, err := retry(ctx, func() (*message, error) {
		return rb.s.asks.leaderGet(ctx, stream, getRequest{Seq: from, NextFor: ">"})
	})
	if err == nil && m.position <= end {
		return true, nil
	}
	if err != nil && !errors.Is(err, errNotFound) {
		return false, err
	}
	rb.report.fault(&enact.CorruptError{Position: from, Reason: fmt.Sprintf("stream %s has no messages from here to position %d, where it ended", stream, end)})
	return false, nil
}

// note takes an entry of the index into account.
func (rb *rebuild) note(m *message) {
	id, err := rb.s.cfg.subjects.ParseIndex(m.subject)
	if err != nil {
		rb.report.fault(&enact.CorruptError{Position: m.position, Reason: fmt.Sprintf("foreign subject %.300q in the index", m.subject)})
		return
	}
	t := rb.tenant(id)
	t.last = max(t.last, m.position)
	e, err := parseEntry(rb.s.cfg.subjects, m)
	if err != nil {
		rb.report.fault(err)
		return
	}
	rb.known[idOf(e.commit, e.key)] = struct{}{}
}

// indexEnd returns the position of the index stream's last message as the leader has it.
func (s *Store) indexEnd(ctx context.Context) (uint64, error) {
	return retry(ctx, func() (uint64, error) {
		met := s.tails.highestOfAll() // before the question
		info, err := s.asks.info(ctx, s.cfg.index(), "")
		if err != nil {
			return 0, err
		}
		if info.State.Last < info.State.First {
			return 0, s.indexReached(info, met) // empty
		}
		return info.State.Last, s.indexReached(info, met)
	})
}

// readLog goes through the log up to end and collects the executions without an entry. A
// consumer that is lost, with its server or its leader, is followed by another.
func (rb *rebuild) readLog(ctx context.Context, end uint64) error {
	js, err := jetstream.NewWithAPIPrefix(rb.s.reads.nc, rb.s.cfg.apiPrefix)
	if err != nil {
		return err
	}
	position, try, progress := uint64(0), 0, time.Now()
	for position < end {
		before := position
		position, err = rb.readFrom(ctx, js, position, end)
		if err == nil && position < end {
			position, err = rb.goOn(ctx, position, end)
		}
		if err == nil {
			continue
		}
		if position > before {
			try, progress = 0, time.Now()
		}
		if lasting(err) || ctx.Err() != nil || time.Since(progress) > rb.s.cfg.timeout {
			return err
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return ended(waitErr, err)
		}
		try++
	}
	return nil
}

// goOn returns the end of the log where the leader, too, has nothing behind a position, as a
// replica has.
func (rb *rebuild) goOn(ctx context.Context, position, end uint64) (uint64, error) {
	there, err := waiting(ctx, rb.s, func(ctx context.Context) (bool, error) {
		return rb.isThere(ctx, rb.s.cfg.stream, position+1, end)
	})
	switch {
	case err != nil:
		return position, err
	case there:
		return position, errors.New("enact: a replica of the log lags")
	}
	rb.at(end, end)
	return end, nil
}

// readFrom reads the log behind a position, through one consumer, and returns how far it
// came: to the end, or as far as the consumer's replica has messages.
func (rb *rebuild) readFrom(ctx context.Context, js jetstream.JetStream, position, end uint64) (uint64, error) {
	consumer, err := waiting(ctx, rb.s, func(ctx context.Context) (jetstream.Consumer, error) {
		return js.OrderedConsumer(ctx, rb.s.cfg.stream, jetstream.OrderedConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: position + 1,
			HeadersOnly: true, InactiveThreshold: rebuildInactive, NamePrefix: "enact-rebuild-" + nuid.Next(),
		})
	})
	if err != nil {
		return position, err
	}
	defer func() {
		if info := consumer.CachedInfo(); info != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTimeout)
			defer cancel()
			// Should this fail, the inactive threshold removes it.
			_ = js.DeleteConsumer(ctx, rb.s.cfg.stream, info.Name)
		}
	}()
	messages, err := consumer.Messages(jetstream.PullHeartbeat(tryTimeout))
	if err != nil {
		return position, err
	}
	defer messages.Stop()
	for pending := consumer.CachedInfo().NumPending; position < end && pending > 0; {
		if err := ctx.Err(); err != nil {
			return position, err // Next may still have a message
		}
		msg, err := waiting(ctx, rb.s, func(ctx context.Context) (jetstream.Msg, error) { return messages.Next(jetstream.NextContext(ctx)) })
		if err != nil {
			return position, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return position, err
		}
		if meta.Sequence.Stream > end {
			return end, nil
		}
		if err := rb.take(ctx, meta.Sequence.Stream, msg); err != nil {
			return position, err
		}
		position, pending = meta.Sequence.Stream, meta.NumPending
		if rb.report.Messages++; rb.report.Messages%rebuildProgress == 0 || position == end {
			rb.at(position, end)
		}
	}
	return position, nil
}

// at tells of the progress.
func (rb *rebuild) at(position, end uint64) {
	rb.progress(RebuildProgress{Position: position, End: end, Executions: rb.report.Executions, Added: rb.report.Added})
}

// rebuildInactive is when the server removes a consumer that nobody reads.
const rebuildInactive = 30 * time.Second

// take takes a message of the log into account.
func (rb *rebuild) take(ctx context.Context, position uint64, msg jetstream.Msg) error {
	r, err := record.Parse(rb.s.cfg.subjects, msg.Subject(), position, msg.Headers(), nil)
	if err != nil {
		rb.report.fault(err)
		return nil
	}
	if r.Link.Number > 1 {
		return nil
	}
	if err := rb.creation(ctx, r); err != nil {
		return err // and the message is read again
	}
	rb.report.Executions++
	return nil
}

// creation takes the first record of an execution into account.
func (rb *rebuild) creation(ctx context.Context, r *record.Record) error {
	key := execution{r.TenantID, r.ExecutionID}
	id := idOf(r.Link.Origin, key)
	if _, ok := rb.known[id]; ok {
		return nil
	}
	rb.known[id] = struct{}{}
	t := rb.tenant(r.TenantID)
	t.entries = append(t.entries, creation{key: key, commit: r.Link.Origin, created: r.Times[0]})
	rb.buffered++
	switch {
	case len(t.entries) >= rebuildBatch:
		return rb.flush(ctx, r.TenantID, t)
	case rb.buffered >= rebuildBuffered:
		return rb.flushAll(ctx)
	}
	return nil
}

func (rb *rebuild) flushAll(ctx context.Context) error {
	for id, t := range rb.tenants {
		if err := rb.flush(ctx, id, t); err != nil {
			return err
		}
	}
	return nil
}

// flush adds what a tenant lacks, provided that nothing was added since the tenant's
// entries were read: each transaction is checked against the last one. After anything but
// an acknowledgement they are read again, and what is there by then is not added.
func (rb *rebuild) flush(ctx context.Context, id enact.TenantID, t *missing) error {
	for len(t.entries) > 0 {
		_, err := waiting(ctx, rb.s, func(ctx context.Context) (struct{}, error) { return struct{}{}, rb.add(ctx, id, t) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (rb *rebuild) add(ctx context.Context, id enact.TenantID, t *missing) error {
	for try := 0; ; try++ {
		if len(t.entries) == 0 {
			return nil
		}
		position, err := rb.send(ctx, t)
		if err == nil {
			rb.buffered -= len(t.entries)
			rb.report.Added += uint64(len(t.entries))
			t.last, t.entries = position, nil
			rb.s.tails.meet(id, position)
			return nil
		}
		if lasting(err) {
			return err
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return ended(waitErr, err)
		}
		if err := rb.readAgain(ctx, id, t); err != nil {
			return err
		}
	}
}

// send sends what the tenant lacks as one transaction.
func (rb *rebuild) send(ctx context.Context, t *missing) (position uint64, err error) {
	messages := make([]*nats.Msg, len(t.entries))
	for i, e := range t.entries {
		messages[i] = entryMessage(rb.s.cfg.subjects, e.key, e.commit, e.created)
		messages[i].Header[record.HeaderRebuilt] = []string{"1"}
	}
	messages[0].Header[record.HeaderExpected] = []string{fmt.Sprint(t.last)}
	if len(messages) == 1 {
		position, err = rb.s.asks.publish(ctx, rb.s.cfg.index(), messages[0])
		if err == nil && position <= rb.indexEnd {
			// It was not stored: the server has met the id not long ago, in another entry.
			return 0, fmt.Errorf("enact: the index has another entry of commit %s at position %d, within its duplicate window", t.entries[0].commit, position)
		}
		return position, err
	}
	return rb.s.stage(ctx, rb.s.cfg.index(), messages)
}

// readAgain reads the tenant's entries that were added since: what they are is not to be
// added, now or when its record comes.
func (rb *rebuild) readAgain(ctx context.Context, id enact.TenantID, t *missing) error {
	last, err := rb.s.lastEntry(ctx, id)
	if err != nil || last <= t.last {
		return err
	}
	since, err := rb.s.entriesTo(ctx, id, t.last+1, last, indexBatch)
	if err != nil {
		return err
	}
	t.last = last
	for _, e := range since {
		rb.known[idOf(e.commit, e.key)] = struct{}{} // its record may come yet
		i := slices.IndexFunc(t.entries, func(m creation) bool { return m.commit == e.commit && m.key == e.key })
		if i >= 0 {
			t.entries = slices.Delete(t.entries, i, i+1)
			rb.buffered--
			rb.report.Added++
		}
	}
	return nil
}
