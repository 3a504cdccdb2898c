package bench

import (
	"context"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/loggen"
)

// subscriberPlaces are where subscribers are measured.
var subscriberPlaces = []string{"R1-disk", "R1-disk-sync", "R3-disk"}

// perSubscription is how many events a subscriber is measured with before it is replaced
// by another one: on a cluster its consumer's place is the server's choice.
const perSubscription = 200

// From the call of an append to the call of the handler, one event at a time, beside a
// raw publish with the same check and a raw ordered consumer.
func BenchmarkLatency(b *testing.B) {
	for _, at := range subscriberPlaces {
		b.Run(at, func(b *testing.B) {
			p := placeNamed(b, at)
			for _, way := range []struct {
				name string
				run  subscriber
			}{{"Tail", tailing}, {"Follow", following}, {"Group-ordered", member(consumer.Ordered)}, {"Group-parallel", member(consumer.Parallel)}} {
				b.Run(way.name, func(b *testing.B) { p.compareLatency(b, way.run) })
			}
		})
	}
}

// subscriber runs until its context ends and tells when it was handed an execution's
// events.
type subscriber func(ctx context.Context, p *place, id enact.ExecutionID, handled chan<- time.Time) error

// compareLatency alternates the two and reports medians, 99th percentiles and ratios.
func (p *place) compareLatency(b *testing.B, way subscriber) {
	b.Helper()
	var raw, ours func() time.Duration
	stop := func() {}
	var r, o []time.Duration
	for i := 0; b.Loop(); i++ {
		if i%perSubscription == 0 {
			stop()
			var stopRaw, stopOurs func()
			raw, stopRaw = p.rawLatency(b)
			ours, stopOurs = p.latency(b, way)
			stop = func() { stopRaw(); stopOurs() }
		}
		if i%2 == 0 {
			r = append(r, raw())
			o = append(o, ours())
		} else {
			o = append(o, ours())
			r = append(r, raw())
		}
	}
	stop()
	report(b, r, o)
}

// rawLatency starts a raw ordered consumer and returns what publishes to it.
func (p *place) rawLatency(b *testing.B) (once func() time.Duration, stop func()) {
	b.Helper()
	ctx := context.Background()
	subject := "raw." + nuid.Next()
	c, err := p.js.OrderedConsumer(ctx, rawStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, InactiveThreshold: 300 * time.Millisecond,
	})
	check(b, err)
	handled := make(chan time.Time, 1)
	consuming, err := c.Consume(func(jetstream.Msg) { handled <- time.Now() })
	check(b, err)
	publish, data := p.rawWriter(subject), make([]byte, 256)
	once = func() time.Duration {
		began := time.Now()
		check(b, publish(ctx, data))
		return (<-handled).Sub(began)
	}
	once()
	return once, consuming.Stop
}

// latency starts a subscriber and returns what appends to its execution.
func (p *place) latency(b *testing.B, way subscriber) (once func() time.Duration, stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	run := p.store.Execution("acme", enact.NewExecutionID())
	event := payload(256)
	_, err := run.Append(ctx, event)
	check(b, err)
	handled, ended := make(chan time.Time, 1), make(chan error, 1)
	go func() { ended <- way(ctx, p, run.ID(), handled) }()
	<-handled // of the event that is there: the subscriber is live
	once = func() time.Duration {
		began := time.Now()
		_, err := run.Append(ctx, event)
		check(b, err)
		return (<-handled).Sub(began)
	}
	return once, func() {
		cancel()
		check(b, <-ended)
	}
}

func tailing(ctx context.Context, p *place, id enact.ExecutionID, handled chan<- time.Time) error {
	for _, err := range consumer.Tail(ctx, p.store.Execution("acme", id), 0) {
		if err != nil {
			return err
		}
		handled <- time.Now()
	}
	return nil
}

// only returns a handler that tells when it was called for an execution.
func only(id enact.ExecutionID, handled chan<- time.Time) consumer.Handler {
	return func(_ context.Context, ev enact.StoredEvent) error {
		if ev.ExecutionID == id {
			handled <- time.Now()
		}
		return nil
	}
}

func following(ctx context.Context, p *place, id enact.ExecutionID, handled chan<- time.Time) error {
	return consumer.Follow(ctx, p.store, consumer.Filter{}, only(id, handled))
}

func member(mode consumer.Mode) subscriber {
	return func(ctx context.Context, p *place, id enact.ExecutionID, handled chan<- time.Time) error {
		g, err := consumer.OpenGroup(ctx, p.store, "bench-"+string(mode), mode, consumer.Filter{})
		if err != nil {
			return err
		}
		defer func() { _ = g.Remove(context.Background()) }()
		return g.Run(ctx, only(id, handled))
	}
}

// followedEvents is how many events BenchmarkFollow reads each time, unless
// ENACT_BENCH_FOLLOW says otherwise: make bench-follow has a million.
const followedEvents = 50_000

// A Follow of a log from its beginning to its end beside a raw ordered consumer that
// decodes and checks nothing. The events, single ones of 100 to an execution, are those
// of agents at work.
func BenchmarkFollow(b *testing.B) {
	n := followedEvents
	if v := os.Getenv("ENACT_BENCH_FOLLOW"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		check(b, err)
	}
	for _, at := range []string{"R1-disk", "R3-disk"} {
		b.Run(at, func(b *testing.B) {
			p := placeNamed(b, at)
			shape := loggen.Shape{
				Seed: 1, Records: n, Executions: n / 100, Tenants: 10,
				Classes: []loggen.Class{{Name: "agent", Count: n / 100, Min: 100, Gap: 50, Single: true}},
			}
			plan, err := shape.Plan()
			check(b, err)
			check(b, plan.Publish(context.Background(), loggen.Log{Conn: p.nc, Stream: p.store.StreamName(), Subjects: p.store.Subjects()}))
			for _, way := range []struct {
				name string
				opts []consumer.FollowOption
			}{{"checked", nil}, {"chain", []consumer.FollowOption{consumer.VerifyChain()}}, {"one-worker", []consumer.FollowOption{consumer.Workers(1)}}} {
				b.Run(way.name, func(b *testing.B) {
					b.ReportAllocs()
					compare(b,
						func(int) { check(b, p.rawConsumer(p.store.Subjects().All(), n)) },
						func(int) {
							var got atomic.Int64
							check(b, consumer.Follow(context.Background(), p.store, consumer.Filter{},
								func(context.Context, enact.StoredEvent) error { got.Add(1); return nil },
								append(way.opts, consumer.UntilLive())...))
							if int(got.Load()) != n {
								b.Fatal(got.Load())
							}
						})
				})
			}
		})
	}
}
