package memstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/memstore"
)

func Example() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)

	run := enact.NewExecutionID()
	first, err := store.AppendBatch(ctx, run, "acme", []enact.Event{
		enact.ExecutionStarted{},
		enact.StepStarted{StepID: "step_1", StepType: enact.ToolNode, Name: "search"},
	}, enact.ExpectSequence(0))
	fmt.Println(first, err)

	seq, err := store.Append(ctx, run, "acme", enact.StepCompleted{StepID: "step_1", Output: new("42"), DurationMS: 12})
	fmt.Println(seq, err)

	// Somebody else appended meanwhile: the expectation no longer holds.
	_, err = store.Append(ctx, run, "acme", enact.ExecutionCompleted{}, enact.ExpectSequence(2))
	var conflict *enact.ConflictError
	if errors.As(err, &conflict) {
		fmt.Println("the history is at", conflict.Actual)
	}

	for e, err := range store.Events(ctx, run, 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.Sequence, e.Event.Type())
	}
	// Output:
	// 1 <nil>
	// 3 <nil>
	// the history is at 3
	// 1 execution_started
	// 2 step_started
	// 3 step_completed
}
