package consumer_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// exampleServer is where the examples have their logs, each one of its own.
type exampleServer struct {
	dir string
	srv *embedded.Server
	n   atomic.Int64
}

func startExamples() *exampleServer {
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	srv, err := embedded.Start(context.Background(), dir, embedded.WithMemoryStorage())
	if err != nil {
		log.Fatal(err)
	}
	return &exampleServer{dir: dir, srv: srv}
}

func (e *exampleServer) stop() {
	_ = e.srv.Shutdown(context.Background())
	_ = os.RemoveAll(e.dir)
}

// open opens a log in which the agents of tenant acme have done something: run-1 is
// through, run-2 has begun.
func (e *exampleServer) open() (store *jetstore.Store, end func()) {
	ctx := context.Background()
	name := fmt.Sprintf("example%d", e.n.Add(1))
	nc, err := connectExample(e.srv)
	if err != nil {
		log.Fatal(err)
	}
	opts := []jetstore.Option{jetstore.WithStream(name), jetstore.WithPrefix(name), jetstore.WithMemoryStorage()}
	if err := jetstore.EnsureStream(ctx, nc, opts...); err != nil {
		log.Fatal(err)
	}
	if store, err = jetstore.Open(ctx, nc, opts...); err != nil {
		log.Fatal(err)
	}
	for _, id := range []enact.ExecutionID{"run-1", "run-2"} {
		if _, err := store.Append(ctx, id, "acme", enact.ExecutionStarted{}); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := store.Append(ctx, "run-1", "acme", enact.ExecutionCompleted{DurationMS: 12}); err != nil {
		log.Fatal(err)
	}
	return store, func() {
		_ = store.Shutdown(ctx)
		nc.Close()
	}
}

// show is a handler that prints what it is given.
func show(_ context.Context, ev enact.StoredEvent) error {
	fmt.Println(ev.ExecutionID, ev.Sequence, ev.Event.Type())
	return nil
}

// Watch an execution until it ends: first what there is, then what comes.
func ExampleTail() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	for ev, err := range consumer.Tail(ctx, store.Execution("acme", "run-1"), 0, consumer.UntilEnd()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Sequence, ev.Event.Type())
	}
	// Output:
	// 1 execution_started
	// 2 execution_completed
}

// The sequence of the last event is all that a tail needs to go on.
func ExampleUntilEnd() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	for ev, err := range consumer.Tail(ctx, store.Execution("acme", "run-1"), 1, consumer.UntilEnd()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Sequence, ev.Event.Type())
	}
	fmt.Println("ended")
	// Output:
	// 2 execution_completed
	// ended
}

// A page shows the history at once, and what comes then as it comes.
func ExampleOnCaughtUp() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()
	run := store.Execution("acme", "run-2")

	caughtUp := consumer.OnCaughtUp(func(sequence uint64) {
		fmt.Println("live after", sequence)
		if _, err := run.Append(ctx, enact.ExecutionCancelled{Reason: "enough"}); err != nil {
			log.Fatal(err)
		}
	})
	for ev, err := range consumer.Tail(ctx, run, 0, caughtUp, consumer.UntilEnd()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Sequence, ev.Event.Type())
	}
	// Output:
	// 1 execution_started
	// live after 1
	// 2 execution_cancelled
}

// A tail that is to notice sooner that its server is gone.
func ExampleWithHeartbeat() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	for ev, err := range consumer.Tail(ctx, store.Execution("acme", "run-1"), 0, consumer.WithHeartbeat(500*time.Millisecond)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Sequence)
		break
	}
	// Output: 1
}

// Whoever looks after the server sees who follows the log.
func ExampleWithLabel() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	_, err := consumer.OpenGroup(ctx, store, "billing", consumer.Ordered, consumer.Filter{}, consumer.WithLabel("invoices, team money"))
	if err != nil {
		log.Fatal(err)
	}
	infos, err := consumer.List(ctx, store)
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range infos {
		fmt.Println(info.Name, info.Kind, info.Label)
	}
	// Output: billing group invoices, team money
}

// Read a log to its end.
func ExampleFollow() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	filter := consumer.Filter{Tenants: []enact.TenantID{"acme"}, Types: []string{enact.TypeExecutionStarted}}
	if err := consumer.Follow(ctx, store, filter, show, consumer.Workers(1), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
}

// With one worker the handler sees the log in its order.
func ExampleWorkers() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.Workers(1), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

func ExampleUntilLive() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	var events atomic.Int64
	count := func(context.Context, enact.StoredEvent) error {
		events.Add(1)
		return nil
	}
	if err := consumer.Follow(ctx, store, consumer.Filter{}, count, consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(events.Load(), "events")
	// Output: 3 events
}

// A projection says when it can be asked.
func ExampleOnLive() {
	store, end := examples().open()
	defer end()
	ctx, stop := context.WithCancel(context.Background())

	var events atomic.Int64
	count := func(context.Context, enact.StoredEvent) error {
		events.Add(1)
		return nil
	}
	ready := consumer.OnLive(func(consumer.Token) {
		fmt.Println("ready, with", events.Load(), "events")
		stop()
	})
	if err := consumer.Follow(ctx, store, consumer.Filter{}, count, ready); err != nil {
		log.Fatal(err)
	}
	// Output: ready, with 3 events
}

// A Follow keeps its token, and the next one goes on with it.
func ExampleOnProgress() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	kept := "" // in a file, or a database
	keep := consumer.OnProgress(time.Second, func(_ context.Context, t consumer.Token) error {
		kept = t.String()
		return nil
	})
	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.Workers(1), consumer.UntilLive(), keep); err != nil {
		log.Fatal(err)
	}

	if _, err := store.Append(ctx, "run-2", "acme", enact.ExecutionCancelled{Reason: "enough"}); err != nil {
		log.Fatal(err)
	}
	token, err := consumer.ParseToken(kept)
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.FromToken(token), consumer.UntilLive(), keep); err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
	// run-2 2 execution_cancelled
}

// A handler that is slow, and large events: less is held in memory.
func ExampleWindow() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.Window(100, 1<<20), consumer.Workers(1), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

// A log in which a million executions are under way at a time.
func ExampleWithCacheSize() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	none := func(context.Context, enact.StoredEvent) error { return nil }
	err := consumer.Follow(ctx, store, consumer.Filter{}, none, consumer.WithCacheSize(1_000_000), consumer.UntilLive())
	fmt.Println(err)
	// Output: <nil>
}

// A copy of the log that must not take anything which was changed on the server.
func ExampleVerifyChain() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.VerifyChain(), consumer.Workers(1), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

// One damaged history is no reason to leave out the others.
func ExampleSkipCorrupt() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()
	// Something that is no record, on the subject of run-2.
	if err := store.Conn().Publish(store.Subjects().Execution("acme", "run-2"), []byte("?")); err != nil {
		log.Fatal(err)
	}
	if _, err := store.Append(ctx, "run-3", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}

	report := consumer.SkipCorrupt(func(err error) { fmt.Println("left out:", err != nil) })
	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, report, consumer.Workers(1), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
	// left out: true
	// run-3 1 execution_started
}

func ExampleFromBeginning() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.FromBeginning(), consumer.Workers(1), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

// What is appended from now on.
func ExampleFromNow() {
	store, end := examples().open()
	defer end()
	ctx, stop := context.WithCancel(context.Background())

	begun := consumer.OnLive(func(consumer.Token) {
		// Not with ctx: the handler may have the event, and stop the Follow, before this returns.
		if _, err := store.Append(context.Background(), "run-2", "acme", enact.ExecutionPaused{Reason: "lunch"}); err != nil {
			log.Fatal(err)
		}
	})
	handler := func(ctx context.Context, ev enact.StoredEvent) error {
		defer stop()
		return show(ctx, ev)
	}
	if err := consumer.Follow(ctx, store, consumer.Filter{}, handler, consumer.FromNow(), begun); err != nil {
		log.Fatal(err)
	}
	// Output: run-2 2 execution_paused
}

// What the last hour brought.
func ExampleFromTime() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	begin := consumer.FromTime(time.Now().Add(-time.Hour))
	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, begin, consumer.Workers(1), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

// The last record of the log once more.
func ExampleFromToken() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	token, err := consumer.End(ctx, store)
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.FromToken(token.Rewind(1)), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output: run-1 2 execution_completed
}

// A token that was taken before something is done finds what came of it.
func ExampleEnd() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	before, err := consumer.End(ctx, store)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Append(ctx, "run-9", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}
	if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.FromToken(before), consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output: run-9 1 execution_started
}

// What is no token is refused; a token of another log too, by Follow.
func ExampleParseToken() {
	_, err := consumer.ParseToken("e1.AAAA")
	fmt.Println(err)
	// Output: consumer: token "e1.AAAA" is damaged
}

// A tenant without executions is taken for a mistake, unless it is yet to come.
func ExampleAllowNewTenants() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	filter := consumer.Filter{Tenants: []enact.TenantID{"acme", "globex"}}
	none := func(context.Context, enact.StoredEvent) error { return nil }
	fmt.Println(consumer.Follow(ctx, store, filter, none, consumer.UntilLive()))
	fmt.Println(consumer.Follow(ctx, store, filter, none, consumer.UntilLive(), consumer.AllowNewTenants()))
	// Output:
	// consumer: tenant "globex" has no executions
	// <nil>
}
