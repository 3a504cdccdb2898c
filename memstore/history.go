package memstore

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"time"

	"github.com/enactlog/enact"
)

// history is what the store knows of one execution. Its slices are only ever
// appended to and their elements never change, so a copy of the struct is a
// snapshot that may be read without the lock.
type history struct {
	tenant    enact.TenantID
	execution enact.ExecutionID
	events    []event // that of sequence n at n-1
	records   []*record
}

// record is one append.
type record struct {
	first    uint64 // sequence of its first event
	count    int
	position uint64
	chain    enact.Chain
	key      string            // idempotency key; "": none
	metadata map[string]string // nil: none
	trace    enact.TraceContext
}

// event is one event, encoded.
type event struct {
	json []byte
	at   time.Time // UTC
	rec  *record
}

func (h *history) latest() uint64 { return uint64(len(h.events)) }

func (h *history) head() enact.Head {
	head := enact.Head{TenantID: h.tenant, ExecutionID: h.execution, Sequence: h.latest()}
	if n := len(h.records); n > 0 {
		head.Position, head.Chain = h.records[n-1].position, h.records[n-1].chain
	}
	return head
}

// withKey returns the newest of the last window records that carries the key.
func (h *history) withKey(key string, window int) *record {
	for i := len(h.records) - 1; i >= max(0, len(h.records)-window); i-- {
		if h.records[i].key == key {
			return h.records[i]
		}
	}
	return nil
}

// holds reports whether rec is an append of exactly these encoded events.
func (h *history) holds(rec *record, events [][]byte) bool {
	if rec.count != len(events) {
		return false
	}
	for i, data := range events {
		if !sameEvent(h.events[rec.first-1+uint64(i)].json, data) {
			return false
		}
	}
	return true
}

// sameEvent reports whether two encoded events are one, after a round through the reader,
// which drops the space around raw JSON.
func sameEvent(a, b []byte) bool {
	return bytes.Equal(a, b) || bytes.Equal(readAgain(a), readAgain(b))
}

// readAgain encodes the event anew as it is read. What was encoded can be read and encoded.
func readAgain(encoded []byte) []byte {
	e, err := enact.ParseEvent(encoded)
	if err != nil {
		return encoded
	}
	again, err := enact.AppendEvent(nil, e)
	if err != nil {
		return encoded
	}
	return again
}

func (r *record) receipt() enact.Receipt {
	return enact.Receipt{First: r.first, Last: r.first + uint64(r.count) - 1, Position: r.position, Chain: r.chain}
}

// load decodes the event at index i. Its error is a [*enact.CorruptError]: what
// was validated and encoded on append must be readable.
func (h *history) load(i int) (enact.StoredEvent, error) {
	e := h.events[i]
	seq := uint64(i) + 1
	decoded, err := enact.ParseEvent(e.json)
	if err != nil {
		return enact.StoredEvent{}, &enact.CorruptError{
			TenantID: h.tenant, ExecutionID: h.execution, Position: e.rec.position, Sequence: seq, Reason: err.Error(),
		}
	}
	return enact.StoredEvent{
		Sequence:    seq,
		ExecutionID: h.execution,
		TenantID:    h.tenant,
		Event:       decoded,
		Timestamp:   e.at,
		Position:    e.rec.position,
		Metadata:    maps.Clone(e.rec.metadata),
		Trace:       e.rec.trace,
	}, nil
}

// extend returns the chain value of a record that follows previous: SHA-256
// over previous and, for each event, a line of sequence, time, length of the
// encoded event, and the encoded event; before the events stand the ids and the
// metadata, quoted. Positions are left out, as in every chain.
func (h *history) extend(previous enact.Chain, rec *record, events []event) enact.Chain {
	sum := sha256.New()
	sum.Write(previous[:])
	// %q of a map sorts its keys, and quoting keeps neighbours apart.
	fmt.Fprintf(sum, "%q %q %q %q\n", h.tenant, h.execution, rec.key, rec.metadata)
	for i, e := range events {
		fmt.Fprintf(sum, "%d %s %d ", rec.first+uint64(i), enact.AppendTime(nil, e.at), len(e.json))
		sum.Write(e.json)
	}
	return enact.Chain(sum.Sum(nil))
}
