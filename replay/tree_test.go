package replay_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/replay"
)

// walk returns each step's id and depth in the order of the walk.
func walk(s *replay.State) []string {
	var visited []string
	for depth, st := range s.Walk() {
		visited = append(visited, fmt.Sprint(st.ID, " ", depth))
	}
	return visited
}

func ids(steps []*replay.Step) []string {
	var list []string
	for _, st := range steps {
		list = append(list, string(st.ID))
	}
	return list
}

// edge is a step that starts under a parent; "" for none.
type edge struct{ id, parent enact.StepID }

func tree(t *testing.T, edges ...edge) *replay.State {
	t.Helper()
	var events []enact.Event
	for _, e := range edges {
		started := enact.StepStarted{StepID: e.id, StepType: enact.FunctionNode}
		if e.parent != "" {
			started.ParentStepID = &e.parent
		}
		events = append(events, started)
	}
	return of(t, events...)
}

func TestTree(t *testing.T) {
	tests := []struct {
		name  string
		edges []edge
		roots []string
		walk  []string
	}{
		{"none", nil, nil, nil},
		{"one", []edge{{"a", ""}}, []string{"a"}, []string{"a 0"}},
		{"a chain", []edge{{"a", ""}, {"b", "a"}, {"c", "b"}}, []string{"a"}, []string{"a 0", "b 1", "c 2"}},
		{"parents first, siblings in order", []edge{{"a", ""}, {"b", ""}, {"d", "b"}, {"c", "a"}, {"e", "a"}, {"f", "c"}}, []string{"a", "b"}, []string{"a 0", "c 1", "f 2", "e 1", "b 0", "d 1"}},
		{"a parent that never started", []edge{{"b", "a"}}, []string{"a"}, []string{"a 0", "b 1"}},
		{"a parent that starts later", []edge{{"b", "a"}, {"a", "r"}}, []string{"r"}, []string{"r 0", "a 1", "b 2"}},
		{"its own parent", []edge{{"a", "a"}, {"b", "a"}}, []string{"a"}, []string{"a 0", "b 1"}},
		{"a circle of two", []edge{{"b", "a"}, {"a", "b"}}, []string{"a"}, []string{"a 0", "b 1"}},
		{"a circle with a tail", []edge{{"x", "c"}, {"c", "b"}, {"b", "a"}, {"a", "c"}}, []string{"c"}, []string{"c 0", "x 1", "a 1", "b 2"}},
		{"a circle reached from an older step", []edge{{"x", ""}, {"a", ""}, {"b", ""}, {"x", "b"}, {"b", "a"}, {"a", "b"}}, []string{"a"}, []string{"a 0", "b 1", "x 2"}},
		{"two circles and a tree", []edge{{"t", ""}, {"a", "b"}, {"b", "a"}, {"c", "d"}, {"d", "c"}, {"u", "t"}}, []string{"t", "b", "d"}, []string{"t 0", "u 1", "b 0", "a 1", "d 0", "c 1"}},
		{"a parent that changes with an attempt", []edge{{"a", ""}, {"b", ""}, {"c", "a"}, {"c", "b"}}, []string{"a", "b"}, []string{"a 0", "b 0", "c 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tree(t, tt.edges...)
			require.Equal(t, tt.roots, ids(s.Roots()))
			require.Equal(t, tt.walk, walk(s))

			// Roots and Children make the same walk and end, circles or not.
			var visited []string
			var descend func(depth int, steps []*replay.Step)
			descend = func(depth int, steps []*replay.Step) {
				for _, st := range steps {
					visited = append(visited, fmt.Sprint(st.ID, " ", depth))
					descend(depth+1, s.Children(st.ID))
				}
			}
			descend(0, s.Roots())
			require.Equal(t, tt.walk, visited)
		})
	}
	require.Nil(t, tree(t, edge{"a", ""}).Children("nobody"))
}

func TestWalkStopsEarly(t *testing.T) {
	s := tree(t, edge{"a", ""}, edge{"b", "a"}, edge{"c", "a"})
	var visited []enact.StepID
	for _, st := range s.Walk() {
		visited = append(visited, st.ID)
		if st.ID == "b" {
			break
		}
	}
	require.Equal(t, []enact.StepID{"a", "b"}, visited)
}

// The sample run of an agent, as a whole.
func TestResearchRun(t *testing.T) {
	events := readRun(t, "research-agent.jsonl")
	s, err := replay.Of(events)
	require.NoError(t, err)
	require.Equal(t, replay.StatusCompleted, s.Status)
	require.Equal(t, uint64(len(events)), s.Events)
	require.Equal(t, enact.TenantID("acme"), s.TenantID)
	require.Equal(t, enact.ParentUserMessage, s.Parent.ParentType)
	require.NotNil(t, s.Output)
	require.Equal(t, uint64(s.EndedAt.Sub(s.StartedAt).Milliseconds()), *s.DurationMS)
	require.Empty(t, s.OpenToolCalls())
	require.Len(t, s.ToolCalls, 4)
	require.Len(t, s.Artifacts, 3)
	require.Len(t, s.Checkpoints, 2)
	require.Len(t, s.Errors, 1)
	require.Len(t, s.Pauses, 2)
	require.Equal(t, enact.GoalMet, s.Goal("cited_answer").Latest().Status)
	require.Len(t, s.Goal("cited_answer").Evaluations, 2)
	require.Equal(t, map[string]uint64{"llm.usage": 1}, s.CustomEvents)

	var tree []string
	for depth, st := range s.Walk() {
		require.Equal(t, replay.StepCompleted, st.Status)
		tree = append(tree, fmt.Sprintf("%*s%s %s x%d", 2*depth, "", st.Type, st.Name, 1+len(st.EarlierAttempts)))
	}
	require.Equal(t, []string{
		"GraphNode research x1",
		"  LlmNode plan x1",
		"  ToolNode search: battery cost per kWh x1",
		"    FunctionNode read sources x1",
		"  ToolNode search: independent report x1",
		"  LlmNode synthesise x2",
		"    FunctionNode check citations x1",
	}, tree)
	synthesis := s.Step(*s.Errors[0].StepID)
	require.Equal(t, uint16(429), *synthesis.EarlierAttempts[0].Error.HTTPStatus)
	require.Nil(t, synthesis.Error)
	for i := 1; i < len(events); i++ {
		require.True(t, events[i].Timestamp.After(events[i-1].Timestamp))
	}
}

// The sample of two executions holds two whole histories.
func TestTwoRuns(t *testing.T) {
	states := make(map[enact.ExecutionID]*replay.State)
	var order []enact.ExecutionID
	for _, ev := range readRun(t, "two-executions.jsonl") {
		if states[ev.ExecutionID] == nil {
			states[ev.ExecutionID] = replay.New()
		}
		require.NoError(t, states[ev.ExecutionID].Apply(ev))
		order = append(order, ev.ExecutionID)
	}
	require.Len(t, states, 2)
	require.NotEqual(t, order[0], order[1], "they are interleaved")
	require.Equal(t, replay.StatusCompleted, states["exec_39XmT4kQw8ZrB1cYvN6uLpE0sHd"].Status)
	failed := states["invoice 2026/03 #17 🧾"]
	require.Equal(t, replay.StatusFailed, failed.Status)
	require.Equal(t, enact.TenantID("größe & co. <EU>/*.>"), failed.TenantID)
	require.Len(t, failed.OpenToolCalls(), 1)
	require.Len(t, failed.Errors, 2)
	require.True(t, failed.Error.Category.Fatal())
}

func TestStateJSON(t *testing.T) {
	require.Equal(t, `{"execution_id":"","tenant_id":"","status":"unknown","last_sequence":0,"events":0}`, toJSON(t, replay.New()))
	s := of(
		t, enact.ExecutionStarted{Parent: &enact.ParentLink{ParentID: "p", ParentType: "X"}}, enact.StepStarted{StepID: "s", StepType: enact.ToolNode, Name: "n"},
		enact.ToolCallStarted{StepID: pointer(enact.StepID("s")), ToolCallID: "c", ToolName: "t", Input: json.RawMessage(`{"b":1.50,"a":null}`)},
		enact.StepCompleted{StepID: "s", DurationMS: 0},
	)
	require.Equal(t, `{"execution_id":"e","tenant_id":"t","status":"running","started_at":"2026-02-23T12:00:01Z","updated_at":"2026-02-23T12:00:04Z",`+
		`"last_sequence":4,"events":4,"parent":{"parent_id":"p","parent_type":"X"},`+
		`"steps":[{"step_id":"s","step_type":"ToolNode","name":"n","status":"completed","started_at":"2026-02-23T12:00:02Z","started_seq":2,`+
		`"ended_at":"2026-02-23T12:00:04Z","ended_seq":4,"duration_ms":0,"tool_calls":[0]}],`+
		`"tool_calls":[{"tool_call_id":"c","step_id":"s","tool_name":"t","input":{"b":1.50,"a":null},"started_at":"2026-02-23T12:00:03Z","started_seq":3}]}`,
		toJSON(t, s))
}
