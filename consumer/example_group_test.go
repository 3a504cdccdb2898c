package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore/embedded"
)

func connectExample(srv *embedded.Server) (*nats.Conn, error) {
	return nats.Connect("", srv.InProcess(), nats.Timeout(time.Minute))
}

// drain runs a member of a group until everything is acknowledged that the log holds.
func drain(g *consumer.Group, h consumer.Handler) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, h) }()
	for {
		info, err := g.Info(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if info.Lag() == 0 {
			break
		}
	}
	stop()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
}

// Processes that share the work: each runs this with the same name, until it is told to
// end. An event comes to one of them, and again if that one does not acknowledge it.
func ExampleOpenGroup() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	store, end := examples().open()
	defer end()

	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Ordered, consumer.Filter{})
	if err != nil {
		log.Fatal(err)
	}
	err = g.Run(ctx, func(ctx context.Context, ev enact.StoredEvent) error {
		if enact.Terminal(ev.Event) {
			stop()
		}
		return show(ctx, ev)
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

// A group that exists gets other settings and keeps its position.
func ExampleUpdateGroup() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if _, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{}); err != nil {
		log.Fatal(err)
	}
	_, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{}, consumer.AckWait(time.Minute))
	fmt.Println(err)
	_, err = consumer.UpdateGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{}, consumer.AckWait(time.Minute))
	fmt.Println(err)
	// Output:
	// consumer: group "billing" has other settings: ack_wait is 30s, not 1m0s
	// <nil>
}

// A member that is lost is noticed within a minute; one that is slow gives word of it.
func ExampleAckWait() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Ordered, consumer.Filter{}, consumer.AckWait(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	drain(g, show)
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

// An attempt that fails is made again.
func ExampleBackoff() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{Types: []string{enact.TypeExecutionCompleted}},
		consumer.Backoff(time.Millisecond, 10*time.Millisecond), consumer.OnFailure(func(consumer.Failure) {}))
	if err != nil {
		log.Fatal(err)
	}
	drain(g, func(ctx context.Context, _ enact.StoredEvent) error {
		fmt.Println("attempt", consumer.Attempt(ctx))
		if consumer.Attempt(ctx) < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
}

// A handler may do something else when it is not the first attempt.
func ExampleAttempt() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	handler := func(ctx context.Context, ev enact.StoredEvent) error {
		fmt.Println(ev.ExecutionID, ev.Sequence, "attempt", consumer.Attempt(ctx))
		return nil
	}
	if err := consumer.Follow(ctx, store, consumer.Filter{Types: []string{enact.TypeExecutionCompleted}}, handler, consumer.UntilLive()); err != nil {
		log.Fatal(err)
	}
	// Output: run-1 2 attempt 1
}

// An event that nobody can handle does not hold up what follows it for ever.
func ExampleMaxDeliveries() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if err := consumer.EnsureDeadLetters(ctx, store); err != nil {
		log.Fatal(err)
	}
	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{},
		consumer.MaxDeliveries(2), consumer.Backoff(time.Millisecond), consumer.OnFailure(func(consumer.Failure) {}))
	if err != nil {
		log.Fatal(err)
	}
	drain(g, func(ctx context.Context, ev enact.StoredEvent) error {
		if ev.ExecutionID == "run-2" {
			panic("no price")
		}
		return show(ctx, ev)
	})
	for letter, err := range consumer.DeadLetters(ctx, store, "billing") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("given up:", letter.ExecutionID, letter.Sequence, "after", letter.Attempts, "attempts, panic:", letter.Panic)
	}
	// Output:
	// run-1 1 execution_started
	// run-1 2 execution_completed
	// given up: run-2 1 after 2 attempts, panic: true
}

// The stream of dead letters is made once, beside the log.
func ExampleEnsureDeadLetters() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	fmt.Println(consumer.EnsureDeadLetters(ctx, store))
	fmt.Println(consumer.EnsureDeadLetters(ctx, store))
	// Output:
	// <nil>
	// <nil>
}

// What all groups have given up.
func ExampleDeadLetters() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if err := consumer.EnsureDeadLetters(ctx, store); err != nil {
		log.Fatal(err)
	}
	n := 0
	for _, err := range consumer.DeadLetters(ctx, store, "") {
		if err != nil {
			log.Fatal(err)
		}
		n++
	}
	fmt.Println(n, "dead letters")
	// Output: 0 dead letters
}

// A handler of large events: few are sent ahead.
func ExampleMaxInFlight() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Ordered, consumer.Filter{}, consumer.MaxInFlight(4))
	if err != nil {
		log.Fatal(err)
	}
	drain(g, show)
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

// Who stands by takes over after three seconds of silence.
func ExampleFailoverAfter() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Ordered, consumer.Filter{}, consumer.FailoverAfter(3*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	drain(g, show)
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

// Failures go to the program's own log.
func ExampleOnFailure() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	report := consumer.OnFailure(func(f consumer.Failure) {
		fmt.Println(f.Group, "again in", f.Again, errors.Is(f.Err, consumer.ErrHandlerPanic))
	})
	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{Types: []string{enact.TypeExecutionCompleted}},
		consumer.Backoff(time.Millisecond), report)
	if err != nil {
		log.Fatal(err)
	}
	drain(g, func(ctx context.Context, _ enact.StoredEvent) error {
		if consumer.Attempt(ctx) == 1 {
			panic("the first time")
		}
		return nil
	})
	// Output: billing again in 1ms true
}

// A member that cannot do its work leaves it to others.
func ExampleStop() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	down := errors.New("the database is down")
	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Ordered, consumer.Filter{}, consumer.OnFailure(func(consumer.Failure) {}))
	if err != nil {
		log.Fatal(err)
	}
	err = g.Run(ctx, func(context.Context, enact.StoredEvent) error { return consumer.Stop(down) })
	fmt.Println(errors.Is(err, down))
	// Output: true
}

// Who follows the log, and how far behind.
func ExampleList() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	for _, name := range []string{"search", "billing"} {
		if _, err := consumer.OpenGroup(ctx, store, name, consumer.Parallel, consumer.Filter{}); err != nil {
			log.Fatal(err)
		}
	}
	infos, err := consumer.List(ctx, store)
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range infos {
		fmt.Println(info.Name, info.Mode, "lag", info.Lag())
	}
	// Output:
	// billing parallel lag 3
	// search parallel lag 3
}

func ExampleGet() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	_, err := consumer.Get(ctx, store, "billing")
	fmt.Println(errors.Is(err, consumer.ErrNotFound))
	// Output: true
}

func ExampleRemove() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if _, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(consumer.Remove(ctx, store, "billing"))
	fmt.Println(consumer.Remove(ctx, store, "billing"))
	// Output:
	// <nil>
	// consumer: not found: "billing"
}

// Nothing is sent for the length of a migration.
func ExamplePause() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{})
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Pause(ctx, store, "billing", time.Now().Add(time.Hour)); err != nil {
		log.Fatal(err)
	}
	info, err := g.Info(ctx)
	fmt.Println(!info.PausedUntil.IsZero(), err)
	// Output: true <nil>
}

func ExampleResume() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{})
	if err != nil {
		log.Fatal(err)
	}
	if err := g.Pause(ctx, time.Now().Add(time.Hour)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(consumer.Resume(ctx, store, "billing"))
	// Output: <nil>
}

// The checkpoint keeps what is done in a bucket beside the log: a Follow that begins at
// the beginning leaves it out.
func ExampleWithCheckpoint() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	if err := consumer.EnsureKVCheckpoint(ctx, store, "mail"); err != nil {
		log.Fatal(err)
	}
	marks, err := consumer.OpenKVCheckpoint(ctx, store, "mail")
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		if err := consumer.Follow(ctx, store, consumer.Filter{}, show, consumer.WithCheckpoint(marks), consumer.Workers(1), consumer.UntilLive()); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// run-1 1 execution_started
	// run-2 1 execution_started
	// run-1 2 execution_completed
}

func ExampleEnsureKVCheckpoint() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	fmt.Println(consumer.EnsureKVCheckpoint(ctx, store, "mail"))
	fmt.Println(consumer.EnsureKVCheckpoint(ctx, store, "not a name"))
	// Output:
	// <nil>
	// enact: bucket: "not a name" is not 1 to 200 letters, digits, '_' and '-'
}

// A bucket is made first.
func ExampleOpenKVCheckpoint() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	_, err := consumer.OpenKVCheckpoint(ctx, store, "sms")
	fmt.Println(errors.Is(err, enact.ErrStreamNotFound))
	// Output: true
}

// A group that nobody needs any more leaves nothing on the server.
func ExampleGroup() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()

	g, err := consumer.OpenGroup(ctx, store, "billing", consumer.Parallel, consumer.Filter{})
	if err != nil {
		log.Fatal(err)
	}
	if err := g.Pause(ctx, time.Now().Add(time.Hour)); err != nil { // for a migration
		log.Fatal(err)
	}
	fmt.Println(g.Resume(ctx))
	fmt.Println(g.Remove(ctx))
	infos, err := consumer.List(ctx, store)
	fmt.Println(len(infos), err)
	// Output:
	// <nil>
	// <nil>
	// 0 <nil>
}

// A handler of one's own loop asks the checkpoint before it does anything, and tells it
// afterwards.
func ExampleCheckpoint() {
	ctx := context.Background()
	store, end := examples().open()
	defer end()
	if err := consumer.EnsureKVCheckpoint(ctx, store, "letters"); err != nil {
		log.Fatal(err)
	}
	marks, err := consumer.OpenKVCheckpoint(ctx, store, "letters")
	if err != nil {
		log.Fatal(err)
	}

	for range 2 {
		for ev, err := range consumer.Tail(ctx, store.Execution("acme", "run-1"), 0, consumer.UntilEnd()) {
			if err != nil {
				log.Fatal(err)
			}
			done, err := marks.Done(ctx, ev)
			if err != nil {
				log.Fatal(err)
			}
			if done {
				continue
			}
			fmt.Println("letter about", ev.Event.Type())
			if err := marks.Save(ctx, ev); err != nil {
				log.Fatal(err)
			}
		}
	}
	// Output:
	// letter about execution_started
	// letter about execution_completed
}

// A filter that comes from a user is checked before anything is opened with it.
func ExampleFilter() {
	fmt.Println(consumer.Filter{Tenants: []enact.TenantID{"acme"}, Types: []string{enact.TypeExecutionFailed}}.Validate())
	fmt.Println(consumer.Filter{Tenants: []enact.TenantID{""}}.Validate())
	// Output:
	// <nil>
	// enact: tenant id "" is empty
}
