package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
)

// One event after another to one execution, against a publish with the same check. The
// floor is the record, ready-made.
func BenchmarkAppend(b *testing.B) { sizes(b, (*place).compareAppend) }

// sizes runs a benchmark with events of 256 B and of 4 KiB in every place.
func sizes(b *testing.B, f func(p *place, b *testing.B, size int)) {
	places(b, func(b *testing.B, p *place) {
		for _, size := range []int{256, 4096} {
			b.Run(sizeName(size), func(b *testing.B) { f(p, b, size) })
		}
	})
}

func (p *place) compareAppend(b *testing.B, size int) {
	b.ReportAllocs()
	ctx := context.Background()
	run := p.store.Execution("acme", enact.NewExecutionID())
	_, err := run.Append(ctx, payload(size))
	check(b, err)
	raw := p.rawWriter("raw." + nuid.Next())
	data, event := make([]byte, size), payload(size)
	ready := p.handWriter()
	check(b, ready.prepare(ctx, event))
	compareFloor(b,
		func(int) { check(b, raw(ctx, data)) },
		func(int) {
			_, err := run.Append(ctx, event)
			check(b, err)
		},
		func(int) { check(b, ready.again(ctx)) })
}

// recordHeaders is about how many bytes a record has beside its payload and the check.
const recordHeaders = 400

// rawWriter returns a publish with the expected-last-subject-sequence check.
func (p *place) rawWriter(subject string) func(context.Context, []byte) error {
	w := rawSubject{p: p, subject: subject}
	return func(ctx context.Context, data []byte) error {
		return w.publish(ctx, func(last uint64) (*jetstream.PubAck, error) {
			return p.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, jetstream.WithExpectLastSequencePerSubject(last))
		})
	}
}

// rawSubject is a subject of the raw stream with one writer.
type rawSubject struct {
	p       *place
	subject string
	last    uint64 // position of its last message
}

// publish sends a message, or a batch, behind the last one. On a cluster the server refuses some
// that are right, and some are sent again by nats.go after they were stored: it goes on from what
// the stream has. So it does where there is no leader for a while.
func (w *rawSubject) publish(ctx context.Context, send func(last uint64) (*jetstream.PubAck, error)) error {
	for began := time.Now(); ; {
		ack, err := send(w.last)
		if err == nil {
			w.last = ack.Sequence
			return nil
		}
		if errors.Is(err, jetstream.ErrNoStreamResponse) && time.Since(began) < patience {
			continue
		}
		refused, ok := errors.AsType[*jetstream.APIError](err)
		if !ok || refused.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence && refused.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequenceConstant {
			return err
		}
		stream, err := w.p.js.Stream(ctx, rawStream)
		if err != nil {
			return err
		}
		m, err := stream.GetLastMsgForSubject(ctx, w.subject)
		switch {
		case err == nil:
			w.last = m.Sequence
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return err
		}
	}
}

// The first event of an execution: absence proof, index entry and record, against
// one publish with a check. The floor is the three requests.
func BenchmarkFirstAppend(b *testing.B) {
	places(b, func(b *testing.B, p *place) { p.compareFirstAppend(b) })
}

func (p *place) compareFirstAppend(b *testing.B) {
	b.ReportAllocs()
	ctx := context.Background()
	data := make([]byte, 256)
	compareFloor(b,
		func(int) { check(b, p.rawWriter("raw."+nuid.Next())(ctx, data)) },
		func(int) {
			_, err := p.store.Execution("acme", enact.NewExecutionID()).Append(ctx, enact.ExecutionStarted{})
			check(b, err)
		},
		func(int) {
			_, err := p.nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+rawStream, []byte(`{"subjects_filter":"raw.none"}`))
			check(b, err)
			for range 2 {
				check(b, p.rawWriter("raw."+nuid.Next())(ctx, data))
			}
		})
}

// Batches against the raw atomic batch of the same events, sent in the two ways there
// are: with the first message acknowledged before the rest is sent, as orbit.go's batch
// publisher does so that a refusal shows early, and without, which saves a round trip.
// The floor is one message of the same bytes.
func BenchmarkBatch(b *testing.B) {
	places(b, func(b *testing.B, p *place) {
		for _, n := range []int{10, 100} {
			for _, ackFirst := range []bool{true, false} {
				b.Run(fmt.Sprintf("%d/first-acked=%t", n, ackFirst), func(b *testing.B) { p.compareBatch(b, n, ackFirst) })
			}
		}
	})
}

func (p *place) compareBatch(b *testing.B, n int, ackFirst bool) {
	b.ReportAllocs()
	ctx := context.Background()
	run := p.store.Execution("acme", enact.NewExecutionID())
	_, err := run.Append(ctx, payload(256))
	check(b, err)
	var events []enact.Event
	for range n {
		events = append(events, payload(256))
	}
	batch := rawBatch{rawSubject: rawSubject{p: p, subject: "raw." + nuid.Next()}, data: make([]byte, 256), n: n, ackFirst: ackFirst}
	same, sameData := p.rawWriter("raw."+nuid.Next()), make([]byte, n*256+recordHeaders)
	compareFloor(b,
		func(int) { check(b, batch.publish(ctx)) },
		func(int) {
			_, err := run.AppendBatch(ctx, events)
			check(b, err)
		},
		func(int) { check(b, same(ctx, sameData)) })
}

// rawBatch publishes atomic batches (ADR-50) to one subject, each checked against the
// one before.
type rawBatch struct {
	rawSubject
	data     []byte
	n        int
	ackFirst bool
}

func (r *rawBatch) publish(ctx context.Context) error {
	return r.rawSubject.publish(ctx, func(last uint64) (*jetstream.PubAck, error) { return r.send(ctx, last) })
}

func (r *rawBatch) send(ctx context.Context, last uint64) (*jetstream.PubAck, error) {
	id := nuid.Next()
	for i := 1; ; i++ {
		m := nats.NewMsg(r.subject)
		m.Data = r.data
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i))
		if i == 1 {
			m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
		}
		switch {
		case i == r.n:
			m.Header.Set("Nats-Batch-Commit", "1")
			return r.p.js.PublishMsg(ctx, m)
		case i == 1 && r.ackFirst:
			if err := r.begin(ctx, m); err != nil {
				return nil, err
			}
		default:
			if err := r.p.nc.PublishMsg(m); err != nil {
				return nil, err
			}
		}
	}
}

// begin sends the first message and waits until it is taken: the answer is empty.
func (r *rawBatch) begin(ctx context.Context, m *nats.Msg) error {
	reply, err := r.p.nc.RequestMsgWithContext(ctx, m)
	if err != nil || len(reply.Data) == 0 {
		return err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil || answer.Error == nil {
		return fmt.Errorf("first message of the batch: %s", reply.Data)
	}
	return answer.Error
}

// 64 writers on as many executions: throughput against raw checked publishes. The floor is
// their records, ready-made.
func BenchmarkWriters(b *testing.B) {
	places(b, func(b *testing.B, p *place) { p.compareWriters(b) })
}

const writersAtOnce = 64

// eachWrites is how many events each of the writers appends.
func eachWrites() int {
	if os.Getenv(smokeVariable) != "" {
		return 2
	}
	return 40
}

func (p *place) compareWriters(b *testing.B) {
	runs := make([]func() error, writersAtOnce)
	for w := range runs {
		run, event := p.store.Execution("acme", enact.NewExecutionID()), payload(256)
		runs[w] = func() error {
			_, err := run.Append(context.Background(), event)
			return err
		}
		check(b, runs[w]())
	}
	p.compareAtOnce(b, runs)
}

// compareAtOnce has as many writers append at a time, beside raw ones.
func (p *place) compareAtOnce(b *testing.B, runs []func() error) {
	b.Helper()
	ctx, data := context.Background(), make([]byte, 256)
	raws, ready := make([]func() error, len(runs)), make([]func() error, len(runs))
	for i := range runs {
		raw, hand := p.rawWriter("raw."+nuid.Next()), p.handWriter()
		check(b, hand.prepare(ctx, payload(256)))
		raws[i] = func() error { return raw(ctx, data) }
		ready[i] = func() error { return hand.again(ctx) }
	}
	each := eachWrites()
	all := func(writers []func() error) func() {
		return func() {
			together(b, len(writers), func(i int) error { return repeat(each, writers[i]) })
		}
	}
	throughputFloor(b, len(runs)*each, all(raws), all(runs), all(ready))
}

// 16 writers on one execution: with records shared between those that wait, against
// writers whose metadata differs, which cannot share.
func BenchmarkSharedExecution(b *testing.B) {
	places(b, func(b *testing.B, p *place) {
		const writers, each = 16, 40
		ctx := context.Background()
		event := payload(256)
		run := p.store.Execution("acme", enact.NewExecutionID())
		_, err := run.Append(ctx, payload(256))
		check(b, err)
		throughput(b, writers*each,
			func() {
				together(b, writers, func(w int) error {
					meta := enact.WithMetadata(map[string]string{"w": strconv.Itoa(w)})
					return repeat(each, func() error {
						_, err := run.Append(ctx, event, meta)
						return err
					})
				})
			},
			func() {
				together(b, writers, func(int) error {
					return repeat(each, func() error {
						_, err := run.Append(ctx, event)
						return err
					})
				})
			})
	})
}

// throughput alternates raw and ours, of n operations each, and reports operations
// per second and their ratio, ours to raw, and returns the medians of the times.
func throughput(b *testing.B, n int, raw, ours func()) (rawTime, ourTime time.Duration) {
	b.Helper()
	return throughputFloor(b, n, raw, ours, nil)
}

// throughputFloor does the same, and reports beside it the ratio to raw of the least that
// the log has to ask of the server.
func throughputFloor(b *testing.B, n int, raw, ours, floor func()) (rawTime, ourTime time.Duration) {
	b.Helper()
	var r, o, f []time.Duration
	for b.Loop() {
		r = append(r, timed(raw))
		o = append(o, timed(ours))
		if floor != nil {
			f = append(f, timed(floor))
		}
	}
	rawTime, ourTime = median(r), median(o)
	b.ReportMetric(float64(n)/rawTime.Seconds(), "raw-op/s")
	b.ReportMetric(float64(n)/ourTime.Seconds(), "enact-op/s")
	b.ReportMetric(rawTime.Seconds()/ourTime.Seconds(), "enact/raw-throughput")
	if floor != nil {
		b.ReportMetric(rawTime.Seconds()/median(f).Seconds(), "floor/raw")
	}
	b.ReportMetric(0, "ns/op")
	return rawTime, ourTime
}

func together(b *testing.B, n int, f func(i int) error) {
	b.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	check(b, errors.Join(errs...))
}

func repeat(n int, f func() error) error {
	for range n {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
