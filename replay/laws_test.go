package replay_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/eventgen"
	"github.com/enactlog/enact/replay"
)

// A state and the events after it give the same as all events at once, whether
// the state was kept as it is, as a clone or as JSON.
func TestIncrementalLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := eventgen.History().Draw(t, "history")
		cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
		whole, err := replay.Of(events)
		require.NoError(t, err)
		want := toJSON(t, whole)

		first, err := replay.Of(events[:cut])
		require.NoError(t, err)
		clone := first.Clone()
		read := replay.New()
		require.NoError(t, json.Unmarshal([]byte(toJSON(t, first)), read))
		for name, s := range map[string]*replay.State{"state": first, "clone": clone, "JSON": read} {
			for _, ev := range events[cut:] {
				require.NoError(t, s.Apply(ev))
			}
			require.Equal(t, want, toJSON(t, s), name)
		}
	})
}

// The last event that gives the execution a status decides it.
func TestStatusLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state, want := replay.New(), enact.StatusUnknown
		for i, event := range rapid.SliceOfN(eventgen.Event(), 1, 20).Draw(t, "events") {
			require.NoError(t, state.Apply(enact.StoredEvent{Sequence: uint64(i + 1), ExecutionID: "e", TenantID: "t", Event: event}))
			if status, ok := enact.StatusAfter(event); ok {
				want = status
			}
			require.Equal(t, want, state.Status)
		}
	})
}

// A clone is equal, and later events on either side leave the other alone.
func TestCloneLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := eventgen.History().Draw(t, "history")
		cut := rapid.IntRange(0, len(events)).Draw(t, "cut")
		s, err := replay.Of(events[:cut])
		require.NoError(t, err)
		before := toJSON(t, s)
		clone := s.Clone()
		require.Equal(t, before, toJSON(t, clone))
		for _, ev := range events[cut:] {
			require.NoError(t, clone.Apply(ev))
		}
		require.Equal(t, before, toJSON(t, s))
		after := toJSON(t, clone)
		for _, ev := range events[cut:] {
			require.NoError(t, s.Apply(ev))
		}
		require.Equal(t, after, toJSON(t, clone))
	})
}

// Nothing that an event says is lost: every step, call, artifact, goal, pause and
// error of the history is in the state, and the tree holds every step once.
func TestNothingIsLostLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := eventgen.History().Draw(t, "history")
		s, err := replay.Of(events)
		require.NoError(t, err)
		count := make(map[string]int)
		steps := make(map[enact.StepID]bool)
		mention := func(id *enact.StepID) {
			if id != nil {
				steps[*id] = true
			}
		}
		for _, ev := range events {
			count[ev.Event.Type()]++
			switch e := ev.Event.(type) {
			case enact.StepStarted:
				mention(&e.StepID)
				mention(e.ParentStepID)
			case enact.StepCompleted:
				mention(&e.StepID)
			case enact.StepFailed:
				mention(&e.StepID)
			case enact.StepDiscovered:
				mention(&e.StepID)
				mention(e.DiscoveredBy)
			case enact.ArtifactStored:
				mention(&e.StepID)
			case enact.ToolCallStarted:
				mention(e.StepID)
			case enact.ToolCallCompleted:
				mention(e.StepID)
			case enact.CheckpointSaved:
				mention(e.StepID)
			case enact.GoalEvaluated:
				mention(e.StepID)
			}
		}
		require.Equal(t, uint64(len(events)), s.Events)
		require.Len(t, s.Pauses, count[enact.TypeExecutionPaused])
		require.Len(t, s.Artifacts, count[enact.TypeArtifactStored])
		require.Len(t, s.Checkpoints, count[enact.TypeCheckpointSaved])
		require.Len(t, s.Errors, count[enact.TypeStepFailed]+count[enact.TypeExecutionFailed])
		custom, unknown, evaluations := 0, 0, 0
		for _, n := range s.CustomEvents {
			custom += int(n)
		}
		for _, n := range s.UnknownEvents {
			unknown += int(n)
		}
		for _, g := range s.Goals {
			evaluations += len(g.Evaluations)
		}
		require.Equal(t, count[enact.TypeCustom], custom)
		require.Equal(t, count[enact.TypeGoalEvaluated], evaluations)
		known := 0
		for _, tag := range enact.EventTypes() {
			known += count[tag]
		}
		require.Equal(t, len(events)-known, unknown)

		callStarts, callEnds := 0, 0
		for i, c := range s.ToolCalls {
			if c.StartedSeq > 0 {
				callStarts++
			}
			if !c.Open() {
				callEnds++
			}
			if c.StepID != nil {
				require.Contains(t, s.Step(*c.StepID).ToolCalls, i)
			}
		}
		require.Equal(t, count[enact.TypeToolCallStarted], callStarts)
		require.Equal(t, count[enact.TypeToolCallCompleted], callEnds)

		require.Len(t, s.Steps, len(steps))
		starts, ends, found := 0, 0, 0
		for _, st := range s.Steps {
			require.True(t, steps[st.ID])
			found += len(st.Discoveries)
			for _, a := range append(st.EarlierAttempts, st.Attempt) {
				if a.StartedSeq > 0 {
					starts++
				}
				if a.EndedSeq > 0 {
					ends++
				}
			}
			require.IsIncreasing(t, append([]int{-2, -1}, st.ToolCalls...))
		}
		require.Equal(t, count[enact.TypeStepStarted], starts)
		require.Equal(t, count[enact.TypeStepCompleted]+count[enact.TypeStepFailed], ends)
		require.Equal(t, count[enact.TypeStepDiscovered], found)

		visited := make(map[enact.StepID]bool)
		for _, st := range s.Walk() {
			require.False(t, visited[st.ID], "twice in the walk")
			visited[st.ID] = true
		}
		require.Equal(t, steps, visited)
	})
}

// A clone shares no memory with the events: overwriting what they hold does not
// reach it.
func TestCloneSharesNothing(t *testing.T) {
	input, meta, details := enact.JSON("input"), enact.JSON("meta"), enact.JSON("details")
	extra := map[string]json.RawMessage{"x": enact.JSON("extra")}
	output, parent, step := "o", &enact.ParentLink{ParentID: "p", ParentType: "X", Extra: extra}, enact.StepID("s")
	failed := failure("m")
	failed.Details, failed.StepID, failed.Extra = details, &step, extra
	s := of(
		t, enact.ExecutionStarted{Parent: parent, Metadata: meta},
		enact.StepStarted{StepID: "c", ParentStepID: &step, StepType: "x"}, enact.StepFailed{StepID: "c", Error: failed},
		enact.ToolCallStarted{StepID: &step, ToolCallID: "1", Input: input}, enact.GoalEvaluated{StepID: &step, GoalID: "g", Reason: &output},
		enact.CheckpointSaved{StepID: &step}, enact.StepDiscovered{StepID: "d", DiscoveredBy: &step, SourceType: "x"},
		enact.StepCompleted{StepID: "c", Output: &output}, enact.ExecutionCompleted{Output: &output},
	)
	before := toJSON(t, s)
	clone := s.Clone()
	for _, raw := range []json.RawMessage{input, meta, details, extra["x"]} {
		copy(raw, `"!!!`)
	}
	output, parent.ParentID, step = "changed", "changed", "changed"
	require.NotEqual(t, before, toJSON(t, s))
	require.Equal(t, before, toJSON(t, clone))
}
