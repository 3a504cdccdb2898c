package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// openExample opens a log that end removes.
func openExample(opts ...jetstore.Option) (store *jetstore.Store, end func()) {
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	store, err = embedded.Open(context.Background(), dir, embedded.WithMemoryStorage(), embedded.WithStore(opts...))
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		_ = store.Shutdown(context.Background())
		_ = os.RemoveAll(dir)
	}
}

// A dashboard's page: what failed, newest first, and where the next page begins.
func ExampleStore_Executions() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	at := time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)
	for i, last := range []enact.Event{
		enact.ExecutionFailed{Error: enact.NewExecutionError(enact.CategoryTimeout, "no answer")},
		enact.ExecutionCompleted{},
		enact.ExecutionFailed{Error: enact.NewExecutionError(enact.CategoryToolError, "no such file")},
		enact.StepStarted{StepID: "step_1", StepType: enact.LLMNode, Name: "think"},
	} {
		run := store.Execution("acme", enact.ExecutionID(fmt.Sprint("exec_", i+1)))
		if _, err := run.AppendBatch(ctx, []enact.Event{enact.ExecutionStarted{}, last}, enact.WithTimestamp(at.AddDate(0, 0, i))); err != nil {
			log.Fatal(err)
		}
	}

	query := enact.Query{Tenant: "acme", Status: []enact.Status{enact.StatusFailed}, Limit: 1}
	for {
		page, next, err := store.Executions(ctx, query)
		if err != nil {
			log.Fatal(err)
		}
		for _, x := range page {
			fmt.Println(x.ExecutionID, x.Status, x.Events, x.LastEvent, x.Updated.Format(time.DateOnly))
		}
		if next == "" {
			break
		}
		query.Cursor = next
	}
	// Output:
	// exec_3 failed 2 execution_failed 2026-02-25
	// exec_1 failed 2 execution_failed 2026-02-23
}

// A stream for each tenant: one API, and streams that permissions can keep apart.
func ExampleWithStreamPerTenant() {
	ctx := context.Background()
	store, end := openExample(jetstore.WithStreamPerTenant())
	defer end()
	if err := store.EnsureTenant(ctx, "acme"); err != nil {
		log.Fatal(err)
	}
	run := store.Execution("acme", "exec_1")
	if _, err := run.Append(ctx, enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(run.StreamName())
	_, err := store.CountEvents(ctx, "exec_1")
	fmt.Println(err)
	n, err := store.CountEvents(ctx, "exec_1", enact.InTenant("acme"))
	fmt.Println(n, err)
	// Output:
	// ENACT-acme
	// enact: the call must name a tenant
	// 1 <nil>
}

// What the readers of a tenant need on its streams, for the configuration of the server.
func ExamplePermissionsFor() {
	p, err := jetstore.PermissionsFor(jetstore.RoleReader, "acme", jetstore.WithStreamPerTenant())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Publish[0])
	fmt.Println(p.Subscribe, p.InboxPrefix)
	// Output:
	// $JS.API.STREAM.INFO.ENACT-acme
	// [_INBOX_acme.>] _INBOX_acme
}

// Spans and metrics go where the program's other ones go.
func ExampleWithTracerProvider() {
	ctx := context.Background()
	spans := tracetest.NewSpanRecorder() // an exporter, elsewhere
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	store, end := openExample(jetstore.WithTracerProvider(provider))
	defer end()
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}
	events, err := store.LoadEvents(ctx, "exec_1")
	if err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.Ended() {
		if !span.Parent().IsValid() { // of what the program called, and not of what that took
			fmt.Println(span.Name())
		}
	}
	fmt.Println("the event carries the append's trace:", events[0].Trace.Sampled())
	// Output:
	// append ENACT
	// load ENACT
	// the event carries the append's trace: true
}

// counting is a tracer that counts what a store puts right.
type counting map[jetstore.Occurrence]int

func (c counting) Happened(_ context.Context, what jetstore.Occurrence) { c[what]++ }

// A tracer of one's own needs no OpenTelemetry.
func ExampleWithTracer() {
	ctx := context.Background()
	seen := make(counting)
	store, end := openExample(jetstore.WithTracer(seen))
	defer end()
	for range 2 {
		if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}, enact.WithIdempotencyKey("start")); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(seen[jetstore.Duplicate], "duplicate")
	// Output: 1 duplicate
}

// A handle is bound to one execution.
func ExampleStore_Execution() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	run := store.Execution("acme", "exec_1")
	receipt, err := run.Append(ctx, enact.ExecutionStarted{}, enact.ExpectSequence(0))
	if err != nil {
		log.Fatal(err)
	}
	_, err = run.Append(ctx, enact.ExecutionCompleted{}, enact.ExpectSequence(0))
	fmt.Println(receipt.First, err)
	head, err := run.Head(ctx)
	fmt.Println(head.Sequence, head.Chain == receipt.Chain, err)
	// Output:
	// 1 enact: conflict on execution "exec_1" of tenant "acme": expected no events, actual sequence is 1
	// 1 true <nil>
}

// The newest events of a long history are read without the rest.
func ExampleStore_Events() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	events := make([]enact.Event, 100)
	for i := range events {
		events[i] = enact.ExecutionPaused{Reason: fmt.Sprint("pause ", i+1)}
	}
	if _, err := store.AppendBatch(ctx, "exec_1", "acme", events); err != nil {
		log.Fatal(err)
	}
	for ev, err := range store.Events(ctx, "exec_1", 0, enact.Backwards(), enact.Limit(2)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Sequence, ev.Event)
	}
	// Output:
	// 100 {pause 100}
	// 99 {pause 99}
}

// Executions in the order in which they were created, newest first.
func ExampleStore_ListExecutions() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	for _, id := range []enact.ExecutionID{"exec_1", "exec_2", "exec_3"} {
		if _, err := store.Append(ctx, id, "acme", enact.ExecutionStarted{}); err != nil {
			log.Fatal(err)
		}
	}
	ids, err := store.ListExecutions(ctx, "acme", 2, 0)
	fmt.Println(ids, err)
	// Output: [exec_3 exec_2] <nil>
}

// An append whose outcome is unknown is settled later, in another process if need be.
func ExampleStore_Resolve() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	_, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{})
	if unknown, ok := errors.AsType[*enact.UnknownOutcomeError](err); ok {
		receipt, err := store.Resolve(ctx, unknown) // or a conflict: it is not stored, and never will be
		fmt.Println(receipt.First, err)
		return
	}
	fmt.Println("acknowledged:", err == nil)
	// Output: acknowledged: true
}
