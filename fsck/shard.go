package fsck

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
)

const (
	chunkMessages = 256
	chunkBytes    = 256 << 10
	chunksAhead   = 8 // of each shard

	// mostExplained bounds what is kept of positions that findings tell of.
	mostExplained = 1 << 18
	// recent is how long a creation may be under way.
	recent = 10 * time.Minute
)

// shard checks the executions that fall to it, all messages of each in their order. No
// other goroutine touches what it keeps while it runs.
type shard struct {
	*part
	in         chan chunk
	executions map[enact.ExecutionID]*history
	tenants    map[enact.TenantID]enact.TenantID // one copy of each id
	report     Report                            // since the last time that it was collected
	explained  []span                            // positions without messages that findings tell of
	err        error                             // the first thing that ended the shard's work
}

// span is a range of positions.
type span struct{ First, Last uint64 }

// chunk is some work for one shard.
type chunk struct {
	entries  []record.Entry
	messages []message
	done     *sync.WaitGroup // nil, or to be told that all before is done
}

func newShard(p *part) *shard {
	return &shard{part: p, executions: make(map[enact.ExecutionID]*history), tenants: make(map[enact.TenantID]enact.TenantID)}
}

// run works on chunks until there are no more.
func (s *shard) run(ctx context.Context) {
	for c := range s.in {
		for _, e := range c.entries {
			s.entry(e)
		}
		for _, m := range c.messages {
			if s.err == nil {
				s.err = s.record(ctx, m)
			}
		}
		if c.done != nil {
			c.done.Done()
		}
	}
}

func (s *shard) found(f Finding) {
	if f.TenantID != "" && !s.within(f.TenantID) {
		return
	}
	if f.Stream == "" {
		f.Stream = s.stream
	}
	switch f.Kind {
	case MissingRecord:
		for _, position := range f.hole.At {
			s.explain(position, position)
		}
		if f.hole.At == nil {
			s.explain(f.Position-min(f.missing, f.Position)+1, f.Position)
		}
	case TornBatch:
		s.explain(f.Position+1, f.Position+f.missing)
	case MissingEnd:
		s.explain(f.headAt, f.headAt)
		// The head's position means something only in the stream that it was kept of.
		if f.headAt > f.Position && s.first <= f.headAt && f.headAt <= s.last {
			f.Position = f.headAt
		}
	}
	s.report.add(s.opts.Findings, f)
}

// explain takes note of positions whose emptiness a finding tells of.
func (s *shard) explain(first, last uint64) {
	if len(s.explained) < mostExplained {
		s.explained = append(s.explained, span{first, last})
	}
}

// history returns what is kept of an execution, and makes it.
func (s *shard) history(tenant enact.TenantID, id enact.ExecutionID) *history {
	first := s.executions[id]
	for h := first; h != nil; h = h.next {
		if h.Tenant == tenant {
			return h
		}
	}
	t, ok := s.tenants[tenant]
	if !ok {
		t = enact.TenantID(strings.Clone(string(tenant)))
		s.tenants[t] = t
	}
	h := &history{Tenant: t}
	s.keep(enact.ExecutionID(strings.Clone(string(id))), h)
	return h
}

// keep puts a history behind the others of its id.
func (s *shard) keep(id enact.ExecutionID, h *history) {
	at := s.executions[id]
	if at == nil {
		s.executions[id] = h
		return
	}
	for at.next != nil {
		at = at.next
	}
	at.next = h
}

// record checks a message of the log.
func (s *shard) record(ctx context.Context, m message) error {
	r, err := record.Parse(s.subjects, m.Subject, m.position, m.Header, m.Data)
	if err != nil {
		s.noRecord(m, err)
		return nil
	}
	h := s.history(r.TenantID, r.ExecutionID)
	if s.within(r.TenantID) {
		s.report.Records++
		s.report.Events += uint64(r.Count())
		if h.First == 0 {
			s.report.Executions++
		}
	}
	events, err := r.Events(ctx, s.codecs)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	sound := h.take(r, s.found)
	for i := range events {
		if _, gone := events[i].Event.(enact.Unreadable); gone && s.within(r.TenantID) {
			s.report.Unreadable++
		}
	}
	if err != nil {
		s.noEvents(h, r, err, sound)
	}
	h.compare(r, s.found)
	if sound && r.Link.Number == 1 {
		s.created(h, r)
	}
	return nil
}

// created holds the time of the index entry of an execution against its first event's.
func (s *shard) created(h *history, r *record.Record) {
	for _, e := range h.listed() {
		if e.Commit == r.Commit.ID && e.Time != timeDigest(r.Times[0]) {
			f := h.finding(BadEntry, r, "the execution's first event is of %s, the entry of another time", enact.AppendTime(nil, r.Times[0]))
			f.Stream, f.Position, f.Sequence = s.indexStream, e.Position, 0
			s.found(f)
		}
	}
}

// noEvents tells of a payload that does not decode.
func (s *shard) noEvents(h *history, r *record.Record, err error, sound bool) {
	var f Finding
	switch {
	case errors.Is(err, enact.ErrUnknownCodec):
		f = h.finding(UnknownCodec, r, "codec %q is not known here", clip(r.Codec))
	case errors.Is(err, enact.ErrTooLarge):
		f = h.finding(LargePayload, r, "%v", payloadError(err))
	case errors.Is(err, codec.ErrUnavailable):
		f = h.finding(MissingKey, r, "%v", payloadError(err))
	case sound:
		s.found(h.finding(BadPayload, r, "%s", reasonOf(err)))
		return
	default:
		return // what was found of the record explains it
	}
	h.later(f)
}

// noRecord tells of a message that is not a record of an execution.
func (s *shard) noRecord(m message, err error) {
	tenant, id, subjectErr := s.subjects.ParseExecution(m.Subject)
	if subjectErr != nil {
		s.found(Finding{Kind: OutsideScheme, Position: m.position, Reason: clip(subjectErr.Error())})
		return
	}
	h := s.history(tenant, id)
	f := Finding{TenantID: tenant, ExecutionID: id, Position: m.position}
	switch version, ok := errors.AsType[*enact.UnsupportedVersionError](err); {
	case ok:
		f.Kind, f.Reason = UnsupportedVersion, fmt.Sprintf("wire format version %q", clip(version.Version))
		h.damaged(m.position)
		h.Trouble.Newer = true
		h.later(f)
		return
	case !ours(m.Header):
		f.Kind, f.Reason = ForeignMessage, "the message has none of a record's headers"
	default:
		f.Kind, f.Reason = BadRecord, reasonOf(err)
		if corrupt, ok := errors.AsType[*enact.CorruptError](err); ok {
			f.Sequence = corrupt.Sequence
		}
	}
	s.found(f)
	h.damaged(m.position)
}

// ours reports whether a message has any header of a record.
func ours(h nats.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Enact-") {
			return true
		}
	}
	return false
}

// entry takes an index entry into account.
func (s *shard) entry(e record.Entry) {
	s.report.Entries++
	h := s.history(e.TenantID, e.ExecutionID)
	repeated := h.EntryAt > 0 && h.Entry == e.Commit
	for _, l := range h.Entries {
		repeated = repeated || l.Commit == e.Commit
	}
	switch {
	case repeated:
		s.found(Finding{
			Kind: RepeatedEntry, Stream: s.indexStream, TenantID: e.TenantID, ExecutionID: e.ExecutionID, Position: e.Position,
			Reason: fmt.Sprintf("commit %s has an entry before this one", e.Commit),
		})
	case h.EntryAt == 0:
		h.Entry, h.EntryAt, h.EntryTime = e.Commit, e.Position, timeDigest(e.Created)
	default:
		h.Entries = append(h.Entries, listed{e.Commit, e.Position, timeDigest(e.Created)})
	}
}

// finish tells what can be told only when all was read.
func (s *shard) finish(ctx context.Context) error {
	for id, first := range s.executions {
		var other *history // the first with records
		for h := first; h != nil; h = h.next {
			switch {
			case h.First == 0 || s.perTenant:
			case other == nil:
				other = h
			case s.within(h.Tenant):
				s.found(twoTenants(id, h, other))
			default:
				s.found(twoTenants(id, other, h))
			}
			if !s.within(h.Tenant) {
				continue
			}
			h.end(id, s.first, s.ending(ctx, id, h))
			if s.err != nil {
				return s.err
			}
			if err := s.listed(ctx, id, h); err != nil {
				return err
			}
		}
	}
	return s.err
}

// twoTenants tells of a history whose id another has, too.
func twoTenants(id enact.ExecutionID, h, other *history) Finding {
	return Finding{
		Kind: TwoTenants, TenantID: h.Tenant, ExecutionID: id, Position: h.First,
		Reason: fmt.Sprintf("tenant %q has an execution of this id, which begins at position %d", clip(string(other.Tenant)), other.First),
	}
}

// ending passes findings about a history's end on, but for a torn batch whose other records
// were stored behind the position up to which the log was read.
func (s *shard) ending(ctx context.Context, id enact.ExecutionID, h *history) func(Finding) {
	return func(f Finding) {
		if f.Kind == TornBatch && f.Position == s.last {
			more, err := s.recordsOf(h.Tenant, id).leaderNext(ctx, s.last+1)
			if err != nil {
				s.err = err
				return
			}
			if more != nil && more.position == s.last+1 {
				return
			}
		}
		s.found(f)
	}
}

// listed holds an execution's index entries against its records.
func (s *shard) listed(ctx context.Context, id enact.ExecutionID, h *history) error {
	entries := h.listed()
	origin := h.Tail.Origin
	if h.First > 0 {
		counts := false
		for _, e := range entries {
			counts = counts || e.Commit == origin
		}
		if !counts {
			s.found(Finding{
				Kind: Unlisted, TenantID: h.Tenant, ExecutionID: id, Sequence: 1, Position: h.First, Repair: "add the entry",
				Reason: fmt.Sprintf("the index has no entry of commit %s, which created the execution", origin),
			})
		}
	}
	for _, e := range entries {
		f := Finding{Kind: LostCreation, Stream: s.indexStream, TenantID: h.Tenant, ExecutionID: id, Position: e.Position}
		switch {
		case h.First > 0 && e.Commit == origin:
			continue
		case h.First > 0:
			f.Reason = fmt.Sprintf("the execution was created by commit %s, not by this entry's", origin)
		case h.Trouble != nil || len(h.Heads) > 0:
			continue // it had records: told of already
		default:
			under, err := s.underWay(ctx, id, h.Tenant, e)
			if err != nil {
				return err
			}
			if under {
				continue
			}
			f.Kind, f.Reason = CrashedCreation, "the execution has no records: its creation crashed, or is under way"
		}
		s.found(f)
	}
	return nil
}

// underWay reports whether a creation without records has some by now. Only those of the
// last minutes are asked for.
func (s *shard) underWay(ctx context.Context, id enact.ExecutionID, tenant enact.TenantID, e listed) (bool, error) {
	if e.Commit.Version() != 7 || madeAt(e.Commit).Before(s.began.Add(-recent)) {
		return false, nil
	}
	m, err := s.recordsOf(tenant, id).leaderNext(ctx, s.last+1)
	return m != nil, err
}

func madeAt(id uuid.UUID) time.Time {
	sec, nsec := id.Time().UnixTime()
	return time.Unix(sec, nsec)
}

func clip(text string) string {
	const limit = 200
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

// reasonOf returns an error's text, of a CorruptError the reason alone.
func reasonOf(err error) string {
	if corrupt, ok := errors.AsType[*enact.CorruptError](err); ok {
		return clip(corrupt.Reason)
	}
	return clip(err.Error())
}

// payloadError returns what stands behind a PayloadError.
func payloadError(err error) error {
	if p, ok := errors.AsType[*enact.PayloadError](err); ok {
		return p.Err
	}
	return err
}
