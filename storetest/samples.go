package storetest

import (
	"encoding/json"
	"math"

	"github.com/enactlog/enact"
)

// awkward is text that escaping, trimming, folding or normalizing would change.
const awkward = " quote\" back\\slash / tab\t nl\n cr\r bs\b ff\f nul\x00 esc\x1b us\x1f del\x7f <>& \u2028\u2029 é e\u0301 漢字 🦀 \ufeff\ufffd "

// samples returns events of every type, each with everything absent and with
// everything at its extreme.
func samples() []enact.Event {
	step, long := enact.StepID("step_1"), enact.StepID(longID(""))
	return []enact.Event{
		enact.ExecutionStarted{},
		enact.ExecutionStarted{
			Parent:   &enact.ParentLink{ParentID: awkward, ParentType: enact.ParentStepExecution},
			Metadata: json.RawMessage(`{"z":1,"a":[null,{}]}`),
		},
		enact.ExecutionStarted{Parent: &enact.ParentLink{
			ParentType: "a type of tomorrow",
			Extra:      map[string]json.RawMessage{"": json.RawMessage(`0`), "later": json.RawMessage(`{"x":[1.50]}`)},
		}},
		enact.StepStarted{StepID: step, StepType: enact.LLMNode},
		enact.StepStarted{StepID: long, ParentStepID: &step, StepType: awkward, Name: awkward},
		enact.StepCompleted{StepID: step},
		enact.StepCompleted{StepID: " s\x00.*> \u2028漢🦀 ", Output: new(awkward), DurationMS: math.MaxUint64},
		enact.StepCompleted{StepID: step, Output: new(""), DurationMS: 1<<53 + 1},
		enact.StepFailed{StepID: step, Error: sampleError()},
		enact.StepFailed{StepID: step, Error: fullError()},
		enact.ExecutionPaused{},
		enact.ExecutionPaused{Reason: awkward},
		enact.ExecutionResumed{},
		enact.ExecutionCompleted{},
		enact.ExecutionCompleted{Output: new(awkward), DurationMS: math.MaxUint64},
		enact.ExecutionFailed{Error: sampleError()},
		enact.ExecutionFailed{Error: fullError()},
		enact.ExecutionCancelled{},
		enact.ExecutionCancelled{Reason: awkward},
		enact.ArtifactStored{StepID: step},
		enact.ArtifactStored{ArtifactID: awkward, StepID: long, ContentHash: "sha256:00", SizeBytes: math.MaxUint64},
		enact.StepDiscovered{StepID: step, SourceType: enact.SourceDiscovered},
		enact.StepDiscovered{StepID: step, DiscoveredBy: &long, SourceType: "other", Reason: awkward, Depth: math.MaxUint32},
		enact.ToolCallStarted{Input: enact.JSON(nil)},
		enact.ToolCallStarted{StepID: &step, ToolCallID: awkward, ToolName: awkward, Input: enact.JSON(awkward)},
		enact.ToolCallCompleted{Output: enact.JSON(nil)},
		enact.ToolCallCompleted{StepID: &step, ToolCallID: "call", Output: json.RawMessage(`[{"b":1,"a":2}]`)},
		enact.CheckpointSaved{},
		enact.CheckpointSaved{StepID: &step, CheckpointID: awkward, StateHash: awkward},
		enact.GoalEvaluated{},
		enact.GoalEvaluated{StepID: &step, GoalID: "g", Status: enact.GoalMet, Score: new(0.1), Reason: new(awkward)},
		enact.GoalEvaluated{Score: new(math.MaxFloat64)},
		enact.GoalEvaluated{Score: new(-math.SmallestNonzeroFloat64)},
		enact.GoalEvaluated{Score: new(1.0 / 3)},
		enact.GoalEvaluated{Score: new(math.Copysign(0, -1))},
		enact.Custom{Data: enact.JSON(nil)},
		enact.Custom{EventType: awkward, Data: enact.JSON(map[string]any{"k": awkward})},
		enact.Unknown{Tag: "step_reticulated", Raw: json.RawMessage(`{"type":"step_reticulated"}`)},
		enact.Unknown{Tag: "", Raw: json.RawMessage(`{"n":1.0,"type":"" , "n":1e2,"nested":{"type":"step_started"}}`)},
	}
}

func sampleError() enact.ExecutionError {
	return enact.ExecutionError{
		Category:    enact.CategoryTimeout,
		Message:     "took too long",
		RetryPolicy: enact.RetryPolicy{BackoffStrategy: enact.BackoffNone},
		Attempt:     1,
	}
}

func fullError() enact.ExecutionError {
	extra := map[string]json.RawMessage{"newer": json.RawMessage(`{"k":18446744073709551616}`)}
	return enact.ExecutionError{
		Category: "a category of tomorrow",
		Message:  awkward,
		RetryPolicy: enact.RetryPolicy{
			Retryable:              true,
			MaxRetries:             math.MaxUint32,
			BackoffStrategy:        enact.BackoffExponential,
			BaseDelay:              enact.Duration{Nanos: 1},
			MaxDelay:               enact.Duration{Secs: math.MaxUint64, Nanos: 999_999_999},
			RequiresIdempotencyKey: true,
			Extra:                  extra,
		},
		Code:       new("E42"),
		Attempt:    math.MaxUint32,
		StepID:     new(enact.StepID("step_9")),
		Provider:   new(awkward),
		HTTPStatus: new(uint16(math.MaxUint16)),
		Details:    json.RawMessage(`{"trace":["a","b"],"cost":1.10}`),
		OccurredAt: math.MinInt64,
		Extra:      extra,
	}
}
