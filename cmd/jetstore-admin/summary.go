package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/enactlog/enact"
)

// summaryWidth is the room for what an event says, in columns.
const summaryWidth = 100

// summary says in one line what matters of an event, beside its type. All that a
// model, a tool or a user wrote goes through inline, in join.
func summary(event enact.Event) string {
	switch e := event.(type) {
	case enact.ExecutionStarted:
		return join(parentText(e.Parent), string(e.Metadata))
	case enact.StepStarted:
		return join(e.Name, string(e.StepType), stepText(&e.StepID))
	case enact.StepCompleted:
		return join(millis(e.DurationMS), stepText(&e.StepID), optional(e.Output))
	case enact.StepFailed:
		return join(attemptText(&e.Error), stepText(&e.StepID), failureText(&e.Error, summaryWidth))
	case enact.ExecutionPaused:
		return join(e.Reason)
	case enact.ExecutionCompleted:
		return join(millis(e.DurationMS), optional(e.Output))
	case enact.ExecutionFailed:
		return join(failureText(&e.Error, summaryWidth))
	case enact.ExecutionCancelled:
		return join(e.Reason)
	case enact.ArtifactStored:
		return join(name(e.ArtifactID), humanize.IBytes(e.SizeBytes), e.ContentHash)
	case enact.StepDiscovered:
		return join(e.Reason, string(e.SourceType), stepText(&e.StepID))
	case enact.ToolCallStarted:
		return join(e.ToolName, name(e.ToolCallID), string(e.Input))
	case enact.ToolCallCompleted:
		return join(name(e.ToolCallID), string(e.Output))
	case enact.CheckpointSaved:
		return join(name(e.CheckpointID), e.StateHash)
	case enact.GoalEvaluated:
		return join(name(e.GoalID), evaluationText(e.Status, e.Score, e.Reason))
	case enact.Custom:
		return join(e.EventType, string(e.Data))
	case enact.Unknown:
		return join(string(e.Raw))
	case enact.Unreadable:
		return join("cannot be read", "codec "+e.Codec, "key "+e.KeyID)
	}
	return ""
}

// join makes one line of the parts that say something.
func join(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p = inline(p, summaryWidth); p != "" {
			kept = append(kept, p)
		}
	}
	return text.Snip(strings.Join(kept, "  "), summaryWidth, "…")
}

func optional(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func parentText(p *enact.ParentLink) string {
	if p == nil {
		return ""
	}
	return string(p.ParentType) + " " + name(p.ParentID)
}

// stepText shows the end of a step's id, which is what tells steps of one run apart.
func stepText(id *enact.StepID) string {
	const tail = 6
	if r := []rune(string(*id)); len(r) > 2*tail {
		return "…" + string(r[len(r)-tail:])
	}
	return name(*id)
}

func attemptText(e *enact.ExecutionError) string { return fmt.Sprintf("attempt %d", e.Attempt) }

func evaluationText(status string, score *float64, reason *string) string {
	said := status
	if score != nil {
		said += " " + humanize.Ftoa(*score)
	}
	if reason != nil {
		said += ": " + *reason
	}
	return said
}
