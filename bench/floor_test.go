package bench

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
)

// handWriter publishes records to a subject of the raw stream as raw messages, with none of
// what an append does beside: no queue, no proofs, no limits. What it takes is the least that
// an append can take.
type handWriter struct {
	rawSubject
	id    enact.ExecutionID
	tail  record.Tail
	ready *nats.Msg
}

func (p *place) handWriter() *handWriter {
	return &handWriter{rawSubject: rawSubject{p: p, subject: "raw." + nuid.Next()}, id: enact.NewExecutionID()}
}

// message makes the record of an event as an append does: its JSON, ids, link, chain value
// and headers.
func (w *handWriter) message(ctx context.Context, event enact.Event) (*nats.Msg, record.Tail, error) {
	events := []enact.Event{event}
	texts, err := enact.Batch{TenantID: "acme", ExecutionID: w.id, Events: events}.Encode()
	if err != nil {
		return nil, record.Tail{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, record.Tail{}, err
	}
	r := &record.Record{
		TenantID: "acme", ExecutionID: w.id, Sequence: w.tail.Sequence + 1,
		Times: []time.Time{time.Now().UTC().Round(0)}, Commit: record.Commit{ID: id, Index: 1, Of: 1},
	}
	if r.Payload, r.Codec, err = codec.EncodeTexts(ctx, codec.JSON{}, nil, r.Place(), events, texts); err != nil {
		return nil, record.Tail{}, err
	}
	tail, err := r.After(w.tail)
	if err != nil {
		return nil, record.Tail{}, err
	}
	msg, _, err := r.MessageFor(w.subject)
	return msg, tail, err
}

// append publishes the record of an event, made on the spot.
func (w *handWriter) append(ctx context.Context, event enact.Event) error {
	var tail record.Tail
	err := w.publish(ctx, func(last uint64) (*jetstream.PubAck, error) {
		w.tail.Position = last
		msg, next, err := w.message(ctx, event)
		if err != nil {
			return nil, err
		}
		tail = next
		return w.p.js.PublishMsg(ctx, msg)
	})
	if err == nil {
		w.tail = tail.Stored(w.last)
	}
	return err
}

// prepare makes the record that again publishes, to a subject which has nothing yet. It is the
// third of a history: its link is an ordinary one.
func (w *handWriter) prepare(ctx context.Context, event enact.Event) error {
	for range 2 {
		if err := w.append(ctx, event); err != nil {
			return err
		}
	}
	w.subject, w.last = "raw."+nuid.Next(), 0
	var err error
	w.ready, _, err = w.message(ctx, event)
	return err
}

// again publishes the headers and payload of the prepared record time and again: what the log
// asks of the server, without any work of the client's.
func (w *handWriter) again(ctx context.Context) error {
	return w.publish(ctx, func(last uint64) (*jetstream.PubAck, error) {
		w.ready.Header[record.HeaderExpected][0] = strconv.FormatUint(last, 10)
		return w.p.js.PublishMsg(ctx, w.ready)
	})
}

// What of an append's time its record takes: an event's record made and published by hand,
// beside a publish with the same check. The floor is that record, ready-made.
func BenchmarkAppendByHand(b *testing.B) { sizes(b, (*place).compareByHand) }

func (p *place) compareByHand(b *testing.B, size int) {
	b.ReportAllocs()
	ctx := context.Background()
	raw, data := p.rawWriter("raw."+nuid.Next()), make([]byte, size)
	event, made, ready := payload(size), p.handWriter(), p.handWriter()
	check(b, ready.prepare(ctx, event))
	compareFloor(b,
		func(int) { check(b, raw(ctx, data)) },
		func(int) { check(b, made.append(ctx, event)) },
		func(int) { check(b, ready.again(ctx)) })
}

// The same of 64 writers at a time.
func BenchmarkWritersByHand(b *testing.B) {
	places(b, func(b *testing.B, p *place) { p.compareWritersByHand(b) })
}

func (p *place) compareWritersByHand(b *testing.B) {
	writers := make([]func() error, writersAtOnce)
	for i := range writers {
		w, event := p.handWriter(), payload(256)
		writers[i] = func() error { return w.append(context.Background(), event) }
	}
	p.compareAtOnce(b, writers)
}

// What of the time from an append to a subscriber its record takes: it is made by hand,
// published, and parsed, checked and decoded by a raw ordered consumer, beside a raw publish
// and that consumer. The floor is the record, ready-made.
func BenchmarkLatencyByHand(b *testing.B) {
	for _, at := range subscriberPlaces {
		b.Run(at, func(b *testing.B) { placeNamed(b, at).compareLatencyByHand(b) })
	}
}

func (p *place) compareLatencyByHand(b *testing.B) {
	event := payload(256)
	byHand := func() (once func() time.Duration, stop func()) {
		w, chain := p.handWriter(), enact.Chain{}
		subject := p.store.Subjects().Execution("acme", w.id)
		publish := func(ctx context.Context) error { return w.append(ctx, event) }
		return p.rawLatency(b, p.rawOrdered, w.subject, publish, func(m jetstream.Msg) {
			meta, err := m.Metadata()
			check(b, err)
			r, err := record.Parse(p.store.Subjects(), subject, meta.Sequence.Stream, m.Headers(), m.Data())
			check(b, err)
			if !r.Follows(chain) {
				b.Error("broken chain")
			}
			chain = r.Link.Chain
			_, err = r.Events(context.Background(), p.store.Codecs())
			check(b, err)
		})
	}
	p.compareLatencies(b, byHand, p.readyLatency(b, p.rawOrdered))
}
