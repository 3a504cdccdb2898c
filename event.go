package enact

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Event is one state transition of an execution: one of the 16 types below, or
// [Unknown] (a type that this release does not know) or [Unreadable] (its key is
// gone). Variants are values, and decode as values:
//
//	switch e := ev.Event.(type) {
//	case enact.StepCompleted:
//	}
//
// The JSON of an event is internally tagged, as the Rust seed writes it: an
// object whose "type" is the snake_case name, absent optionals written as null.
type Event interface {
	// Type returns the event's tag, as in "step_completed".
	Type() string
	// Validate returns an [*EventError] (ErrInvalidEvent) if the event cannot be
	// stored: text that is not UTF-8, an invalid step id, an open string left
	// empty, a required JSON field left nil or not valid JSON, a float that is
	// not finite. Stores call it before anything is sent.
	Validate() error
	json.Marshaler

	// appendJSON appends the event's JSON; strict refuses what Validate refuses.
	appendJSON(dst []byte, strict bool) ([]byte, error)
}

// ExecutionStarted: the execution started.
type ExecutionStarted struct {
	Parent   *ParentLink     // what started it; nil: nothing known
	Metadata json.RawMessage // any JSON; nil: none
}

// StepStarted: a step started.
type StepStarted struct {
	StepID       StepID
	ParentStepID *StepID // nil: a root step
	StepType     StepType
	Name         string
}

// StepCompleted: a step completed.
type StepCompleted struct {
	StepID     StepID
	Output     *string // nil: none
	DurationMS uint64  // milliseconds
}

// StepFailed: a step failed.
type StepFailed struct {
	StepID StepID
	Error  ExecutionError
}

// ExecutionPaused: the execution paused.
type ExecutionPaused struct{ Reason string }

// ExecutionResumed: the execution resumed after a pause.
type ExecutionResumed struct{}

// ExecutionCompleted: the execution completed. Terminal.
type ExecutionCompleted struct {
	Output     *string // nil: none
	DurationMS uint64  // milliseconds
}

// ExecutionFailed: the execution failed. Terminal.
type ExecutionFailed struct{ Error ExecutionError }

// ExecutionCancelled: the execution was cancelled. Terminal.
type ExecutionCancelled struct{ Reason string }

// ArtifactStored: a step stored an artifact.
type ArtifactStored struct {
	ArtifactID  string
	StepID      StepID
	ContentHash string
	SizeBytes   uint64
}

// StepDiscovered: an agentic loop or a model's output found new work.
type StepDiscovered struct {
	StepID       StepID
	DiscoveredBy *StepID // nil: none
	SourceType   StepSourceType
	Reason       string
	Depth        uint32 // in the chain of discoveries
}

// ToolCallStarted: a tool call started; its input is known.
type ToolCallStarted struct {
	StepID     *StepID // nil: none
	ToolCallID string
	ToolName   string
	Input      json.RawMessage // any JSON, required; JSON(nil) for null
}

// ToolCallCompleted: a tool call completed; its output is known.
type ToolCallCompleted struct {
	StepID     *StepID // nil: none
	ToolCallID string
	Output     json.RawMessage // any JSON, required; JSON(nil) for null
}

// CheckpointSaved: a checkpoint of the execution's state was saved.
type CheckpointSaved struct {
	StepID       *StepID // nil: none
	CheckpointID string
	StateHash    string
}

// GoalEvaluated: a goal was evaluated.
type GoalEvaluated struct {
	StepID *StepID // nil: none
	GoalID string
	Status string   // GoalMet, GoalNotMet, GoalProgressing or another word
	Score  *float64 // finite; nil: none
	Reason *string  // nil: none
}

// Custom carries what no other type does.
type Custom struct {
	EventType string
	Data      json.RawMessage // any JSON, required; JSON(nil) for null
}

// Unknown is an event whose type this release does not know, kept byte for byte.
type Unknown struct {
	Tag string          // its type
	Raw json.RawMessage // the whole object, "type" included
}

// Unreadable stands for an event whose payload can no longer be decoded because
// its key is gone. Its number and time are known. It cannot be appended.
type Unreadable struct {
	Codec string // codec of the record
	KeyID string // id of the key that is missing
}

// Statuses of [GoalEvaluated] seen in the field; others are kept as they are.
const (
	GoalMet         = "met"
	GoalNotMet      = "not_met"
	GoalProgressing = "progressing"
)

// StepType is the kind of a step: an open string, any non-empty value is kept.
type StepType string

// Known step types.
const (
	FunctionNode StepType = "FunctionNode"
	LLMNode      StepType = "LlmNode"
	ToolNode     StepType = "ToolNode"
	GraphNode    StepType = "GraphNode"
)

// StepSourceType says what triggered a discovery: an open string, any non-empty
// value is kept.
type StepSourceType string

// Known source types.
const (
	SourceInitialPlan StepSourceType = "InitialPlan"
	SourceDiscovered  StepSourceType = "Discovered"
	SourceRetry       StepSourceType = "Retry"
)

// Terminal reports whether an event ends its execution: completed, failed or cancelled.
func Terminal(e Event) bool {
	switch e.(type) {
	case ExecutionCompleted, ExecutionFailed, ExecutionCancelled:
		return true
	}
	return false
}

// JSON returns v as raw JSON, without HTML escaping, for the events' JSON
// fields. A v that cannot be written yields text that is not JSON and names the
// reason, so that the event's Validate refuses it.
func JSON(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage(fmt.Sprintf("not JSON: %v", err))
	}
	return json.RawMessage(bytes.TrimRight(b.Bytes(), "\n"))
}
