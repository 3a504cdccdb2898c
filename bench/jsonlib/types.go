// Package jsonlib measures JSON libraries for the job of package enact: reading
// and writing tagged events. See README.md.
package jsonlib

import (
	"encoding/json"
	"fmt"
	"time"
)

// The events as structs with tags, which is how a library that maps structs
// would be used. Required keys cannot be told from absent ones in any of them.

type storedEvent struct {
	Sequence    uint64          `json:"sequence"`
	ExecutionID string          `json:"execution_id"`
	TenantID    string          `json:"tenant_id"`
	Event       json.RawMessage `json:"event"`
	Timestamp   time.Time       `json:"timestamp"`
}

type tag struct {
	Type string `json:"type"`
}

type executionStarted struct {
	tag
	Parent   *parentLink     `json:"parent"`
	Metadata json.RawMessage `json:"metadata"`
}

type stepStarted struct {
	tag
	StepID       string  `json:"step_id"`
	ParentStepID *string `json:"parent_step_id"`
	StepType     string  `json:"step_type"`
	Name         string  `json:"name"`
}

type stepCompleted struct {
	tag
	StepID     string  `json:"step_id"`
	Output     *string `json:"output"`
	DurationMS uint64  `json:"duration_ms"`
}

type stepFailed struct {
	tag
	StepID string         `json:"step_id"`
	Error  executionError `json:"error"`
}

type reasoned struct {
	tag
	Reason string `json:"reason"`
}

type executionResumed struct{ tag }

type executionCompleted struct {
	tag
	Output     *string `json:"output"`
	DurationMS uint64  `json:"duration_ms"`
}

type executionFailed struct {
	tag
	Error executionError `json:"error"`
}

type artifactStored struct {
	tag
	ArtifactID  string `json:"artifact_id"`
	StepID      string `json:"step_id"`
	ContentHash string `json:"content_hash"`
	SizeBytes   uint64 `json:"size_bytes"`
}

type stepDiscovered struct {
	tag
	StepID       string  `json:"step_id"`
	DiscoveredBy *string `json:"discovered_by"`
	SourceType   string  `json:"source_type"`
	Reason       string  `json:"reason"`
	Depth        uint32  `json:"depth"`
}

type toolCallStarted struct {
	tag
	StepID     *string         `json:"step_id"`
	ToolCallID string          `json:"tool_call_id"`
	ToolName   string          `json:"tool_name"`
	Input      json.RawMessage `json:"input"`
}

type toolCallCompleted struct {
	tag
	StepID     *string         `json:"step_id"`
	ToolCallID string          `json:"tool_call_id"`
	Output     json.RawMessage `json:"output"`
}

type checkpointSaved struct {
	tag
	StepID       *string `json:"step_id"`
	CheckpointID string  `json:"checkpoint_id"`
	StateHash    string  `json:"state_hash"`
}

type goalEvaluated struct {
	tag
	StepID *string  `json:"step_id"`
	GoalID string   `json:"goal_id"`
	Status string   `json:"status"`
	Score  *float64 `json:"score"`
	Reason *string  `json:"reason"`
}

type custom struct {
	tag
	EventType string          `json:"event_type"`
	Data      json.RawMessage `json:"data"`
}

type parentLink struct {
	ParentID   string `json:"parent_id"`
	ParentType string `json:"parent_type"`
}

type executionError struct {
	Category    string          `json:"category"`
	Message     string          `json:"message"`
	RetryPolicy retryPolicy     `json:"retry_policy"`
	Code        *string         `json:"code"`
	Attempt     uint32          `json:"attempt"`
	StepID      *string         `json:"step_id"`
	Provider    *string         `json:"provider"`
	HTTPStatus  *uint16         `json:"http_status"`
	Details     json.RawMessage `json:"details"`
	OccurredAt  int64           `json:"occurred_at"`
}

type retryPolicy struct {
	Retryable              bool     `json:"retryable"`
	MaxRetries             uint32   `json:"max_retries"`
	BackoffStrategy        string   `json:"backoff_strategy"`
	BaseDelay              duration `json:"base_delay"`
	MaxDelay               duration `json:"max_delay"`
	RequiresIdempotencyKey bool     `json:"requires_idempotency_key"`
}

type duration struct {
	Secs  uint64 `json:"secs"`
	Nanos uint32 `json:"nanos"`
}

// newEvent returns the struct of a type.
func newEvent(tag string) (any, error) {
	switch tag {
	case "execution_started":
		return new(executionStarted), nil
	case "step_started":
		return new(stepStarted), nil
	case "step_completed":
		return new(stepCompleted), nil
	case "step_failed":
		return new(stepFailed), nil
	case "execution_paused", "execution_cancelled":
		return new(reasoned), nil
	case "execution_resumed":
		return new(executionResumed), nil
	case "execution_completed":
		return new(executionCompleted), nil
	case "execution_failed":
		return new(executionFailed), nil
	case "artifact_stored":
		return new(artifactStored), nil
	case "step_discovered":
		return new(stepDiscovered), nil
	case "tool_call_started":
		return new(toolCallStarted), nil
	case "tool_call_completed":
		return new(toolCallCompleted), nil
	case "checkpoint_saved":
		return new(checkpointSaved), nil
	case "goal_evaluated":
		return new(goalEvaluated), nil
	case "custom":
		return new(custom), nil
	}
	return nil, fmt.Errorf("unknown type %q", tag)
}
