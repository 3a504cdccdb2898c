// Package record is the wire format of the log, version 1: one JetStream message
// holds one record, which is one or more consecutive events of one execution.
// docs/wire-format.md describes it for readers in other languages.
//
// Encoding writes each value in one form only, and decoding refuses every other:
// what decodes is what was encoded.
package record

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// Limits of a record.
const (
	MaxEvents      = 1024
	MaxHeaderBytes = 32 << 10
	MaxBytes       = 128 << 10 // headers and payload; one event alone may have more
	MaxStaged      = 1000      // records of a staged batch: the server's limit (ADR-50)
)

const version = "1"

// Record is one message of the log.
type Record struct {
	TenantID    enact.TenantID
	ExecutionID enact.ExecutionID
	Position    uint64 // its stream sequence; 0 while it is not stored
	Sequence    uint64 // of its first event
	Times       []time.Time
	Codec       string // value of Enact-Codec, "json" where that is absent
	Commit      Commit
	Key         string // idempotency key; "": none
	Link        Link
	Metadata    map[string]string
	TraceParent string
	TraceState  string
	Payload     []byte

	timesText string // value of Enact-Time
}

// Commit is one append and the record's place in it.
type Commit struct {
	ID    uuid.UUID // UUIDv7, made once per append, kept over its retries
	Index int       // from 1
	Of    int       // records of the append
}

func (c Commit) String() string { return string(appendCommit(make([]byte, 0, 48), c)) }

func appendCommit(dst []byte, c Commit) []byte {
	dst = append(appendUUID(dst, c.ID), ' ')
	dst = append(strconv.AppendInt(dst, int64(c.Index), 10), '/')
	return strconv.AppendInt(dst, int64(c.Of), 10)
}

// appendUUID appends what id.String returns.
func appendUUID(dst []byte, id uuid.UUID) []byte {
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return append(dst, text[:]...)
}

func parseCommit(s string) (Commit, error) {
	idText, place, _ := strings.Cut(s, " ")
	id, err := parseUUID(idText)
	if err != nil {
		return Commit{}, fmt.Errorf("commit: %w", err)
	}
	iText, nText, ok := strings.Cut(place, "/")
	i, err1 := parseUint(iText)
	n, err2 := parseUint(nText)
	if !ok || err1 != nil || err2 != nil || i < 1 || i > n || n > MaxStaged {
		return Commit{}, fmt.Errorf("commit %q: bad place in the batch", clip(s))
	}
	return Commit{ID: id, Index: int(i), Of: int(n)}, nil
}

// Count returns the number of events.
func (r *Record) Count() int { return len(r.Times) }

// Last returns the sequence of the record's last event.
func (r *Record) Last() uint64 { return r.Sequence + uint64(len(r.Times)) - 1 }

// Previous returns the position of the execution's previous record, 0 for the first.
func (r *Record) Previous() uint64 {
	if len(r.Link.Back) == 0 {
		return 0
	}
	return r.Link.Back[0].Position
}

// Tail is the end of a history: all that the next record needs to know. The zero
// value is the tail of an execution without events.
type Tail struct {
	Sequence       uint64 // of the last event
	Position       uint64 // of the last record
	Number         uint64 // of the last record
	RecordSequence uint64 // of the last record's first event
	Origin         uuid.UUID
	Back           []Ref // of the last record
	Chain          enact.Chain

	commit Commit // of the last record; zero: not known
	staged int    // place of the last record in the batch that is being made; 0: it is stored
}

// Tail returns the tail of a history that ends in r.
func (r *Record) Tail() Tail {
	return Tail{
		Sequence: r.Last(), Position: r.Position, Number: r.Link.Number, RecordSequence: r.Sequence,
		Origin: r.Link.Origin, Back: r.Link.Back, Chain: r.Link.Chain, commit: r.Commit,
	}
}

// Torn returns an error if a staged batch is not whole where r follows t: t ends within
// one that r does not continue, or r continues one that t does not end within. The error is
// about the last record of the batch that is there.
func (r *Record) Torn(t Tail) error {
	switch before := t.commit; {
	case r.fits(before):
		return nil
	case before.Index < before.Of:
		return &enact.CorruptError{
			TenantID: r.TenantID, ExecutionID: r.ExecutionID, Position: t.Position, Sequence: t.RecordSequence,
			Reason: fmt.Sprintf("torn batch: record %d of %d of commit %s is followed by record %s", before.Index, before.Of, before.ID, r.Commit),
		}
	default:
		return r.Corrupt("torn batch: record %s follows record %s", r.Commit, before)
	}
}

// fits reports whether the record's commit may stand behind the one before.
func (r *Record) fits(before Commit) bool {
	if before.Index == before.Of {
		return r.Commit.Index == 1 || before.Of == 0
	}
	before.Index++
	return r.Commit == before
}

// After makes r the record that follows t: its sequence, link and chain. All
// else must be set. It returns the tail for the next record of the same append,
// and an [*enact.OptionError] for times or a codec's header value that no record
// can hold.
func (r *Record) After(t Tail) (Tail, error) {
	if !validCodec(r.Codec) {
		return Tail{}, &enact.OptionError{Option: "codec", Reason: fmt.Sprintf("%q cannot be the value of %s", clip(r.Codec), HeaderCodec)}
	}
	text, err := appendTimes(make([]byte, 0, 48), r.Times)
	if err != nil {
		return Tail{}, err
	}
	r.timesText = string(text)
	r.Position = 0
	r.Sequence = t.Sequence + 1
	r.Link = nextLink(t, r.Commit.ID)
	r.Link.Chain = r.ChainAfter(t.Chain)
	next := r.Tail()
	next.staged = r.Commit.Index
	return next, nil
}

// Stored returns the tail of an append whose last record, staged or single, now
// stands at position. Records of a staged batch stand side by side.
func (t Tail) Stored(position uint64) Tail {
	place := t.staged
	t.Position, t.staged = position, 0
	if place <= 1 {
		return t
	}
	back := slices.Clone(t.Back)
	i := 0
	for n := range Numbers(t.Number) {
		if distance := t.Number - n; distance < uint64(place) {
			back[i].Position = position - distance
		}
		i++
	}
	t.Back = back
	return t
}

// Place returns where the record's payload stands, for its codec.
func (r *Record) Place() codec.Place {
	return codec.Place{TenantID: r.TenantID, ExecutionID: r.ExecutionID, Sequence: r.Sequence}
}

// Corrupt returns a CorruptError about the record.
func (r *Record) Corrupt(format string, args ...any) error {
	return &enact.CorruptError{
		TenantID: r.TenantID, ExecutionID: r.ExecutionID, Position: r.Position, Sequence: r.Sequence,
		Reason: fmt.Sprintf(format, args...),
	}
}

// Events decodes the payload. It returns an [*enact.UnknownCodecError] for a codec
// that is not in the set, an [*enact.PayloadError] for a payload that could not be
// decoded here and now, and an [*enact.CorruptError] for one that does not decode to
// the record's events.
func (r *Record) Events(ctx context.Context, codecs codec.Set) ([]enact.StoredEvent, error) {
	events, err := r.AppendEvents(ctx, make([]enact.StoredEvent, 0, r.Count()), codecs)
	if err != nil {
		return nil, err
	}
	return events, nil
}

// AppendEvents appends what [Record.Events] returns to dst, nothing beside an error.
func (r *Record) AppendEvents(ctx context.Context, dst []enact.StoredEvent, codecs codec.Set) ([]enact.StoredEvent, error) {
	c, ok := codecs.Lookup(r.Codec)
	if !ok {
		return dst, &enact.UnknownCodecError{Position: r.Position, Sequence: r.Sequence, Codec: r.Codec}
	}
	events, err := c.Decode(ctx, r.Payload, r.Codec, r.Place(), r.Count())
	switch {
	case err != nil && (ctx.Err() != nil || errors.Is(err, codec.ErrUnavailable) || errors.Is(err, enact.ErrTooLarge)):
		return dst, r.Undecoded(err)
	case err != nil:
		return dst, r.Corrupt("payload: %v", err)
	case len(events) != r.Count():
		return dst, r.Corrupt("payload: codec %q gave %d events for %d", r.Codec, len(events), r.Count())
	}
	// What is none is not handed on: nobody could store it again.
	trace := enact.TraceContext{Parent: r.TraceParent, State: r.TraceState}
	if trace.Validate() != nil {
		trace = enact.TraceContext{}
	}
	for i, e := range events {
		dst = append(dst, enact.StoredEvent{
			Sequence: r.Sequence + uint64(i), ExecutionID: r.ExecutionID, TenantID: r.TenantID,
			Event: e, Timestamp: r.Times[i], Position: r.Position, Metadata: maps.Clone(r.Metadata),
			Trace: trace,
		})
	}
	return dst, nil
}

// Undecoded returns a PayloadError about the record.
func (r *Record) Undecoded(err error) error {
	return &enact.PayloadError{
		TenantID: r.TenantID, ExecutionID: r.ExecutionID, Position: r.Position, Sequence: r.Sequence, Codec: r.Codec, Err: err,
	}
}
