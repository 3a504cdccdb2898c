package eventgen

import (
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
)

// Event draws an event of any of the 16 types.
func Event() *rapid.Generator[enact.Event] { return eventWith(StepID(), Text()) }

// EventOf draws an event of one of the 16 types.
func EventOf(tag string) *rapid.Generator[enact.Event] { return eventOf(tag, StepID(), Text()) }

func eventWith(steps *rapid.Generator[enact.StepID], names *rapid.Generator[string]) *rapid.Generator[enact.Event] {
	return rapid.Custom(func(t *rapid.T) enact.Event {
		return eventOf(rapid.SampledFrom(enact.EventTypes()).Draw(t, "type"), steps, names).Draw(t, "event")
	})
}

// eventOf takes step ids from steps, and the ids of tool calls, goals and the
// like from names.
func eventOf(tag string, steps *rapid.Generator[enact.StepID], names *rapid.Generator[string]) *rapid.Generator[enact.Event] {
	if tag == enact.TypeExecutionResumed {
		// A custom generator must draw something, and this type has no fields.
		return rapid.Just[enact.Event](enact.ExecutionResumed{})
	}
	return rapid.Custom(func(t *rapid.T) enact.Event {
		switch tag {
		case enact.TypeExecutionStarted:
			return enact.ExecutionStarted{
				Parent: optional(ParentLink()).Draw(t, "parent"), Metadata: optionalJSON().Draw(t, "metadata"),
			}
		case enact.TypeStepStarted:
			return enact.StepStarted{
				StepID: steps.Draw(t, "step_id"), ParentStepID: optional(steps).Draw(t, "parent_step_id"),
				StepType: open(enact.FunctionNode, enact.LLMNode, enact.ToolNode, enact.GraphNode).Draw(t, "step_type"),
				Name:     Text().Draw(t, "name"),
			}
		case enact.TypeStepCompleted:
			return enact.StepCompleted{
				StepID: steps.Draw(t, "step_id"), Output: optional(Text()).Draw(t, "output"), DurationMS: uint64s().Draw(t, "duration_ms"),
			}
		case enact.TypeStepFailed:
			return enact.StepFailed{StepID: steps.Draw(t, "step_id"), Error: ExecutionError().Draw(t, "error")}
		case enact.TypeExecutionPaused:
			return enact.ExecutionPaused{Reason: Text().Draw(t, "reason")}
		case enact.TypeExecutionCompleted:
			return enact.ExecutionCompleted{Output: optional(Text()).Draw(t, "output"), DurationMS: uint64s().Draw(t, "duration_ms")}
		case enact.TypeExecutionFailed:
			return enact.ExecutionFailed{Error: ExecutionError().Draw(t, "error")}
		case enact.TypeExecutionCancelled:
			return enact.ExecutionCancelled{Reason: Text().Draw(t, "reason")}
		case enact.TypeArtifactStored:
			return enact.ArtifactStored{
				ArtifactID: names.Draw(t, "artifact_id"), StepID: steps.Draw(t, "step_id"),
				ContentHash: Text().Draw(t, "content_hash"), SizeBytes: uint64s().Draw(t, "size_bytes"),
			}
		case enact.TypeStepDiscovered:
			return enact.StepDiscovered{
				StepID: steps.Draw(t, "step_id"), DiscoveredBy: optional(steps).Draw(t, "discovered_by"),
				SourceType: open(enact.SourceInitialPlan, enact.SourceDiscovered, enact.SourceRetry).Draw(t, "source_type"),
				Reason:     Text().Draw(t, "reason"), Depth: rapid.Uint32().Draw(t, "depth"),
			}
		case enact.TypeToolCallStarted:
			return enact.ToolCallStarted{
				StepID: optional(steps).Draw(t, "step_id"), ToolCallID: names.Draw(t, "tool_call_id"),
				ToolName: Text().Draw(t, "tool_name"), Input: RawJSON().Draw(t, "input"),
			}
		case enact.TypeToolCallCompleted:
			return enact.ToolCallCompleted{
				StepID: optional(steps).Draw(t, "step_id"), ToolCallID: names.Draw(t, "tool_call_id"), Output: RawJSON().Draw(t, "output"),
			}
		case enact.TypeCheckpointSaved:
			return enact.CheckpointSaved{
				StepID: optional(steps).Draw(t, "step_id"), CheckpointID: names.Draw(t, "checkpoint_id"), StateHash: Text().Draw(t, "state_hash"),
			}
		case enact.TypeGoalEvaluated:
			return enact.GoalEvaluated{
				StepID: optional(steps).Draw(t, "step_id"), GoalID: names.Draw(t, "goal_id"),
				Status: rapid.OneOf(rapid.SampledFrom([]string{enact.GoalMet, enact.GoalNotMet, enact.GoalProgressing}), Text()).Draw(t, "status"),
				Score:  optional(Float()).Draw(t, "score"), Reason: optional(Text()).Draw(t, "reason"),
			}
		case enact.TypeCustom:
			return enact.Custom{EventType: names.Draw(t, "event_type"), Data: RawJSON().Draw(t, "data")}
		}
		t.Fatalf("no generator for type %q", tag)
		return nil
	})
}
