package enact_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/memstore"
)

// Two who continue one execution: the one who comes second hears of it, looks at what
// was appended meanwhile, and decides anew.
func ExampleExpectSequence() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)

	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}, enact.ExpectSequence(0)); err != nil {
		log.Fatal(err)
	}
	for _, reason := range []string{"lunch", "fire drill"} {
		seq, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionPaused{Reason: reason}, enact.ExpectSequence(1))
		if conflict, ok := errors.AsType[*enact.ConflictError](err); ok {
			fmt.Println(reason+": the history is at", conflict.Actual)
			continue
		}
		fmt.Println(reason+": stored at", seq)
	}
	// Output:
	// lunch: stored at 2
	// fire drill: the history is at 2
}

// An id with a typing error does not become an execution.
func ExampleExpectExists() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)

	_, err := store.Append(ctx, "exec_l", "acme", enact.ExecutionCancelled{Reason: "enough"}, enact.ExpectExists())
	fmt.Println(err)
	// Output: enact: conflict on execution "exec_l" of tenant "acme": expected an existing execution, actual sequence is 0
}

// An append that may have been made before, by this process or by the one before it,
// happens once.
func ExampleWithIdempotencyKey() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)

	for _, e := range []enact.Event{enact.ExecutionStarted{}, enact.ExecutionStarted{}, enact.ExecutionResumed{}} {
		seq, err := store.Append(ctx, "exec_1", "acme", e, enact.WithIdempotencyKey("request 7"))
		fmt.Println(seq, err)
	}
	n, err := store.CountEvents(ctx, "exec_1")
	fmt.Println(n, err)
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 0 enact: idempotency key was used with other events
	// 1 <nil>
}

// What belongs to an event and is not part of it: where it comes from, when it happened,
// in which trace.
func ExampleWithMetadata() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)

	_, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{},
		enact.WithMetadata(map[string]string{"correlation": "order 4711"}),
		enact.WithTimestamp(time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)),
		enact.WithTraceContext(enact.TraceContext{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}))
	if err != nil {
		log.Fatal(err)
	}
	events, err := store.LoadEvents(ctx, "exec_1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(events[0].Metadata["correlation"], events[0].Timestamp, events[0].Trace.Sampled())
	fmt.Println(enact.TraceContext{Parent: "4bf92f3577b34da6"}.Validate())
	// Output:
	// order 4711 2026-02-23 12:00:00 +0000 UTC true
	// enact: TraceContext: 4bf92f3577b34da6 is not a traceparent of version 00
}

// A batch is stored as a whole. Those who read the stream message by message, in other
// languages, may want one event in each.
func ExampleWithOneEventPerRecord() {
	ctx := context.Background()
	store := memstore.New() // which has no records: to it the option is nothing
	defer store.Shutdown(ctx)

	first, err := store.AppendBatch(ctx, "exec_1", "acme", []enact.Event{enact.ExecutionStarted{}, enact.ExecutionCompleted{}}, enact.WithOneEventPerRecord())
	fmt.Println(first, err)
	// Output: 1 <nil>
}

// The newest events first, as many as a page shows.
func ExampleBackwards() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)
	for i := range 5 {
		if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionPaused{Reason: fmt.Sprint("pause ", i+1)}); err != nil {
			log.Fatal(err)
		}
	}

	for ev, err := range store.Events(ctx, "exec_1", 0, enact.Backwards(), enact.Limit(2)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Sequence, ev.Event)
	}
	// Output:
	// 5 {pause 5}
	// 4 {pause 4}
}

// Who knows the tenant says so, which saves looking it up; who was told of an event, as
// by another process, asks for no less.
func ExampleAtLeast() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)
	told, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{})
	if err != nil {
		log.Fatal(err)
	}

	events, err := store.LoadEvents(ctx, "exec_1", enact.InTenant("acme"), enact.AtLeast(told))
	fmt.Println(len(events), err)
	events, err = store.LoadEvents(ctx, "exec_1", enact.InTenant("globex"))
	fmt.Println(len(events), err)
	// Output:
	// 1 <nil>
	// 0 <nil>
}

// A dashboard that is refreshed every second can do without the last events.
func ExampleAllowStale() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)

	exists, err := store.ExecutionExists(ctx, "exec_1", enact.AllowStale())
	fmt.Println(exists, err)
	// Output: false <nil>
}

// All that has failed, whatever the number of pages.
func ExampleAllExecutions() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)
	for i := range 5 {
		id := enact.ExecutionID(fmt.Sprint("exec_", i+1))
		events := []enact.Event{enact.ExecutionStarted{}}
		if i%2 == 0 {
			events = append(events, enact.ExecutionFailed{Error: enact.NewExecutionError(enact.CategoryTimeout, "no answer")})
		}
		if _, err := store.AppendBatch(ctx, id, "acme", events); err != nil {
			log.Fatal(err)
		}
	}

	query := enact.Query{Tenant: "acme", Status: []enact.Status{enact.StatusFailed}, Limit: 2}
	for x, err := range enact.AllExecutions(ctx, store, query) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(x.ExecutionID, x.Events, x.LastEvent)
	}
	// Output:
	// exec_5 2 execution_failed
	// exec_3 2 execution_failed
	// exec_1 2 execution_failed
}

// A batch is the general form of an append. Whoever makes one up for later can check it
// before anything is sent.
func ExampleBatch() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Shutdown(ctx)
	noon := time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)

	batch := enact.Batch{
		TenantID: "acme", ExecutionID: "exec_1",
		Events:     []enact.Event{enact.ExecutionStarted{}, enact.ExecutionCompleted{}},
		Timestamps: []time.Time{noon, noon.Add(time.Minute)},
		Options:    enact.NewAppendOptions(enact.ExpectSequence(0)),
	}
	fmt.Println(batch.Validate())
	receipt, err := store.Commit(ctx, batch)
	fmt.Println(receipt.First, receipt.Last, err)

	batch.Events[1] = nil
	fmt.Println(batch.Validate())
	// Output:
	// <nil>
	// 1 2 <nil>
	// enact: invalid event 1 of the batch: is nil
}

// What a store of one's own makes of its arguments; package storetest says whether it is
// right.
func ExampleNewAppendOptions() {
	batch := enact.Batch{
		TenantID: "acme", ExecutionID: "exec_1", Events: []enact.Event{enact.ExecutionResumed{}},
		Options: enact.NewAppendOptions(enact.ExpectSequence(3), enact.WithIdempotencyKey("resume")),
	}
	texts, err := batch.Encode() // validated
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(texts[0]), batch.Options.IdempotencyKey, batch.Options.Expect.Holds(2))
	fmt.Println(enact.NewAppendOptions(enact.WithMetadata(map[string]string{"": "x"})).Validate())

	read := enact.NewReadOptions(enact.InTenant("acme"), enact.Limit(-1))
	fmt.Println(*read.TenantID, read.Validate())
	fmt.Println(enact.ValidatePage(10, -1))
	// Output:
	// {"type":"execution_resumed"} resume false
	// enact: Metadata: a key is empty
	// acme enact: Limit: -1 is below 0
	// enact: offset: -1 is below 0
}

// How a store of one's own answers a query.
func ExampleQuery() {
	query := enact.Query{Tenant: "acme", LastEvent: []string{enact.TypeExecutionPaused}, Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	fmt.Println(query.Validate(), query.PageSize())
	x := enact.ExecutionInfo{Created: query.Since.AddDate(0, 1, 0), LastEvent: enact.TypeExecutionPaused}
	fmt.Println(query.MatchesCreated(x.Created), query.Matches(x))
	x.LastEvent = enact.TypeExecutionResumed
	fmt.Println(query.Matches(x))
	// Output:
	// <nil> 50
	// true true
	// false
}
