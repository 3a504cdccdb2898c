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
// raw publish with the same check and a raw ordered consumer. The floor is the record,
// ready-made, which a raw consumer has; of a group one with the group's settings: an ordered
// consumer is told of a message once it is stored, one that keeps its position on three
// servers only once they agree that it is.
func BenchmarkLatency(b *testing.B) {
	for _, at := range subscriberPlaces {
		b.Run(at, func(b *testing.B) {
			p := placeNamed(b, at)
			for _, way := range []struct {
				name  string
				run   subscriber
				floor rawSubscriber
			}{
				{"Tail", tailing, p.rawOrdered},
				{"Follow", following, p.rawOrdered},
				{"Group-ordered", member(consumer.Ordered), p.rawGroup(consumer.Ordered)},
				{"Group-parallel", member(consumer.Parallel), p.rawGroup(consumer.Parallel)},
			} {
				b.Run(way.name, func(b *testing.B) { p.compareLatency(b, way.run, way.floor) })
			}
		})
	}
}

// subscriber runs until its context ends and tells when it was handed an execution's
// events.
type subscriber func(ctx context.Context, p *place, id enact.ExecutionID, handled chan<- time.Time) error

// compareLatency compares a subscriber. least is what its floor is made with.
func (p *place) compareLatency(b *testing.B, way subscriber, least rawSubscriber) {
	b.Helper()
	p.compareLatencies(b, func() (func() time.Duration, func()) { return p.latency(b, way) }, p.readyLatency(b, least))
}

// latencies starts a subscriber and returns what publishes to it.
type latencies func() (once func() time.Duration, stop func())

// compareLatencies alternates raw, ours and the floor, and reports medians, 99th
// percentiles and ratios.
func (p *place) compareLatencies(b *testing.B, ours, least latencies) {
	b.Helper()
	var raws, owns, floors []time.Duration
	var raw, our, floor func() time.Duration
	stop := func() {}
	for i := 0; b.Loop(); i++ {
		if i%perSubscription == 0 {
			stop()
			var stopRaw, stopOurs, stopFloor func()
			raw, stopRaw = p.plainLatency(b)
			our, stopOurs = ours()
			floor, stopFloor = least()
			stop = func() { stopRaw(); stopOurs(); stopFloor() }
		}
		if i%2 == 0 {
			raws = append(raws, raw())
			owns = append(owns, our())
		} else {
			owns = append(owns, our())
			raws = append(raws, raw())
		}
		floors = append(floors, floor())
	}
	stop()
	rawP50, oursP50 := report(b, raws, owns)
	floorP50 := median(floors)
	b.ReportMetric(float64(floorP50)/float64(rawP50), "floor/raw")
	b.ReportMetric(float64(oursP50)/float64(floorP50), "enact/floor")
}

// rawSubscriber hands the messages of a subject to handle until it is stopped.
type rawSubscriber func(ctx context.Context, subject string, handle func(jetstream.Msg)) (stop func(), err error)

func (p *place) rawOrdered(ctx context.Context, subject string, handle func(jetstream.Msg)) (stop func(), err error) {
	c, err := p.js.OrderedConsumer(ctx, rawStream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, InactiveThreshold: 300 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	consuming, err := c.Consume(handle)
	if err != nil {
		return nil, err
	}
	return consuming.Stop, nil
}

// rawGroup is a durable consumer with the settings of a group's.
func (p *place) rawGroup(mode consumer.Mode) rawSubscriber {
	return func(ctx context.Context, subject string, handle func(jetstream.Msg)) (stop func(), err error) {
		cfg := jetstream.ConsumerConfig{
			Durable: nuid.Next(), FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: consumer.DefaultAckWait, MaxDeliver: -1, MaxAckPending: consumer.DefaultInFlightParallel,
		}
		var opts []jetstream.PullConsumeOpt
		if mode == consumer.Ordered {
			const group = "members"
			cfg.MaxAckPending = consumer.DefaultInFlightOrdered
			cfg.PriorityPolicy, cfg.PriorityGroups, cfg.PinnedTTL = jetstream.PriorityPolicyPinned, []string{group}, consumer.DefaultFailover
			opts = append(opts, jetstream.PullPriorityGroup(group))
		}
		c, err := p.js.CreateConsumer(ctx, rawStream, cfg)
		if err != nil {
			return nil, err
		}
		consuming, err := c.Consume(func(m jetstream.Msg) {
			handle(m)
			_ = m.Ack() // what it returns is about the connection, and the next publish says that
		}, opts...)
		if err != nil {
			return nil, err
		}
		return func() {
			consuming.Stop()
			<-consuming.Closed()
			_ = p.js.DeleteConsumer(ctx, rawStream, cfg.Durable) // the server is about to end
		}, nil
	}
}

// rawLatency starts a raw subscriber, which does look with each message before it has it,
// and returns what publishes to it.
func (p *place) rawLatency(b *testing.B, way rawSubscriber, subject string, publish func(context.Context) error, look func(jetstream.Msg)) (once func() time.Duration, stop func()) {
	b.Helper()
	ctx := context.Background()
	handled := make(chan time.Time, 1)
	stop, err := way(ctx, subject, func(m jetstream.Msg) {
		look(m)
		handled <- time.Now()
	})
	check(b, err)
	once = func() time.Duration {
		began := time.Now()
		check(b, publish(ctx))
		return (<-handled).Sub(began)
	}
	once()
	return once, stop
}

func unseen(jetstream.Msg) {}

// plainLatency is that of a raw publish to a raw ordered consumer.
func (p *place) plainLatency(b *testing.B) (once func() time.Duration, stop func()) {
	b.Helper()
	subject, data := "raw."+nuid.Next(), make([]byte, 256)
	publish := p.rawWriter(subject)
	return p.rawLatency(b, p.rawOrdered, subject, func(ctx context.Context) error { return publish(ctx, data) }, unseen)
}

// readyLatency is that of a record, ready-made.
func (p *place) readyLatency(b *testing.B, way rawSubscriber) latencies {
	event := payload(256)
	return func() (once func() time.Duration, stop func()) {
		w := p.handWriter()
		check(b, w.prepare(context.Background(), event))
		return p.rawLatency(b, way, w.subject, w.again, unseen)
	}
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
