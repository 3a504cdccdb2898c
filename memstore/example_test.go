package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// The ways to a history: all of it, what came since, its end.
func ExampleStore_LoadEvents() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)
	for _, e := range []enact.Event{enact.ExecutionStarted{}, enact.ExecutionPaused{Reason: "lunch"}, enact.ExecutionResumed{}} {
		if _, err := store.Append(ctx, "exec_1", "acme", e); err != nil {
			fmt.Println(err)
			return
		}
	}

	all, err := store.LoadEvents(ctx, "exec_1")
	fmt.Println(len(all), err)
	since, err := store.LoadEventsAfter(ctx, "exec_1", 2)
	fmt.Println(since[0].Sequence, since[0].Event.Type(), err)
	last, ok, err := store.LatestSequence(ctx, "exec_1")
	fmt.Println(last, ok, err)
	n, err := store.CountEvents(ctx, "exec_1")
	fmt.Println(n, err)
	exists, err := store.ExecutionExists(ctx, "exec_2")
	fmt.Println(exists, err)
	// Output:
	// 3 <nil>
	// 3 execution_resumed <nil>
	// 3 true <nil>
	// 3 <nil>
	// false <nil>
}

// The general form of an append says where it was stored, and a head what the history
// looks like then.
func ExampleStore_Commit() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)

	receipt, err := store.Commit(ctx, enact.Batch{TenantID: "acme", ExecutionID: "exec_1", Events: []enact.Event{enact.ExecutionStarted{}, enact.ExecutionCompleted{}}})
	fmt.Println(receipt.First, receipt.Last, err)
	head, err := store.Head(ctx, "exec_1")
	fmt.Println(head.Sequence, head.Chain == receipt.Chain, err)
	// Output:
	// 1 2 <nil>
	// 2 true <nil>
}

// What there is: tenants, their executions, and what is known of these.
func ExampleStore_Executions() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)
	for _, id := range []enact.ExecutionID{"exec_1", "exec_2"} {
		if _, err := store.Append(ctx, id, "acme", enact.ExecutionStarted{}); err != nil {
			fmt.Println(err)
			return
		}
	}

	tenants, err := store.ListTenants(ctx)
	fmt.Println(tenants, err)
	ids, err := store.ListExecutions(ctx, "acme", 10, 0)
	fmt.Println(ids, err)
	page, next, err := store.Executions(ctx, enact.Query{Tenant: "acme", Limit: 1})
	fmt.Println(page[0].ExecutionID, page[0].Status, next != "", err)
	// Output:
	// [{acme 2}] <nil>
	// [exec_2 exec_1] <nil>
	// exec_2 running true <nil>
}

// A test decides what time it is.
func ExampleWithClock() {
	ctx := context.Background()
	now := time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)
	store := memstore.New(memstore.WithClock(func() time.Time { return now }))
	defer store.Shutdown(ctx)

	for range 2 {
		if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionResumed{}); err != nil {
			fmt.Println(err)
			return
		}
		now = now.Add(time.Hour)
	}
	for ev := range store.Events(ctx, "exec_1", 0) {
		fmt.Println(ev.Timestamp.Format(time.TimeOnly))
	}
	// Output:
	// 12:00:00
	// 13:00:00
}

// A test of what happens when a key is older than the store looks back.
func ExampleWithKeyWindow() {
	ctx := context.Background()
	store := memstore.New(memstore.WithKeyWindow(1))
	defer store.Shutdown(ctx)

	for _, key := range []string{"a", "a", "b", "a"} {
		seq, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionResumed{}, enact.WithIdempotencyKey(key))
		fmt.Println(key, seq, err)
	}
	// Output:
	// a 1 <nil>
	// a 1 <nil>
	// b 2 <nil>
	// a 3 <nil>
}

// A store that was shut down says so.
func ExampleStore_Shutdown() {
	ctx := context.Background()
	store := memstore.New()
	fmt.Println(store.HealthCheck(ctx), store.Shutdown(ctx))
	fmt.Println(store.HealthCheck(ctx))
	// Output:
	// <nil> <nil>
	// enact: store is closed
}
