package consumer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact/jetstore"
)

// InactiveThreshold is the time after which the server removes the consumer of a Tail
// or Follow that no longer asks for anything.
const InactiveThreshold = time.Minute

// removeTimeout bounds the removal of a consumer at the end of its subscriber.
const removeTimeout = 2 * time.Second

// newConsumerTries is how often a consumer that was just made is asked before it counts
// as gone: on a cluster its first answer may be "no responders", since word of a new
// subscription travels.
const newConsumerTries = 5

// feedConfig is what a feed is made of.
type feedConfig struct {
	common
	kind    Kind
	filters []string // subjects; none: the whole stream
	batch   int      // messages that a request asks for
	bytes   int      // and their most bytes
}

// feed delivers the messages of the stream that match its filters, in the order of
// their positions, each once: a position, and a JetStream consumer without
// acknowledgements that is replaced from that position on whenever it is lost.
// What has been passed on is known by position alone, so that a consumer on a replica
// that is behind, or that a new leader knows nothing of, neither repeats nor skips.
//
// It has no goroutine and belongs to one.
type feed struct {
	site
	cfg         feedConfig
	incarnation string    // of the stream that positions belong to
	position    uint64    // everything up to here that matches the filters has been passed on
	from        time.Time // what was stored before is not passed on; zero: all is
	hurry       bool      // have the server say soon when there is nothing more

	consumer string // name; "": none
	pull     puller
	sequence uint64   // deliveries of the consumer that have come
	proven   bool     // the consumer has answered
	stale    []string // consumers to be removed
	pending  uint64   // messages that the consumer had left, when it last said so
	made     int      // consumers made so far

	checked uint64    // position up to which the leader was asked for what the feed lacks
	owed    uint64    // position of a message that the leader has and the feed lacked; 0: none
	owedAt  time.Time // when that was seen
}

// item is a message with its place.
type item struct {
	*nats.Msg
	position uint64
}

// open makes the first consumer. With a time to begin at, the position follows from it.
func (f *feed) open(ctx context.Context) error {
	_, err := retry(ctx, f, func() (struct{}, error) { return struct{}{}, f.replace(ctx) })
	return err
}

// next waits for messages and appends to buf those that have come, at most limit. It
// returns none, and no error, after a heartbeat and after the consumer was replaced:
// then made has grown. Errors last.
func (f *feed) next(ctx context.Context, buf []item, limit int) ([]item, error) {
	if f.consumer == "" {
		return buf, f.open(ctx)
	}
	for tries := 0; ; {
		a, err := f.pull.next(ctx)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return buf, ctx.Err()
		case errors.Is(err, errGone) && !f.proven && tries < newConsumerTries:
			tries++
			if err := sleep(ctx, f, shortPause*time.Duration(tries)); err != nil {
				return buf, err
			}
			f.pull.asked = 0
			continue
		case lasting(err) || errors.Is(err, errRefused):
			return buf, err
		default:
			f.drop()
			return buf, f.open(ctx)
		}
		f.proven = true
		if a.msg == nil {
			if !f.served(ctx, a) {
				f.drop()
				return buf, f.open(ctx)
			}
			return buf, nil
		}
		first := len(buf)
		for m := a.msg; ; {
			ok := false
			if buf, ok = f.take(buf, m); !ok {
				// The deliveries have a gap: messages were lost on the way. What came before is good.
				f.drop()
				return buf, nil
			}
			if len(buf)-first >= limit {
				return buf, nil
			}
			var more bool
			if m, more, err = f.pull.ready(); err != nil || !more {
				break // next says what the error is
			}
		}
		if len(buf) > first {
			return buf, nil
		}
	}
}

// take appends a message unless it was passed on before. ok is false if deliveries
// before it are missing.
func (f *feed) take(buf []item, m *nats.Msg) (_ []item, ok bool) {
	d, ok := parseDelivery(m.Reply)
	if !ok || d.sequence != f.sequence+1 {
		return buf, false
	}
	f.sequence, f.pending = d.sequence, d.pending
	if d.position <= f.position {
		return buf, true
	}
	f.position = d.position
	if !f.from.IsZero() {
		if time.Unix(0, d.stored).Before(f.from) {
			return buf, true // by a replica that was behind when the time was looked up
		}
		f.from = time.Time{}
	}
	return append(buf, item{Msg: m, position: d.position}), true
}

// served looks at a heartbeat: false if the consumer must be replaced, because a
// delivery was lost, or because it did not deliver within a heartbeat what the leader
// has. A replica that is cut off from the others goes on sending heartbeats.
func (f *feed) served(ctx context.Context, a arrival) bool {
	if a.lastConsumer != f.sequence {
		return false
	}
	// What the consumer has looked at and not delivered, the filters leave out.
	f.position = max(f.position, a.lastStream)
	if f.owed > f.position {
		return time.Since(f.owedAt) < f.cfg.heartbeat
	}
	f.removeStale(ctx)
	f.owed = 0
	state, err := f.State(ctx, f.cfg.heartbeat)
	if err != nil || state.Last <= max(f.checked, f.position) {
		return true // nothing new, or nobody to ask
	}
	owed, err := f.lacks(ctx, max(f.checked, f.position)+1)
	if f.owed, f.owedAt = owed, time.Now(); owed == 0 && err == nil {
		f.checked = state.Last
	}
	return true
}

// lacks asks the leader for the first message from a position on that the feed is
// meant to deliver. It returns 0 if there is none, and an error if it may be that there is
// one before.
func (f *feed) lacks(ctx context.Context, from uint64) (position uint64, failed error) {
	if len(f.cfg.filters) == 0 {
		return from, nil
	}
	for _, filter := range f.cfg.filters {
		var resp struct {
			Message struct {
				Sequence uint64 `json:"seq"`
			} `json:"message"`
		}
		err := f.Request(ctx, "STREAM.MSG.GET."+f.stream, map[string]any{"seq": from, "next_by_subj": filter}, &resp)
		if at := resp.Message.Sequence; err == nil && (position == 0 || at < position) {
			position = at
		}
		if err != nil && !hasCode(err, codeMessageNotFound) && !lasting(err) {
			failed = err
		}
	}
	return position, failed
}

// drop gives the consumer up.
func (f *feed) drop() {
	f.pull.close()
	if f.consumer != "" {
		f.stale = append(f.stale, f.consumer)
		f.consumer = ""
	}
}

// replace makes a consumer that goes on behind the position.
func (f *feed) replace(ctx context.Context) error {
	f.drop()
	name := string(f.cfg.kind) + "-" + nuid.Next()
	cfg := jetstream.ConsumerConfig{
		Name:              name,
		Metadata:          metadata(f.cfg.kind, f.cfg.label),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       f.position + 1,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: InactiveThreshold,
		Replicas:          1,
		MemoryStorage:     true,
	}
	setFilters(&cfg, f.cfg.filters)
	if f.position == 0 && !f.from.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &f.from
	}
	// Sent at all, the request may make a consumer, whatever becomes of the answer.
	f.consumer = name
	// The same name in every try: one that was made and not heard of is found, not doubled.
	info, err := retry(ctx, f, func() (*consumerInfo, error) { return f.createConsumer(ctx, &cfg, "create") })
	if err != nil {
		return err
	}
	// Asked afterwards: had the stream been made anew before, the answer would say so.
	state, err := retry(ctx, f, func() (jetstore.StreamState, error) { return f.State(ctx, 0) })
	if err != nil {
		return err
	}
	if f.incarnation == "" {
		f.incarnation = state.Incarnation
	}
	if state.Incarnation != f.incarnation {
		return &StreamChangedError{Stream: f.stream, Want: f.incarnation, Have: state.Incarnation}
	}
	f.position = max(f.position, info.Delivered.Stream)
	f.sequence, f.pending, f.proven, f.owed, f.checked = 0, info.Pending, false, 0, f.position
	f.pull = puller{
		site: f.site, subject: f.prefix + ".CONSUMER.MSG.NEXT." + f.stream + "." + name,
		batch: f.cfg.batch, bytes: f.cfg.bytes, heartbeat: f.cfg.heartbeat, expiry: expiryFor(f.cfg.heartbeat), hurry: &f.hurry,
	}
	if err := info.bound(&f.pull); err != nil {
		return err
	}
	f.made++
	return f.pull.open(ctx)
}

// close removes what the feed has on the server.
func (f *feed) close(ctx context.Context) {
	f.drop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	for p := (pause{}); ; {
		if f.removeStale(ctx); len(f.stale) == 0 || p.wait(ctx, f) != nil {
			return
		}
	}
}

// removeStale removes consumers that were given up, as far as that is possible just now.
// Where it never is, the inactive threshold does it.
func (f *feed) removeStale(ctx context.Context) {
	f.stale = slices.DeleteFunc(f.stale, func(name string) bool {
		err := f.Request(ctx, "CONSUMER.DELETE."+f.stream+"."+name, nil, nil)
		return err == nil || hasCode(err, codeConsumerNotFound) || lasting(err)
	})
}

// metadata describes a consumer for people.
func metadata(kind Kind, label string) map[string]string {
	m := map[string]string{metaKind: string(kind)}
	if label != "" {
		m[metaLabel] = label
	}
	if kind != KindGroup {
		// Of a group any process may be a member.
		host, _ := os.Hostname()
		m[metaClient] = fmt.Sprintf("%s:%s[%s]", host, filepath.Base(os.Args[0]), strconv.Itoa(os.Getpid()))
	}
	return m
}

// begin makes the first consumer where s says. It returns how many events of the first
// record are not wanted any more, and the position of the log's last record.
func (f *feed) begin(ctx context.Context, s start) (skip, last uint64, err error) {
	state, err := retry(ctx, f, func() (jetstore.StreamState, error) { return f.State(ctx, 0) })
	if err != nil {
		return 0, 0, err
	}
	f.incarnation = state.Incarnation
	switch s.kind {
	case startBeginning:
		f.position = state.First - 1
	case startNow:
		f.position = state.Last
	case startTime:
		f.from = s.time
	case startToken:
		t := s.token
		if err := t.admit(ctx, f, f.stream, state); err != nil {
			return 0, 0, err
		}
		if t.next < state.First {
			// Only Rewind makes such a token: the log loses nothing.
			t.next, t.done = state.First, 0
		}
		f.position, skip = t.next-1, t.done
	}
	return skip, state.Last, f.open(ctx)
}
