package loggen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

// Log is where a plan's records go: streams that jetstore.EnsureStream has made, and
// that are empty.
type Log struct {
	Conn     *nats.Conn
	Stream   string // "": jetstore.DefaultStream
	Subjects enact.Subjects
}

// history is what is known of an execution while it is being written.
type history struct {
	origin uuid.UUID
	tail   record.Tail
	last   int // number of the log's records up to its last one; 0: it has none
	turn   int // records so far
}

// Publish writes the plan's records and their index entries and waits until all are
// acknowledged, each at the position that was meant. On an error the log is unfinished.
func (p *Plan) Publish(ctx context.Context, l Log) error {
	if l.Stream == "" {
		l.Stream = jetstore.DefaultStream
	}
	g := &generator{
		Plan: p, subjects: l.Subjects, random: rand.New(rand.NewPCG(p.shape.Seed, 2)),
		histories: make([]history, len(p.executions)), at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	g.text = words(g.random, 64<<10)
	ids := rand.NewChaCha8([32]byte{byte(p.shape.Seed)})
	var err error
	for i := range g.histories {
		if g.histories[i].origin, err = uuid.NewV7FromReader(ids); err != nil {
			return err
		}
	}
	g.ids = ids
	if err := g.writeIndex(ctx, l); err != nil {
		return fmt.Errorf("loggen: index: %w", err)
	}
	if err := g.writeLog(ctx, l); err != nil {
		return fmt.Errorf("loggen: log: %w", err)
	}
	return nil
}

type generator struct {
	*Plan
	subjects  enact.Subjects
	random    *rand.Rand
	ids       *rand.ChaCha8
	histories []history
	at        time.Time
	text      string
}

func (g *generator) writeIndex(ctx context.Context, l Log) error {
	pub, err := newPublisher(ctx, l.Conn, l.Stream+"_INDEX")
	if err != nil {
		return err
	}
	defer pub.close()
	for i, e := range g.executions {
		c := logtest.Creation{Subjects: g.subjects, Tenant: e.TenantID, Execution: e.ExecutionID, Commit: g.histories[i].origin, Time: g.at}
		if err := pub.send(ctx, c.Entry()); err != nil {
			return err
		}
	}
	return pub.await(ctx, len(g.executions))
}

func (g *generator) writeLog(ctx context.Context, l Log) error {
	pub, err := newPublisher(ctx, l.Conn, l.Stream)
	if err != nil {
		return err
	}
	defer pub.close()
	for _, i := range g.order {
		h := &g.histories[i]
		msg, err := g.next(&g.executions[i], h)
		if err != nil {
			return err
		}
		// Replicated streams refuse a check while the record before is in flight, which ends
		// some time after its acknowledgement, but before the next one's.
		if h.last > 0 && h.last == pub.sent {
			err = pub.sendAlone(ctx, msg)
		} else if err = pub.await(ctx, h.last+1); err == nil {
			err = pub.send(ctx, msg)
		}
		if err != nil {
			return err
		}
		h.last = pub.sent
		h.tail = h.tail.Stored(pub.first + uint64(pub.sent) - 1)
	}
	return pub.await(ctx, len(g.order))
}

// next makes an execution's next record, an append of its own.
func (g *generator) next(e *Execution, h *history) (*nats.Msg, error) {
	g.at = g.at.Add(time.Duration(g.random.IntN(int(20 * time.Millisecond))))
	h.turn++
	events := []enact.Event{g.event(e, h.turn)}
	if !e.single && g.random.IntN(5) == 0 {
		for range 1 + g.random.IntN(3) {
			events = append(events, g.event(e, h.turn))
		}
	}
	r := &record.Record{
		TenantID: e.TenantID, ExecutionID: e.ExecutionID, Sequence: h.tail.Sequence + 1,
		Times: make([]time.Time, len(events)), Commit: record.Commit{ID: h.origin, Index: 1, Of: 1},
	}
	for i := range r.Times {
		r.Times[i] = g.at
	}
	var err error
	if h.turn > 1 {
		if r.Commit.ID, err = uuid.NewV7FromReader(g.ids); err != nil {
			return nil, err
		}
	}
	if r.Payload, r.Codec, err = (codec.JSON{}).Encode(context.Background(), nil, r.Place(), events); err != nil {
		return nil, err
	}
	if h.tail, err = r.After(h.tail); err != nil {
		return nil, err
	}
	return r.Message(g.subjects)
}

// inFlight is how many messages may wait for their acknowledgements.
const inFlight = 4000

// publisher sends to one stream, to which nobody else does, and holds each
// acknowledgement against the position that the message must have.
type publisher struct {
	nc      *nats.Conn
	sub     *nats.Subscription
	inbox   string
	acks    chan *nats.Msg
	first   uint64 // position of the first message
	sent    int
	awaited int
}

func newPublisher(ctx context.Context, nc *nats.Conn, stream string) (*publisher, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(silence))
	if err != nil {
		return nil, err
	}
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	state := s.CachedInfo().State
	if state.Msgs > 0 {
		return nil, fmt.Errorf("stream %s has %d messages, it must be empty", stream, state.Msgs)
	}
	p := &publisher{nc: nc, inbox: nc.NewRespInbox(), acks: make(chan *nats.Msg, inFlight), first: state.LastSeq + 1}
	p.sub, err = nc.ChanSubscribe(p.inbox, p.acks)
	return p, err
}

func (p *publisher) close() { _ = p.sub.Unsubscribe() }

// send sends a message, waiting while too many are in flight.
func (p *publisher) send(ctx context.Context, m *nats.Msg) error {
	if err := p.await(ctx, p.sent-inFlight+1); err != nil {
		return err
	}
	m.Reply = p.inbox
	p.sent++
	return p.nc.PublishMsg(m)
}

// codeInFlight is the server's refusal of a check because something of the same subject is
// in flight (server/jetstream_batching.go).
const codeInFlight = 10164

// sendAlone sends a message once nothing is in flight, until it is taken.
func (p *publisher) sendAlone(ctx context.Context, m *nats.Msg) error {
	if err := p.await(ctx, p.sent); err != nil {
		return err
	}
	for {
		if err := p.send(ctx, m); err != nil {
			return err
		}
		err := p.await(ctx, p.sent)
		refused, ok := errors.AsType[*refusal](err)
		if !ok || refused.Code != codeInFlight {
			return err
		}
		p.sent--
	}
}

// ack is the server's answer to a publish.
type ack struct {
	Sequence uint64   `json:"seq"`
	Error    *refusal `json:"error"`
}

type refusal struct {
	Code int    `json:"err_code"`
	Text string `json:"description"`
}

func (r *refusal) Error() string { return fmt.Sprintf("refused: %d %s", r.Code, r.Text) }

// await waits until the first n messages, or all that were sent, are acknowledged.
func (p *publisher) await(ctx context.Context, n int) error {
	for p.awaited < min(n, p.sent) {
		m, err := p.nextAck(ctx)
		if err != nil {
			return err
		}
		var a ack
		switch err := json.Unmarshal(m.Data, &a); {
		case err != nil:
			return fmt.Errorf("message %d was answered with %q", p.awaited+1, m.Data)
		case a.Error != nil:
			return a.Error
		case a.Sequence != p.first+uint64(p.awaited):
			return fmt.Errorf("message %d stands at position %d, not at %d", p.awaited+1, a.Sequence, p.first+uint64(p.awaited))
		}
		p.awaited++
	}
	return nil
}

// silence is how long the next acknowledgement, or another answer, may take.
const silence = 30 * time.Second

func (p *publisher) nextAck(ctx context.Context) (*nats.Msg, error) {
	select {
	case m := <-p.acks:
		return m, nil
	default:
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	select {
	case m := <-p.acks:
		return m, nil
	case <-timer.C:
		return nil, errors.New("no acknowledgement")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
