package enact_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore/embedded"
)

// The README's program: a log in a directory, an execution, its events.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	// README: begin
	store, err := embedded.Open(ctx, dir) // a server in this process, durable, no network
	if err != nil {
		log.Fatal(err)
	}
	defer store.Shutdown(ctx)

	run := store.Execution("acme", enact.NewExecutionID())
	step := enact.NewStepID()
	receipt, err := run.AppendBatch(ctx, []enact.Event{
		enact.ExecutionStarted{Metadata: enact.JSON(map[string]string{"goal": "answer"})},
		enact.StepStarted{StepID: step, StepType: enact.LLMNode, Name: "think"},
		enact.StepCompleted{StepID: step, Output: new("42"), DurationMS: 12},
	}, enact.ExpectSequence(0), enact.WithIdempotencyKey("start"))
	if err != nil {
		log.Fatal(err) // nothing was stored, unless it is an UnknownOutcomeError
	}
	fmt.Println("stored", receipt.First, "to", receipt.Last)

	for ev, err := range run.Events(ctx, 0) {
		if err != nil {
			log.Fatal(err)
		}
		switch e := ev.Event.(type) {
		case enact.StepCompleted:
			fmt.Println(ev.Sequence, *e.Output)
		default:
			fmt.Println(ev.Sequence, e.Type())
		}
	}
	// README: end

	// Output:
	// stored 1 to 3
	// 1 execution_started
	// 2 step_started
	// 3 42
}
