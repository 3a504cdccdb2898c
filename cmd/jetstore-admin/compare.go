package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/enactlog/enact"
)

// changedError says that the log has another event than a line.
type changedError struct {
	Sequence uint64
	Stored   string // the event in the log, as JSON
	Line     string // the event of the line, as JSON
}

func (e *changedError) Error() string {
	const limit = 1000
	return fmt.Sprintf("event %d differs from the stored one\n  stored: %s\n  line:   %s", e.Sequence, inline(e.Stored, limit), inline(e.Line, limit))
}

// compare holds the group's events, whose sequences the log has, against the log's.
// In a dry run the log may lack some, which an earlier line would have stored.
func (imp *importer) compare(ctx context.Context, x *importing, g *group) error {
	n := len(g.events)
	if imp.dryRun {
		n = int(min(uint64(n), max(x.inLog, g.events[0].Sequence-1)-(g.events[0].Sequence-1)))
	}
	if n == 0 {
		return nil
	}
	stored, err := imp.store.LoadEventsAfter(ctx, x.key.id, g.events[0].Sequence-1, enact.InTenant(x.key.tenant), enact.Limit(n))
	if err != nil {
		return err
	}
	if len(stored) != n {
		return fmt.Errorf("execution %q: %d of events %d to %d came back", x.key.id, len(stored), g.events[0].Sequence, g.events[n-1].Sequence)
	}
	for i := range n {
		line := g.events[i]
		if sameEvent(stored[i], line) {
			continue
		}
		// Positions say nothing about the event.
		stored[i].Position, line.Position = 0, 0
		a, err := stored[i].AppendJSON(nil)
		if err != nil {
			return err
		}
		b, err := line.AppendJSON(nil)
		if err != nil {
			return err
		}
		return &lineError{g.places[i], &changedError{Sequence: line.Sequence, Stored: string(a), Line: string(b)}}
	}
	return nil
}

// sameEvent reports whether two events are equal by value: ids, sequence, instant,
// metadata, trace context, and the event's JSON. Positions may differ.
func sameEvent(a, b enact.StoredEvent) bool {
	if a.Sequence != b.Sequence || a.ExecutionID != b.ExecutionID || a.TenantID != b.TenantID ||
		!a.Timestamp.Equal(b.Timestamp) || !maps.Equal(a.Metadata, b.Metadata) || a.Trace != b.Trace {
		return false
	}
	return sameEvents(a.Event, b.Event)
}

// sameEvents reports whether two events are equal by value.
func sameEvents(a, b enact.Event) bool {
	x, err1 := enact.AppendEvent(nil, a)
	y, err2 := enact.AppendEvent(nil, b)
	return err1 == nil && err2 == nil && (bytes.Equal(x, y) || sameJSON(x, y))
}

// sameJSON compares by value: keys in any order, whole numbers exactly, others as
// the floats that they are.
func sameJSON(a, b []byte) bool {
	x, err1 := parseJSON(a)
	y, err2 := parseJSON(b)
	return err1 == nil && err2 == nil && sameValue(x, y)
}

func parseJSON(data []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	// Through float64, whole numbers would lose digits.
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, sameValue)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || sameFloat(a, b))
	}
	return a == b
}

func sameFloat(a, b json.Number) bool {
	const marks = ".eE"
	if !strings.ContainsAny(string(a), marks) || !strings.ContainsAny(string(b), marks) {
		return false
	}
	x, err1 := a.Float64()
	y, err2 := b.Float64()
	return err1 == nil && err2 == nil && x == y
}
