package fsck

import (
	"cmp"
	"slices"
	"strings"

	"github.com/enactlog/enact"
)

// Kind says what a finding is about. Kinds are stable: programs may tell findings apart
// by them.
type Kind string

// Faults: the log does not hold what it should.
const (
	MissingMessage Kind = "missing_message" // the stream has nothing at a position, and no history tells what was there
	MissingRecord  Kind = "missing_record"  // a history goes on behind records that are not there
	RepeatedRecord Kind = "repeated_record" // a record with a number that the history has already
	SwappedRecords Kind = "swapped_records" // a record stands before the one that it follows
	BadSequence    Kind = "bad_sequence"    // a record's events do not go on where those before it end
	BadLink        Kind = "bad_link"        // record number, origin or back pointers are not those that must follow
	BrokenChain    Kind = "broken_chain"    // a record, or the one before it, is not what was appended
	TornBatch      Kind = "torn_batch"      // a staged batch without its last records, or not side by side
	BadRecord      Kind = "bad_record"      // the log's headers, but not as any writer writes them
	ForeignMessage Kind = "foreign_message" // on an execution's subject, without the log's headers
	OutsideScheme  Kind = "outside_scheme"  // on a subject that is no execution's, or in the index no tenant's
	BadPayload     Kind = "bad_payload"     // a sound record whose payload does not decode to its events
	MissingEnd     Kind = "missing_end"     // a history ends before the head that was kept elsewhere
	RewrittenEnd   Kind = "rewritten_end"   // a history is not the one that the head was kept of
	TwoTenants     Kind = "two_tenants"     // an execution id with records in two tenants of one stream
	Unlisted       Kind = "unlisted"        // an execution without an index entry: lists lack it
	BadEntry       Kind = "bad_entry"       // an index entry that is none: lists of its tenant end there; or of another time than its execution
	ReplicaDiffers Kind = "replica_differs" // a replica does not hold what another one holds
)

// What could not be checked here: nothing is known to be wrong.
const (
	UnsupportedVersion Kind = "unsupported_version" // records of a newer wire format
	UnknownCodec       Kind = "unknown_codec"       // records whose codec the store was not given
	MissingKey         Kind = "missing_key"         // records whose key cannot be had, and is not known to be gone
	LargePayload       Kind = "large_payload"       // records that decode to more than the codec allows
)

// Leftovers that no reader minds. They are kept: nothing is deleted from a log.
const (
	CrashedCreation Kind = "crashed_creation" // an index entry whose execution has no records
	LostCreation    Kind = "lost_creation"    // an index entry of a creation that lost the race for its execution
	RepeatedEntry   Kind = "repeated_entry"   // a further index entry of one creation
)

// Severity says what a finding means.
type Severity string

// Severities of findings.
const (
	// Fault: something is wrong.
	Fault Severity = "fault"
	// Unchecked: nothing is known to be wrong, but something could not be checked.
	Unchecked Severity = "unchecked"
	// Notice: something is out of the ordinary and does no harm.
	Notice Severity = "notice"
)

// Severity returns the severity of all findings of the kind.
func (k Kind) Severity() Severity {
	switch k {
	case UnsupportedVersion, UnknownCodec, MissingKey, LargePayload:
		return Unchecked
	case CrashedCreation, LostCreation, RepeatedEntry:
		return Notice
	}
	return Fault
}

// Finding is one thing that a check has found.
type Finding struct {
	Kind        Kind              `json:"kind"`
	Severity    Severity          `json:"severity"`
	Stream      string            `json:"stream"`
	TenantID    enact.TenantID    `json:"tenant_id,omitempty"`
	ExecutionID enact.ExecutionID `json:"execution_id,omitempty"`
	// Sequence of the first event concerned, 0 where there is none or it is not known.
	Sequence uint64 `json:"sequence,omitempty"`
	// Position is where in the stream: of the message, of the one that is missing, or of the
	// last that is there. 0 where nothing is.
	Position uint64 `json:"position"`
	// Last is the last position of a range of missing messages; 0: it is no range.
	Last uint64 `json:"last_position,omitempty"`
	// Records is how many records of the execution it stands for, where it stands for more
	// than one: those that could not be checked are told of once for each execution.
	Records uint64 `json:"records,omitempty"`
	Reason  string `json:"reason"`
	// Repair is what [Repair] would do; "": it is kept as it is.
	Repair string `json:"repair,omitempty"`

	missing uint64 // records that are not there: up to Position, of a torn batch behind it
	hole    *jump  // that it is about; nil: none
	headAt  uint64 // position that a head names
}

// compareFindings orders findings by stream and position.
func compareFindings(a, b Finding) int {
	return cmp.Or(
		strings.Compare(a.Stream, b.Stream), cmp.Compare(a.Position, b.Position), strings.Compare(string(a.Kind), string(b.Kind)),
		strings.Compare(string(a.TenantID), string(b.TenantID)), strings.Compare(string(a.ExecutionID), string(b.ExecutionID)),
	)
}

// Report is what a check has found.
type Report struct {
	Scope   Scope          `json:"scope"`
	Streams []StreamReport `json:"streams"` // one, or one for each tenant that has streams of its own

	Messages   uint64 `json:"messages"`   // of the log
	Records    uint64 `json:"records"`    // among them
	Events     uint64 `json:"events"`     // in them
	Executions uint64 `json:"executions"` // that have a record
	Entries    uint64 `json:"entries"`    // of the index
	Heads      uint64 `json:"heads"`      // that were compared
	// Unreadable counts the events whose keys are gone, as is meant to be after
	// codec.KeyManager's DropTenant.
	Unreadable uint64 `json:"unreadable"`

	Faults    uint64          `json:"faults"`
	Unchecked uint64          `json:"unchecked"`
	Notices   uint64          `json:"notices"`
	Counts    map[Kind]uint64 `json:"counts"` // findings by kind
	// Findings are ordered by stream and position. At most [Options.Findings]; the counts
	// are of all.
	Findings []Finding `json:"findings"`
}

// Scope is what was checked. Both empty: everything.
type Scope struct {
	TenantID    enact.TenantID    `json:"tenant_id,omitempty"`
	ExecutionID enact.ExecutionID `json:"execution_id,omitempty"`
}

// StreamReport is how much of a stream was checked.
type StreamReport struct {
	Stream      string `json:"stream"`
	Incarnation string `json:"incarnation"`
	First       uint64 `json:"first_position"` // of the log
	Last        uint64 `json:"last_position"`  // when the check began; what came later was not looked at
	Passes      int    `json:"passes"`         // over the log
	// Replicas names the servers whose copies were compared. Empty: not checked, one copy
	// was read.
	Replicas []string `json:"replicas"`
}

// Clean reports whether nothing is wrong and nothing was left unchecked.
func (r *Report) Clean() bool { return r.Faults == 0 && r.Unchecked == 0 }

// add counts a finding and keeps it, unless there are enough.
func (r *Report) add(most int, f Finding) {
	f.Severity, f.missing, f.hole, f.headAt = f.Kind.Severity(), 0, nil, 0
	switch f.Severity {
	case Fault:
		r.Faults++
	case Unchecked:
		r.Unchecked++
	case Notice:
		r.Notices++
	}
	if r.Counts == nil {
		r.Counts = make(map[Kind]uint64)
	}
	r.Counts[f.Kind]++
	if len(r.Findings) < most {
		r.Findings = append(r.Findings, f)
	}
}

// merge adds what another report has, and keeps of its findings what there is room for.
func (r *Report) merge(most int, o *Report) {
	r.Messages += o.Messages
	r.Records += o.Records
	r.Events += o.Events
	r.Executions += o.Executions
	r.Entries += o.Entries
	r.Heads += o.Heads
	r.Unreadable += o.Unreadable
	r.Faults += o.Faults
	r.Unchecked += o.Unchecked
	r.Notices += o.Notices
	if r.Counts == nil {
		r.Counts = make(map[Kind]uint64)
	}
	for kind, n := range o.Counts {
		r.Counts[kind] += n
	}
	r.Findings = append(r.Findings, o.Findings[:min(len(o.Findings), most-len(r.Findings))]...)
}

func (r *Report) sort() { slices.SortFunc(r.Findings, compareFindings) }
