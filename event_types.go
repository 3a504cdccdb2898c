package enact

import "slices"

// The fields of each event in written order. One list serves writing, reading
// and validating, so the three cannot drift apart.

func (e *ExecutionStarted) fields(f []field) []field {
	return append(f, optional("parent", &e.Parent), optional("metadata", &e.Metadata))
}

func (e *StepStarted) fields(f []field) []field {
	return append(f, required("step_id", &e.StepID), optional("parent_step_id", &e.ParentStepID),
		required("step_type", &e.StepType), required("name", &e.Name))
}

func (e *StepCompleted) fields(f []field) []field {
	return append(f, required("step_id", &e.StepID), optional("output", &e.Output), required("duration_ms", &e.DurationMS))
}

func (e *StepFailed) fields(f []field) []field {
	return append(f, required("step_id", &e.StepID), required("error", &e.Error))
}

func (e *ExecutionPaused) fields(f []field) []field {
	return append(f, required("reason", &e.Reason))
}

func (e *ExecutionResumed) fields(f []field) []field { return f }

func (e *ExecutionCompleted) fields(f []field) []field {
	return append(f, optional("output", &e.Output), required("duration_ms", &e.DurationMS))
}

func (e *ExecutionFailed) fields(f []field) []field {
	return append(f, required("error", &e.Error))
}

func (e *ExecutionCancelled) fields(f []field) []field {
	return append(f, required("reason", &e.Reason))
}

func (e *ArtifactStored) fields(f []field) []field {
	return append(f, required("artifact_id", &e.ArtifactID), required("step_id", &e.StepID),
		required("content_hash", &e.ContentHash), required("size_bytes", &e.SizeBytes))
}

func (e *StepDiscovered) fields(f []field) []field {
	return append(f, required("step_id", &e.StepID), optional("discovered_by", &e.DiscoveredBy),
		required("source_type", &e.SourceType), required("reason", &e.Reason), required("depth", &e.Depth))
}

func (e *ToolCallStarted) fields(f []field) []field {
	return append(f, optional("step_id", &e.StepID), required("tool_call_id", &e.ToolCallID),
		required("tool_name", &e.ToolName), required("input", &e.Input))
}

func (e *ToolCallCompleted) fields(f []field) []field {
	return append(f, optional("step_id", &e.StepID), required("tool_call_id", &e.ToolCallID), required("output", &e.Output))
}

func (e *CheckpointSaved) fields(f []field) []field {
	return append(f, optional("step_id", &e.StepID), required("checkpoint_id", &e.CheckpointID), required("state_hash", &e.StateHash))
}

func (e *GoalEvaluated) fields(f []field) []field {
	return append(f, optional("step_id", &e.StepID), required("goal_id", &e.GoalID),
		required("status", &e.Status), optional("score", &e.Score), optional("reason", &e.Reason))
}

func (e *Custom) fields(f []field) []field {
	return append(f, required("event_type", &e.EventType), required("data", &e.Data))
}

func (e *Unreadable) fields(f []field) []field {
	return append(f, required("codec", &e.Codec), required("key_id", &e.KeyID))
}

// Types of events, as in the JSON's "type".
const (
	TypeExecutionStarted   = "execution_started"
	TypeStepStarted        = "step_started"
	TypeStepCompleted      = "step_completed"
	TypeStepFailed         = "step_failed"
	TypeExecutionPaused    = "execution_paused"
	TypeExecutionResumed   = "execution_resumed"
	TypeExecutionCompleted = "execution_completed"
	TypeExecutionFailed    = "execution_failed"
	TypeExecutionCancelled = "execution_cancelled"
	TypeArtifactStored     = "artifact_stored"
	TypeStepDiscovered     = "step_discovered"
	TypeToolCallStarted    = "tool_call_started"
	TypeToolCallCompleted  = "tool_call_completed"
	TypeCheckpointSaved    = "checkpoint_saved"
	TypeGoalEvaluated      = "goal_evaluated"
	TypeCustom             = "custom"

	typeUnreadable = "enact.unreadable"
)

// readerOf returns the reader of a known type, nil for any other.
func readerOf(tag string) func(r *reader, seen uint32) (Event, error) {
	switch tag {
	case TypeExecutionStarted:
		return readAs[ExecutionStarted]
	case TypeStepStarted:
		return readAs[StepStarted]
	case TypeStepCompleted:
		return readAs[StepCompleted]
	case TypeStepFailed:
		return readAs[StepFailed]
	case TypeExecutionPaused:
		return readAs[ExecutionPaused]
	case TypeExecutionResumed:
		return readAs[ExecutionResumed]
	case TypeExecutionCompleted:
		return readAs[ExecutionCompleted]
	case TypeExecutionFailed:
		return readAs[ExecutionFailed]
	case TypeExecutionCancelled:
		return readAs[ExecutionCancelled]
	case TypeArtifactStored:
		return readAs[ArtifactStored]
	case TypeStepDiscovered:
		return readAs[StepDiscovered]
	case TypeToolCallStarted:
		return readAs[ToolCallStarted]
	case TypeToolCallCompleted:
		return readAs[ToolCallCompleted]
	case TypeCheckpointSaved:
		return readAs[CheckpointSaved]
	case TypeGoalEvaluated:
		return readAs[GoalEvaluated]
	case TypeCustom:
		return readAs[Custom]
	case typeUnreadable:
		return readAs[Unreadable]
	}
	return nil
}

// EventTypes returns the 16 known types in the order of the seed.
func EventTypes() []string { return slices.Clone(eventTypes[:]) }

// tagOf returns the type that text spells, without a copy if it is known.
func tagOf(text []byte) string {
	for _, tag := range eventTypes {
		if string(text) == tag {
			return tag
		}
	}
	return string(text)
}

var eventTypes = [...]string{
	TypeExecutionStarted,
	TypeStepStarted,
	TypeStepCompleted,
	TypeStepFailed,
	TypeExecutionPaused,
	TypeExecutionResumed,
	TypeExecutionCompleted,
	TypeExecutionFailed,
	TypeExecutionCancelled,
	TypeArtifactStored,
	TypeStepDiscovered,
	TypeToolCallStarted,
	TypeToolCallCompleted,
	TypeCheckpointSaved,
	TypeGoalEvaluated,
	TypeCustom,
}
