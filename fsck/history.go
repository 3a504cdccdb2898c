package fsck

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// history is what is kept of an execution while its records go by. One fault is to be
// one finding: what follows from it is expected from then on.
//
// Its exported fields are saved in a state file.
type history struct {
	next *history // of the same id, in another tenant

	Tenant enact.TenantID
	Tail   record.Tail // of the last record taken, as it should be
	Commit record.Commit
	First  uint64 // position of the first record

	Entry     uuid.UUID // commit of the first index entry; zero: there is none
	EntryAt   uint64    // its position
	EntryTime uint64    // digest of its time
	Entries   []listed  // further ones
	Heads     []kept    // not yet compared, in the order of their sequences
	Trouble   *trouble  // nil: none lately
	Deferred  []Finding // could not be checked: one of each kind
}

// mostDamaged bounds what is kept of an execution where something else than records stands,
// whose records a newer release has written, say.
const mostDamaged = 64

// trouble is what went wrong lately in a history.
type trouble struct {
	Damaged []uint64 // positions since the last record taken where something else stands: the first ones
	More    uint64   // further ones
	Newer   bool     // a record of a newer wire format is among them: nobody knows what it holds
	Doubt   bool     // the next record may deviate: the last one was not what it should be
	// Other is what the next record may follow instead of the tail's value, if the last record's
	// chain was broken; its number of events is then not known for sure. Else zero.
	Other enact.Chain
	// Placeless: the last record's chain was broken, and it does not continue a batch: its place
	// in one may be what was changed.
	Placeless bool
	Jump      *jump
	Bad       uint64 // position of the last record that a finding names
}

// damaged reports whether something that is no record stands between two positions, with them,
// or may stand there.
func (t *trouble) damaged(first, last uint64) bool {
	if t.More > 0 && last > t.Damaged[len(t.Damaged)-1] {
		return true
	}
	return slices.ContainsFunc(t.Damaged, func(p uint64) bool { return first <= p && p <= last })
}

// stands reports whether what was met behind the last record may stand for that of a head.
// A position before the stream's first is of another stream and tells nothing.
func (t *trouble) stands(k kept, first uint64) bool {
	return t.Newer || t.damaged(k.Position, k.Position) || k.Position < first && len(t.Damaged) > 0
}

// jump is a hole that was just met. If the record that seems to be missing comes next, the
// two were swapped.
type jump struct {
	Before  record.Tail
	Finding Finding
	Missing uint64   // records
	At      []uint64 // their positions; nil: not all are known
}

// told returns the finding about the hole.
func (j *jump) told() Finding {
	f := j.Finding
	f.missing, f.hole = j.Missing, j
	return f
}

type listed struct {
	Commit   uuid.UUID
	Position uint64
	Time     uint64 // digest
}

// listed returns all index entries.
func (h *history) listed() []listed {
	if h.EntryAt == 0 {
		return nil
	}
	return append([]listed{{h.Entry, h.EntryAt, h.EntryTime}}, h.Entries...)
}

// timeDigest stands for a time in a third of its bytes. It is no digest that anybody could
// find a second time for.
func timeDigest(t time.Time) uint64 {
	sum := sha256.Sum256(enact.AppendTime(make([]byte, 0, 48), t))
	return binary.BigEndian.Uint64(sum[:])
}

// kept is a head that was kept elsewhere.
type kept struct {
	Sequence, Position uint64
	Chain              enact.Chain
}

func (h *history) trouble() *trouble {
	if h.Trouble == nil {
		h.Trouble = new(trouble)
	}
	return h.Trouble
}

// settled forgets trouble that is over.
func (h *history) settled() {
	if t := h.Trouble; t != nil {
		*t = trouble{Bad: t.Bad}
	}
}

// damaged takes note of a message that is no record that could be taken.
func (h *history) damaged(position uint64) {
	t := h.trouble()
	if len(t.Damaged) < mostDamaged {
		t.Damaged = append(t.Damaged, position)
	} else {
		t.More++
	}
	t.Bad = position
}

// take checks the execution's next record. found is called with what is wrong, at most once
// for a fault. ok reports whether the record itself is sound as far as can be told.
func (h *history) take(r *record.Record, found func(Finding)) (ok bool) {
	if t := h.Trouble; t != nil && t.Jump != nil {
		j := t.Jump
		t.Jump = nil
		if h.swapped(j, r, found) {
			return true
		}
		found(j.told())
	}
	if h.First == 0 {
		h.First = r.Position
	}
	switch tail := &h.Tail; {
	case r.Link.Number == tail.Number+1, r.Sequence == tail.Sequence+1 && r.Previous() == tail.Position:
		return h.follow(r, found)
	case r.Link.Number <= tail.Number || r.Sequence <= tail.Sequence:
		found(h.finding(RepeatedRecord, r, "record %d with event %d comes after record %d, which ends with event %d",
			r.Link.Number, r.Sequence, tail.Number, tail.Sequence))
		h.damaged(r.Position)
		return false
	}
	h.jump(r)
	return true
}

// follow takes the record that has the next number.
func (h *history) follow(r *record.Record, found func(Finding)) bool {
	before := h.Tail
	var t trouble
	if h.Trouble != nil {
		t = *h.Trouble
	}
	kind, reason := deviation(r, before, t)
	after := r.Tail()
	if kind == "" {
		ok := h.place(r, before, t.Doubt || t.Placeless, found)
		h.Tail, h.Commit = after, r.Commit
		h.settled()
		return ok
	}
	found(h.finding(kind, r, "%s", reason))
	// What comes next was made behind the record that should be here.
	after.Sequence, after.RecordSequence, after.Number = before.Sequence+uint64(r.Count()), before.Sequence+1, before.Number+1
	if before.Number > 0 {
		after.Origin = before.Origin
	}
	after.Back = before.NextBack()
	next := h.Commit
	next.Index++
	h.Tail, h.Commit = after, r.Commit
	h.Trouble = &trouble{
		Doubt: kind != BrokenChain, Other: r.ChainAfter(before.Chain), Bad: r.Position,
		Placeless: kind == BrokenChain && (r.Commit.Index == 1 || r.Commit != next),
	}
	return false
}

// deviation names the first thing by which a record does not follow what is before it.
func deviation(r *record.Record, before record.Tail, t trouble) (Kind, string) {
	switch {
	case t.Doubt:
	case r.Sequence != before.Sequence+1 && (t.Other == enact.Chain{} || r.Sequence <= before.RecordSequence):
		return BadSequence, fmt.Sprintf("record %d begins with event %d, the record before it ends with event %d", r.Link.Number, r.Sequence, before.Sequence)
	case r.Link.Number != before.Number+1:
		return BadLink, fmt.Sprintf("record %d follows record %d", r.Link.Number, before.Number)
	case r.Previous() != before.Position:
		return BadLink, fmt.Sprintf("the record before it is at position %d, the record says %d", before.Position, r.Previous())
	case before.Number > 0 && r.Link.Origin != before.Origin:
		return BadLink, fmt.Sprintf("the origin changes from %s to %s", before.Origin, r.Link.Origin)
	case !r.LinksTo(before):
		return BadLink, fmt.Sprintf("the back list is not the one that follows record %d", before.Number)
	}
	if r.Follows(before.Chain) || t.Other != (enact.Chain{}) && r.Follows(t.Other) {
		return "", ""
	}
	if before.Number == 0 {
		return BrokenChain, "the record is not what was appended: its chain value is another"
	}
	return BrokenChain, fmt.Sprintf("the record, or the one before it at position %d, is not what was appended: the chain value is another", before.Position)
}

// place checks the record's place in its staged batch.
func (h *history) place(r *record.Record, before record.Tail, doubt bool, found func(Finding)) bool {
	last, c := h.Commit, r.Commit
	switch {
	case doubt:
	case c.Index == 1 && last.Index < last.Of:
		found(Finding{
			missing: uint64(last.Of - last.Index), Kind: TornBatch, TenantID: h.Tenant, ExecutionID: r.ExecutionID, Sequence: before.RecordSequence, Position: before.Position,
			Reason: fmt.Sprintf("the batch ends with record %d of %d, and the history goes on", last.Index, last.Of),
		})
	case c.Index > 1 && (c.ID != last.ID || c.Of != last.Of || c.Index != last.Index+1):
		found(h.finding(TornBatch, r, "record %d of %d of commit %s follows record %d of %d of commit %s", c.Index, c.Of, c.ID, last.Index, last.Of, last.ID))
		return false
	case c.Index > 1 && r.Position != before.Position+1:
		found(h.finding(TornBatch, r, "record %d of its batch is not right behind record %d, at position %d", c.Index, last.Index, before.Position))
		return false
	}
	return true
}

// jump takes a record behind a hole. Where as many messages that are no good were met as
// records are missing, those are told of already.
func (h *history) jump(r *record.Record) {
	before := h.Tail
	var t trouble
	if h.Trouble != nil {
		t = *h.Trouble
	}
	missing := r.Link.Number - before.Number - 1
	h.settled()
	h.Tail, h.Commit = r.Tail(), r.Commit
	known := namedBehind(r, before)
	if missing <= uint64(len(t.Damaged))+t.More && !slices.ContainsFunc(known, func(p uint64) bool { return !t.damaged(p, p) }) {
		return // what stands elsewhere would have been put there by somebody
	}
	position := r.Previous()
	if t.damaged(position, position) {
		position = r.Position
	}
	f := h.finding(MissingRecord, r, "event %d is missing, in record %d", before.Sequence+1, before.Number+1)
	if missing > 1 {
		f.Reason = fmt.Sprintf("events %d to %d are missing, in records %d to %d", before.Sequence+1, r.Sequence-1, before.Number+1, r.Link.Number-1)
	} else if r.Sequence-before.Sequence > 2 {
		f.Reason = fmt.Sprintf("events %d to %d are missing, in record %d", before.Sequence+1, r.Sequence-1, before.Number+1)
	}
	f.Sequence, f.Position = before.Sequence+1, position
	if uint64(len(known)) != missing {
		known = nil
	}
	h.trouble().Jump = &jump{before, f, missing, known}
}

// namedBehind returns the positions behind the record before a hole that the back list of
// the record behind it names: those of some of the missing records, or of all.
func namedBehind(r *record.Record, before record.Tail) (positions []uint64) {
	for _, ref := range r.Link.Back {
		if ref.Position > before.Position {
			positions = append(positions, ref.Position)
		}
	}
	return positions
}

// swapped reports whether r is the one record that seemed to be missing.
func (h *history) swapped(j *jump, r *record.Record, found func(Finding)) bool {
	if r.Link.Number != j.Before.Number+1 || h.Tail.Number != r.Link.Number+1 || r.Sequence != j.Before.Sequence+1 || !r.Follows(j.Before.Chain) {
		return false
	}
	f := j.Finding
	f.Kind, f.Position, f.Sequence = SwappedRecords, h.Tail.Position, h.Tail.RecordSequence
	f.Reason = fmt.Sprintf("record %d stands before record %d, which is at position %d", h.Tail.Number, r.Link.Number, r.Position)
	found(f)
	h.Tail.Position = r.Position
	h.trouble().Doubt = true
	return true
}

// compare compares heads with the record, if it was just taken.
func (h *history) compare(r *record.Record, found func(Finding)) {
	if h.Tail.Position != r.Position {
		return
	}
	for len(h.Heads) > 0 && h.Heads[0].Sequence <= r.Last() {
		k := h.Heads[0]
		h.Heads = h.Heads[1:]
		switch {
		case h.Trouble != nil && h.Trouble.Bad == r.Position: // told of already
		case k.Sequence < r.Sequence: // its record is missing, or damaged: told of already
		case k.Sequence < r.Last():
			found(h.finding(RewrittenEnd, r, "the head kept of event %d was the end of a record, and is not now", k.Sequence))
		case k.Chain != r.Link.Chain:
			found(h.finding(RewrittenEnd, r, "the head kept of event %d has chain value %s, the record has %s", k.Sequence, k.Chain, r.Link.Chain))
		}
	}
	if len(h.Heads) == 0 {
		h.Heads = nil
	}
}

// end checks what can be told only when the history has ended. first is where the stream
// begins.
func (h *history) end(id enact.ExecutionID, first uint64, found func(Finding)) {
	var t trouble
	if h.Trouble != nil {
		t = *h.Trouble
		h.Trouble.Jump = nil
	}
	if t.Jump != nil {
		found(t.Jump.told())
	}
	if c := h.Commit; c.Index < c.Of && !t.Placeless && !t.damaged(h.Tail.Position+1, h.Tail.Position+uint64(c.Of-c.Index)) && len(h.Heads) == 0 { // a head tells that the batch was whole
		found(Finding{
			missing: uint64(c.Of - c.Index), Kind: TornBatch, TenantID: h.Tenant, ExecutionID: id, Sequence: h.Tail.RecordSequence, Position: h.Tail.Position,
			Reason: fmt.Sprintf("the history ends with record %d of %d of a batch: the batch is torn", c.Index, c.Of),
		})
	}
	if n := len(h.Heads); n > 0 && !t.stands(h.Heads[n-1], first) {
		k := h.Heads[n-1]
		f := Finding{
			Kind: MissingEnd, TenantID: h.Tenant, ExecutionID: id, Sequence: h.Tail.Sequence + 1, Position: h.Tail.Position, headAt: k.Position,
			Reason: fmt.Sprintf("a head was kept of event %d at position %d, the history ends with event %d at position %d", k.Sequence, k.Position, h.Tail.Sequence, h.Tail.Position),
		}
		if h.Tail.Number == 0 {
			f.Reason = fmt.Sprintf("a head was kept of event %d at position %d, the log has no record of the execution", k.Sequence, k.Position)
		}
		found(f)
	}
	for _, f := range h.Deferred {
		found(f)
	}
}

// later keeps a finding about a record that could not be checked for the end, one of each kind.
func (h *history) later(f Finding) {
	for i := range h.Deferred {
		if d := &h.Deferred[i]; d.Kind == f.Kind {
			d.Records = max(d.Records, 1) + 1
			return
		}
	}
	h.Deferred = append(h.Deferred, f)
}

func (h *history) finding(kind Kind, r *record.Record, format string, args ...any) Finding {
	return Finding{
		Kind: kind, TenantID: r.TenantID, ExecutionID: r.ExecutionID, Sequence: r.Sequence, Position: r.Position, Reason: fmt.Sprintf(format, args...),
	}
}
