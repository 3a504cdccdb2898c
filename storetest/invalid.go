package storetest

import (
	"encoding/json"
	"math"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// invalidEvents has one sentence for each rule of an event's Validate.
func invalidEvents() []sentence {
	cases := []struct {
		says  string
		field string // of the EventError
		event enact.Event
	}{
		{"nil", "", nil},
		{"a pointer to an event", "", &enact.ExecutionResumed{}},
		{"a nil pointer to an event", "", (*enact.ExecutionResumed)(nil)},
		{"an unreadable event", "", enact.Unreadable{Codec: "json+aes", KeyID: "lost"}},
		{"text that is not UTF-8", "reason", enact.ExecutionPaused{Reason: "a\xff"}},
		{"optional text that is not UTF-8", "output", enact.StepCompleted{StepID: "s", Output: new("\xed\xa0\x80")}},
		{"a step id that is empty", "step_id", enact.StepCompleted{}},
		{"a step id that is too long", "step_id", enact.StepCompleted{StepID: enact.StepID(strings.Repeat("x", enact.MaxIDLength+1))}},
		{"a step id that is not UTF-8", "step_id", enact.StepCompleted{StepID: "\xff"}},
		{"an optional step id that is empty", "parent_step_id", enact.StepStarted{StepID: "s", ParentStepID: new(enact.StepID), StepType: "t"}},
		{"a step type that is empty", "step_type", enact.StepStarted{StepID: "s"}},
		{"a source type that is empty", "source_type", enact.StepDiscovered{StepID: "s"}},
		{"a parent type that is empty", "parent.parent_type", enact.ExecutionStarted{Parent: &enact.ParentLink{}}},
		{"an error category that is empty", "error.category", failure(func(e *enact.ExecutionError) { e.Category = "" })},
		{"a backoff strategy that is empty", "error.retry_policy.backoff_strategy", failure(func(e *enact.ExecutionError) {
			e.RetryPolicy.BackoffStrategy = ""
		})},
		{"a duration of too many nanoseconds", "error.retry_policy.base_delay.nanos", failure(func(e *enact.ExecutionError) {
			e.RetryPolicy.BaseDelay.Nanos = 1_000_000_000
		})},
		{"details that are not JSON", "error.details", failure(func(e *enact.ExecutionError) { e.Details = json.RawMessage(`{`) })},
		{"an extra key that is known", "error.httpStatus", failure(func(e *enact.ExecutionError) {
			e.Extra = map[string]json.RawMessage{"httpStatus": json.RawMessage(`1`)}
		})},
		{"an extra key that is not UTF-8", "parent.\ufffd", enact.ExecutionStarted{Parent: &enact.ParentLink{
			ParentType: "t", Extra: map[string]json.RawMessage{"\xff": json.RawMessage(`1`)},
		}}},
		{"an extra value that is not JSON", "parent.x", enact.ExecutionStarted{Parent: &enact.ParentLink{
			ParentType: "t", Extra: map[string]json.RawMessage{"x": json.RawMessage(`nope`)},
		}}},
		{"required JSON that is nil", "input", enact.ToolCallStarted{}},
		{"required JSON that is empty", "output", enact.ToolCallCompleted{Output: json.RawMessage{}}},
		{"JSON of two values", "data", enact.Custom{Data: json.RawMessage(`1 2`)}},
		{"JSON that breaks out of its field", "data", enact.Custom{Data: json.RawMessage(`1,"event_type":"other"`)}},
		{"JSON that is cut off", "data", enact.Custom{Data: json.RawMessage(`{"a":`)}},
		{"JSON that is not UTF-8", "data", enact.Custom{Data: json.RawMessage("\"\xff\"")}},
		{"JSON with a lone surrogate", "data", enact.Custom{Data: json.RawMessage(`"\ud800"`)}},
		{"JSON with a number out of range", "data", enact.Custom{Data: json.RawMessage(`[1e999]`)}},
		{"JSON of a value that has none", "data", enact.Custom{Data: enact.JSON(math.Inf(1))}},
		{"optional JSON that is not JSON", "metadata", enact.ExecutionStarted{Metadata: json.RawMessage(`no`)}},
		{"a score that is not a number", "score", enact.GoalEvaluated{Score: new(math.NaN())}},
		{"a score that is infinite", "score", enact.GoalEvaluated{Score: new(math.Inf(-1))}},
		{"an unknown event that is not JSON", "", enact.Unknown{Tag: "later", Raw: json.RawMessage(`{"type":"later"`)}},
		{"an unknown event that is no object", "", enact.Unknown{Tag: "later", Raw: json.RawMessage(`"later"`)}},
		{"an unknown event without a type", "type", enact.Unknown{Tag: "later", Raw: json.RawMessage(`{}`)}},
		{"an unknown event of another type", "type", enact.Unknown{Tag: "later", Raw: json.RawMessage(`{"type":"sooner"}`)}},
		{"an unknown event of a known type", "type", enact.Unknown{Tag: "execution_resumed", Raw: json.RawMessage(`{"type":"execution_resumed"}`)}},
		{"an unknown event of a reserved type", "type", enact.Unknown{Tag: "enact.x", Raw: json.RawMessage(`{"type":"enact.x"}`)}},
	}
	sentences := make([]sentence, 0, len(cases))
	for _, tc := range cases {
		sentences = append(sentences, sentence{tc.says + " is refused and nothing is stored", func(f *fixture) {
			_, err := f.store.Append(f.ctx, f.execution, f.tenant, tc.event)
			var invalid *enact.EventError
			require.ErrorAs(f.t, err, &invalid)
			require.ErrorIs(f.t, err, enact.ErrInvalidEvent)
			require.Equal(f.t, tc.field, invalid.Field)
			if invalid.Type != "" { // empty where it is not known
				require.Equal(f.t, tc.event.Type(), invalid.Type)
			}
			f.holdsNothing()
			require.Equal(f.t, uint64(1), f.append(note(1)), "the execution is as good as new")
			_, err = f.store.Append(f.ctx, f.execution, f.tenant, tc.event)
			require.ErrorIs(f.t, err, enact.ErrInvalidEvent)
			f.holds(note(1))
		}})
	}
	return sentences
}

func failure(change func(e *enact.ExecutionError)) enact.Event {
	e := sampleError()
	change(&e)
	return enact.StepFailed{StepID: "s", Error: e}
}
