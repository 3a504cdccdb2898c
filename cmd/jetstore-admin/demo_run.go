package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// demoTenant is the tenant of the demo's executions.
const demoTenant = "demo"

// demoLines is the run that the demo plays: an agent that looks into an incident.
//
//go:embed demo/run.jsonl
var demoLines []byte

// stepIDs finds the ids of steps in JSON.
var stepIDs = regexp.MustCompile(`\bstep_[0-9A-Za-z]{27}\b`)

// demoRun is the recorded run with new ids.
type demoRun struct {
	id     enact.ExecutionID
	events []demoEvent
}

// demoEvent is an event and how long after the first one it happened.
type demoEvent struct {
	event enact.Event
	after time.Duration
}

func newDemoRun() (*demoRun, error) {
	fresh := make(map[string][]byte)
	lines := stepIDs.ReplaceAllFunc(demoLines, func(old []byte) []byte {
		id, ok := fresh[string(old)]
		if !ok {
			id = []byte(enact.NewStepID())
			fresh[string(old)] = id
		}
		return id
	})
	r := &demoRun{id: enact.NewExecutionID()}
	var began time.Time
	for line := range bytes.Lines(lines) {
		var ev enact.StoredEvent
		if err := ev.UnmarshalJSON(line); err != nil {
			return nil, fmt.Errorf("the recorded run: %w", err)
		}
		if began.IsZero() {
			began = ev.Timestamp
		}
		r.events = append(r.events, demoEvent{event: ev.Event, after: ev.Timestamp.Sub(began)})
	}
	return r, nil
}

// play appends the events at the pace at which they were recorded. Each has its time
// after the start, so that slow appends do not add up.
func (r *demoRun) play(ctx context.Context, run jetstore.Execution) error {
	began := time.Now()
	for i, e := range r.events {
		timer := time.NewTimer(time.Until(began.Add(e.after)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if _, err := run.Append(ctx, happeningNow(e.event), enact.ExpectSequence(uint64(i))); err != nil {
			return err
		}
	}
	return nil
}

// happeningNow returns the event with the times inside it moved to now.
func happeningNow(event enact.Event) enact.Event {
	if failed, ok := event.(enact.StepFailed); ok {
		failed.Error.OccurredAt = time.Now().UnixMilli()
		return failed
	}
	return event
}
