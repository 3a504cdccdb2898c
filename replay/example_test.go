package replay_test

import (
	"fmt"

	"github.com/enactlog/enact"
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
