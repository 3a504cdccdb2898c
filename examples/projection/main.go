// The program projection keeps a read model, how many executions there are by status and
// how often each tool was called, with a durable group. The model is one file that holds
// the sequences of what is in it, so that an event which comes again changes nothing.
//
//	go run ./examples/projection
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "projection:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "enact-projection-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := embedded.Open(ctx, filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Shutdown(context.WithoutCancel(ctx))) }()

	// Twice: the second time goes on where the first one ended, as another process would.
	for round := range 2 {
		var end uint64
		for i := range 3 {
			if end, err = appendRun(ctx, store, enact.ExecutionID(fmt.Sprintf("exec_%d_%d", round, i)), i); err != nil {
				return err
			}
		}
		m, err := keep(ctx, store, filepath.Join(dir, "model.json"), end)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, m)
	}
	return nil
}

// appendRun appends an execution with n calls of tools, and returns its end's position.
func appendRun(ctx context.Context, store *jetstore.Store, id enact.ExecutionID, n int) (uint64, error) {
	events := []enact.Event{enact.ExecutionStarted{}}
	for i := range n {
		tool := []string{"search", "mail"}[i%2]
		events = append(events, enact.ToolCallStarted{ToolCallID: fmt.Sprint("call-", i), ToolName: tool, Input: enact.JSON(i)})
	}
	if n == 1 {
		events = append(events, enact.ExecutionFailed{Error: enact.NewExecutionError(enact.CategoryTimeout, "no answer")})
	} else {
		events = append(events, enact.ExecutionCompleted{})
	}
	receipt, err := store.Execution("acme", id).AppendBatch(ctx, events)
	return receipt.Position, err
}

// keep brings the model in the file up to the execution that ends at a position. A service
// would not stop there.
func keep(ctx context.Context, store *jetstore.Store, file string, end uint64) (*model, error) {
	m, err := readModel(file)
	if err != nil {
		return nil, err
	}
	// Ordered: the events come in the order of the log, to one process at a time, and
	// another one takes over from it.
	group, err := consumer.OpenGroup(ctx, store, "statistics", consumer.Ordered, consumer.Filter{})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return m, group.Run(ctx, func(_ context.Context, ev enact.StoredEvent) error {
		if !m.apply(ev) {
			return nil // its effect was stored when the last process ended, its acknowledgement was not
		}
		if ev.Position == end && enact.Terminal(ev.Event) {
			defer stop()
		}
		return m.write(file)
	})
}
