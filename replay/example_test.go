package replay_test

import (
	"context"
	"fmt"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/memstore"
	"github.com/enactlog/enact/replay"
)

func Example() {
	root := enact.StepID("step_root")
	events := []enact.Event{
		enact.ExecutionStarted{},
		enact.StepStarted{StepID: root, StepType: enact.GraphNode, Name: "answer"},
		enact.StepStarted{StepID: "step_ask", ParentStepID: &root, StepType: enact.LLMNode, Name: "ask the model"},
		enact.ToolCallStarted{StepID: &root, ToolCallID: "call_1", ToolName: "search", Input: enact.JSON(map[string]string{"q": "go"})},
		enact.StepCompleted{StepID: "step_ask", DurationMS: 1200},
	}
	state := replay.New()
	for i, e := range events {
		err := state.Apply(enact.StoredEvent{Sequence: uint64(i) + 1, ExecutionID: "exec_1", TenantID: "acme", Event: e})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(state.Status, "after", state.LastSequence, "events")
	for depth, step := range state.Walk() {
		fmt.Printf("%*s%s: %s\n", 2*depth, "", step.Name, step.Status)
	}
	for _, call := range state.OpenToolCalls() {
		fmt.Println("open:", call.Name, string(call.Input))
	}
	// Output:
	// running after 5 events
	// answer: running
	//   ask the model: completed
	// open: search {"q":"go"}
}

// A fold of one's own: what the tool calls were given, by tool.
func ExampleFold() {
	stored := func(yield func(enact.StoredEvent, error) bool) {
		for i, tool := range []string{"search", "fetch", "search"} {
			event := enact.ToolCallStarted{ToolCallID: fmt.Sprint(i), ToolName: tool, Input: enact.JSON(nil)}
			if !yield(enact.StoredEvent{Sequence: uint64(i) + 1, Event: event}, nil) {
				return
			}
		}
	}
	calls, err := replay.Fold(stored, map[string]int{}, func(n map[string]int, ev enact.StoredEvent) (map[string]int, error) {
		if call, ok := ev.Event.(enact.ToolCallStarted); ok {
			n[call.ToolName]++
		}
		return n, nil
	})
	fmt.Println(calls, err)
	// Output: map[fetch:1 search:2] <nil>
}

// The state of a stored execution, read in bounded memory.
func ExampleCollect() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)
	_, err := store.AppendBatch(ctx, "exec_1", "acme", []enact.Event{
		enact.ExecutionStarted{}, enact.ExecutionPaused{Reason: "asks for approval"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	state, err := replay.Collect(store.Events(ctx, "exec_1", 0))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(state.Status, state.Pauses[0].Reason)

	// It goes on from where it is.
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionResumed{}); err != nil {
		fmt.Println(err)
		return
	}
	for ev := range store.Events(ctx, "exec_1", state.LastSequence) {
		fmt.Println(state.Apply(ev), state.Status)
	}
	// Output:
	// paused asks for approval
	// <nil> running
}

// Steps and goals are found by their ids. What is done to a copy does not change the state.
func ExampleOf() {
	plan, ask := enact.StepID("step_plan"), enact.StepID("step_ask")
	score := 0.5
	var events []enact.StoredEvent
	for i, e := range []enact.Event{
		enact.StepStarted{StepID: plan, StepType: enact.GraphNode, Name: "plan"},
		enact.StepStarted{StepID: ask, ParentStepID: &plan, StepType: enact.LLMNode, Name: "ask"},
		enact.GoalEvaluated{StepID: &ask, GoalID: "answer", Status: enact.GoalProgressing, Score: &score},
	} {
		events = append(events, enact.StoredEvent{Sequence: uint64(i) + 1, ExecutionID: "exec_1", TenantID: "acme", Event: e})
	}
	state, err := replay.Of(events)
	if err != nil {
		fmt.Println(err)
		return
	}
	then := state.Clone()
	done := enact.StoredEvent{Sequence: 4, ExecutionID: "exec_1", TenantID: "acme", Event: enact.StepCompleted{StepID: ask}}
	if err := state.Apply(done); err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(state.Step(ask).Status, then.Step(ask).Status)
	for _, step := range state.Children(plan) {
		fmt.Println(step.Name)
	}
	fmt.Println(state.Goal("answer").Latest().Status, state.Goal("no such goal") == nil)
	// Output:
	// completed running
	// ask
	// progressing true
}
