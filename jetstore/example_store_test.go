package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// The ways to a history: all of it, what came since, its end.
func ExampleExecution() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	run := store.Execution("acme", "exec_1")
	for _, e := range []enact.Event{enact.ExecutionStarted{}, enact.ExecutionPaused{Reason: "lunch"}, enact.ExecutionResumed{}} {
		if _, err := run.Append(ctx, e); err != nil {
			log.Fatal(err)
		}
	}

	all, err := run.LoadEvents(ctx)
	fmt.Println(len(all), err)
	since, err := run.LoadEventsAfter(ctx, 2)
	fmt.Println(since[0].Sequence, since[0].Event.Type(), err)
	// What the history looked like when its second event was the last one.
	head, err := run.HeadAt(ctx, 2)
	fmt.Println(head.Sequence, err)
	// Output:
	// 3 <nil>
	// 3 execution_resumed <nil>
	// 2 <nil>
}

// The same without a handle. A store looks the tenant up where the call does not name it.
func ExampleStore_LoadEvents() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	if _, err := store.AppendBatch(ctx, "exec_1", "acme", []enact.Event{enact.ExecutionStarted{}, enact.ExecutionResumed{}}); err != nil {
		log.Fatal(err)
	}

	all, err := store.LoadEvents(ctx, "exec_1", enact.InTenant("acme"))
	fmt.Println(len(all), err)
	since, err := store.LoadEventsAfter(ctx, "exec_1", 1)
	fmt.Println(len(since), err)
	last, ok, err := store.LatestSequence(ctx, "exec_1")
	fmt.Println(last, ok, err)
	exists, err := store.ExecutionExists(ctx, "exec_2")
	fmt.Println(exists, err)
	tenants, err := store.ListTenants(ctx)
	fmt.Println(tenants, err)
	// Output:
	// 2 <nil>
	// 1 <nil>
	// 2 true <nil>
	// false <nil>
	// [{acme 1}] <nil>
}

// The general form of an append. Its receipt proves it, against heads too that were asked
// for later.
func ExampleStore_Commit() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	noon := time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)
	receipt, err := store.Commit(ctx, enact.Batch{
		TenantID: "acme", ExecutionID: "exec_1",
		Events:     []enact.Event{enact.ExecutionStarted{}, enact.ExecutionPaused{Reason: "lunch"}},
		Timestamps: []time.Time{noon, noon.Add(time.Minute)},
		Options:    enact.NewAppendOptions(enact.ExpectSequence(0)),
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionResumed{}); err != nil {
		log.Fatal(err)
	}

	now, err := store.Head(ctx, "exec_1")
	fmt.Println(now.Sequence, now.Chain == receipt.Chain, err)
	then, err := store.HeadAt(ctx, "exec_1", receipt.Last)
	fmt.Println(then.Sequence, then.Chain == receipt.Chain, err)
	// Output:
	// 3 false <nil>
	// 2 true <nil>
}

// Is there anything to serve with, and what would the next fault bring?
func ExampleStore_Health() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	fmt.Println(store.HealthCheck(ctx))
	health := store.Health(ctx)
	fmt.Println(health.Status, health.Problems)
	// Output:
	// <nil>
	// healthy []
}

// An index stream that was lost, and made anew, is filled from the log.
func ExampleStore_RebuildIndex() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}
	if _, err := store.Conn().Request("$JS.API.STREAM.DELETE."+store.IndexName(), nil, jetstore.DefaultTimeout); err != nil {
		log.Fatal(err)
	}
	if err := jetstore.EnsureStream(ctx, store.Conn(), jetstore.WithMemoryStorage()); err != nil {
		log.Fatal(err)
	}

	report, err := store.RebuildIndex(ctx, nil)
	fmt.Println(report.Executions, report.Added, report.Faults, err)
	// Output: 1 1 0 <nil>
}

// A subscriber of one's own: package consumer is made of this.
func ExampleAttachment() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}

	at, err := store.Attach()
	if err != nil {
		log.Fatal(err)
	}
	defer at.Close() // Shutdown waits for it
	state, err := at.State(ctx, time.Second)
	fmt.Println(state.Last-state.First+1, err)

	up, lost := at.WhileUp(ctx)
	var info struct {
		State struct {
			Consumers int `json:"consumer_count"`
		} `json:"state"`
	}
	err = at.Request(up, "STREAM.INFO."+store.StreamName(), nil, &info)
	fmt.Println(info.State.Consumers, err, lost())
	fmt.Println(at.Denied("$JS.API.STREAM.DELETE." + store.StreamName()))

	one, err := store.Execution("acme", "exec_1").Attach(ctx)
	if err != nil {
		log.Fatal(err)
	}
	one.Close()
	// Output:
	// 1 <nil>
	// 0 <nil> false
	// <nil>
}

// spans is a tracer that prints what begins and ends.
type spans struct{}

func (spans) Happened(context.Context, jetstore.Occurrence) {}

func (spans) Began(ctx context.Context, op jetstore.Operation) context.Context {
	fmt.Println("began:", op.Kind, op.Execution)
	return ctx
}

func (spans) Ended(_ context.Context, op jetstore.Operation, end jetstore.Outcome) {
	fmt.Println("ended:", op.Kind, end.Err)
}

// A handler of one's own is told of as those of package consumer are.
func ExampleStore_Observe() {
	ctx := context.Background()
	store, end := openExample(jetstore.WithTracer(spans{}))
	defer end()

	_, handling := store.Observe(ctx, jetstore.Operation{Kind: jetstore.Handling, Stream: store.StreamName(), Execution: "exec_1"})
	// What there is to do with the event.
	handling.End(jetstore.Outcome{})
	// Output:
	// began: handle exec_1
	// ended: handle <nil>
}

// What somebody must look at goes to the program's log: a history that was damaged.
func ExampleWithLogger() {
	ctx := context.Background()
	short := func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.LevelKey, slog.MessageKey, "execution":
			return a
		}
		return slog.Attr{} // for this example only
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelError, ReplaceAttr: short}))
	store, end := openExample(jetstore.WithLogger(logger))
	defer end()
	// Something that is no record, on the execution's subject.
	if _, err := store.Conn().Request(store.Subjects().Execution("acme", "exec_1"), []byte("?"), jetstore.DefaultTimeout); err != nil {
		log.Fatal(err)
	}

	_, err := store.LoadEvents(ctx, "exec_1")
	fmt.Println(errors.Is(err, enact.ErrCorrupt))
	// Output:
	// level=ERROR msg="enact: load failed" execution=exec_1
	// true
}

// Counters and times of all operations, for whatever the program's metrics go to; the
// trace context in records is read and written as the rest of the program has it.
func ExampleWithMeterProvider() {
	ctx := context.Background()
	reader := sdkmetric.NewManualReader() // an exporter, elsewhere
	store, end := openExample(
		jetstore.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))),
		jetstore.WithPropagator(propagation.TraceContext{}))
	defer end()
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}

	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		log.Fatal(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Unit != "{append}" { // of those there are some where something had to be put right
			fmt.Println(m.Name, m.Unit)
		}
	}
	// Unordered output:
	// messaging.client.operation.duration s
	// messaging.client.sent.messages {message}
	// enact.append.events {event}
}
