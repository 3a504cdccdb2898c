package consumer

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

// TailOption is an option of [Tail].
type TailOption func(*tail)

// UntilEnd ends the tail after a terminal event: completed, failed or cancelled.
func UntilEnd() TailOption { return func(t *tail) { t.untilEnd = true } }

// OnCaughtUp calls f once, in the goroutine that ranges over the tail, when all
// events that existed when the tail began have been yielded; sequence is the last
// of them, 0 if there were none.
func OnCaughtUp(f func(sequence uint64)) TailOption {
	return func(t *tail) { t.caughtUp = f }
}

// Tail yields the execution's events with a sequence greater than after: first those
// that exist, then, as they are appended, those to come, as one sequence without
// holes or repeats. The execution need not exist yet. Each range over the sequence
// starts at after again.
//
// A tail that has begun waits for servers that are away. It ends when its context
// does, which is no error; with [UntilEnd] after a terminal event; or with an error,
// yielded once and last beside a zero event: those of enact.Reader. Breaking off frees everything, on the server too.
func Tail(ctx context.Context, run jetstore.Execution, after uint64, opts ...TailOption) iter.Seq2[enact.StoredEvent, error] {
	return func(yield func(enact.StoredEvent, error) bool) {
		t := &tail{run: run, last: after, yield: yield}
		for _, opt := range opts {
			if opt != nil {
				opt(t)
			}
		}
		// An error that is the caller's own end is not the tail's.
		if err := t.follow(ctx); err != nil && ctx.Err() == nil {
			yield(enact.StoredEvent{}, err)
		}
	}
}

// Times of the live part. The server is asked to speak at least every heartbeat, so
// that a consumer which died is noticed; a consumer that nobody reads is removed by
// the server after the inactive threshold, should its own removal fail.
const (
	heartbeat         = 2 * time.Second
	inactiveThreshold = 30 * time.Second
	removeTimeout     = 2 * time.Second
	maxPause          = time.Second
)

// tail is one range over a Tail. Reads of the store are the authority on what the
// history is; the live consumer only says that it has grown. What the consumer
// delivers is passed on where it is the next record, and is a reason to read where
// it is anything else.
type tail struct {
	run      jetstore.Execution
	untilEnd bool
	caughtUp func(uint64)
	yield    func(enact.StoredEvent, error) bool

	last  uint64 // sequence of the last event yielded
	begun bool   // the history was read once
}

// errDone ends a tail without an error: its consumer broke off, or the execution ended.
var errDone = errors.New("consumer: done")

func (t *tail) follow(ctx context.Context) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, maxPause) {
		position, err := t.catchUp(ctx)
		switch {
		case err == nil:
			t.begun = true
			if t.caughtUp != nil {
				t.caughtUp(t.last)
				t.caughtUp = nil
			}
			began := time.Now()
			err = t.live(ctx, position)
			if time.Since(began) > maxPause {
				pause = 10 * time.Millisecond
			}
		case t.begun && errors.Is(err, context.DeadlineExceeded):
			// The servers are away for longer than the store waits for them.
		case !errors.Is(err, errDone):
			return err
		}
		if errors.Is(err, errDone) {
			return nil
		}
		// The consumer was lost, with its server or its leader: what it missed is read.
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// catchUp yields what the store holds beyond the last event yielded, and returns the
// position of the execution's last record.
func (t *tail) catchUp(ctx context.Context) (position uint64, err error) {
	head, err := t.run.Head(ctx)
	if err != nil {
		return 0, err
	}
	position = head.Position
	if head.Sequence <= t.last {
		return position, nil
	}
	for ev, err := range t.run.Events(ctx, t.last) {
		if err != nil {
			return 0, err
		}
		position = ev.Position
		if err := t.pass(ev); err != nil {
			return 0, err
		}
	}
	return position, nil
}

// pass yields one event, which is the next.
func (t *tail) pass(ev enact.StoredEvent) error {
	t.last = ev.Sequence
	if !t.yield(ev, nil) || t.untilEnd && enact.Terminal(ev.Event) {
		return errDone
	}
	return nil
}

// live passes on what is appended behind position until the consumer is lost.
func (t *tail) live(ctx context.Context, position uint64) (err error) {
	store := t.run.Store()
	js, err := jetstream.NewWithAPIPrefix(store.Conn(), store.APIPrefix())
	if err != nil {
		return err
	}
	subject := store.Subjects().Execution(t.run.Tenant(), t.run.ID())
	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{subject},
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		InactiveThreshold: inactiveThreshold,
		NamePrefix:        "enact-tail-" + nuid.Next(),
	}
	if position > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, position+1
	}
	consumer, err := js.OrderedConsumer(ctx, t.run.StreamName(), cfg)
	if err != nil {
		return err
	}
	defer func() {
		if info := consumer.CachedInfo(); info != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
			defer cancel()
			// Should this fail, the inactive threshold removes it.
			_ = js.DeleteConsumer(ctx, t.run.StreamName(), info.Name)
		}
	}()
	messages, err := consumer.Messages(jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		if err := t.deliver(ctx, msg); err != nil {
			return err
		}
	}
}

// deliver passes on the events of a record if they are the next ones.
func (t *tail) deliver(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	store := t.run.Store()
	r, err := record.Parse(store.Subjects(), msg.Subject(), meta.Sequence.Stream, msg.Headers(), msg.Data())
	switch {
	case err != nil:
		// The store says what is wrong with the history, and where.
		_, err := t.catchUp(ctx)
		return err
	case r.Last() <= t.last:
		return nil
	case r.Commit.Index < r.Commit.Of:
		// A consumer may see part of a staged batch; its last record brings the whole.
		return nil
	case r.Sequence != t.last+1:
		_, err := t.catchUp(ctx)
		return err
	}
	events, err := r.Events(ctx, store.Codecs())
	if err != nil {
		return err
	}
	for _, ev := range events {
		if err := t.pass(ev); err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
