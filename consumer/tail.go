package consumer

import (
	"context"
	"errors"
	"iter"
	"math"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// What a Tail asks the server for at a time.
const (
	tailBatch = 64
	tailBytes = 1 << 20
)

// tailConfig is what the options of a Tail come to.
type tailConfig struct {
	common
	untilEnd bool
	caughtUp func(uint64)
}

// UntilEnd ends the tail after a terminal event: completed, failed or cancelled.
func UntilEnd() TailOption {
	return tailOption(func(c *tailConfig) error {
		c.untilEnd = true
		return nil
	})
}

// OnCaughtUp calls f once, in the goroutine that ranges over the tail, when all
// events that existed when the tail began have been yielded; sequence is the last
// of them, or what the tail began after.
func OnCaughtUp(f func(sequence uint64)) TailOption {
	return tailOption(func(c *tailConfig) error {
		c.caughtUp = f
		return nil
	})
}

// Tail yields the execution's events with a sequence greater than after: first those
// that exist, then, as they are appended, those to come, as one sequence without
// holes or repeats. The execution need not exist yet. Each range over the sequence
// starts at after again.
//
// A tail that has begun waits for servers that are away. It ends when its context
// does, which is no error; with [UntilEnd] after a terminal event; or with an error,
// yielded once and last beside a zero event: an [*enact.OptionError], those of
// enact.Reader, enact.ErrNotPermitted where a consumer may not be made,
// enact.ErrStreamNotFound, a [*StreamChangedError] when the stream is made anew
// meanwhile, and enact.ErrClosed when the store is shut down. Breaking off frees
// everything, on the server too.
//
// A tail has no goroutine of its own. In memory it holds what it has asked the server
// for, at most 1.5 MiB or one record, and a page of the history while it reads that.
func Tail(ctx context.Context, run jetstore.Execution, after uint64, opts ...TailOption) iter.Seq2[enact.StoredEvent, error] {
	return func(yield func(enact.StoredEvent, error) bool) {
		cfg := tailConfig{common: newCommon()}
		for _, opt := range opts {
			if opt == nil {
				continue
			}
			if err := opt.tail(&cfg); err != nil {
				yield(enact.StoredEvent{}, err)
				return
			}
		}
		att, err := run.Attach(ctx)
		if err != nil {
			if err := callersEnd(ctx, err); err != nil {
				yield(enact.StoredEvent{}, err)
			}
			return
		}
		defer att.Close()
		t := &tail{
			reader: reader{site: siteOf(att), store: att.Store()}, run: run, cfg: cfg, yield: yield, last: after,
		}
		if err := t.follow(ctx); err != nil && err != errDone && callersEnd(ctx, err) != nil {
			yield(enact.StoredEvent{}, err)
		}
	}
}

// tail is one range over a Tail. Reads of the store are the authority on what the
// history is; the feed only says that it has grown. What the feed delivers is passed
// on where it is the next record, and is a reason to read where it is anything else.
type tail struct {
	reader
	run   jetstore.Execution
	cfg   tailConfig
	yield func(enact.StoredEvent, error) bool

	last uint64     // sequence of the last event that was yielded, or what the tail began after
	end  enact.Head // of the history as far as it is known; what follows it must continue it
}

// errDone ends a tail without an error: its consumer broke off, or the execution ended.
var errDone = errors.New("consumer: done")

func (t *tail) follow(ctx context.Context) error {
	// Asked before the history is read: what is appended behind it the feed delivers. And
	// asked of the server, not of what another subscriber was told: the stream may have been
	// made anew since.
	state, err := retry(ctx, t, func() (jetstore.StreamState, error) { return t.State(ctx, 0) })
	if err != nil {
		return err
	}
	if _, err := t.catchUp(ctx); err != nil {
		return err
	}
	if t.cfg.untilEnd && t.end.Sequence == t.last {
		// It may have ended with what the tail begins after.
		if err := t.ended(ctx); err != nil {
			return err
		}
	}
	if t.cfg.caughtUp != nil {
		err := guarded(func() error {
			t.cfg.caughtUp(t.last)
			return nil
		})
		if err != nil {
			return err
		}
	}
	feed := &feed{site: t.site, incarnation: state.Incarnation, position: max(t.end.Position, state.Last), cfg: feedConfig{
		common: t.cfg.common, kind: KindTail, batch: tailBatch, bytes: tailBytes,
		filters: []string{t.store.Subjects().Execution(t.run.Tenant(), t.run.ID())},
	}}
	defer feed.close(ctx)
	made := 0
	var items []item
	for {
		if items, err = feed.next(ctx, items[:0], tailBatch); err != nil {
			return err
		}
		for _, m := range items {
			if err := t.deliver(ctx, m); err != nil {
				return err
			}
		}
		if feed.made > made {
			// A consumer that is new may be on a replica that is behind.
			made = feed.made
			if err := t.patiently(ctx, 0); err != nil {
				return err
			}
		}
	}
}

// deliver passes on the events of a record if they are the next ones.
func (t *tail) deliver(ctx context.Context, m item) error {
	r, err := t.parse(m.Msg, m.position)
	switch {
	case err != nil:
		// The store says what is wrong with the history, and where; if it says nothing,
		// the record was none of it.
		if err := t.patiently(ctx, 0); err != nil {
			return err
		}
		return err
	case r.Commit.Index < r.Commit.Of:
		return nil // its last record brings the whole
	case r.Position <= t.end.Position:
		return nil
	case r.Sequence != t.end.Sequence+1 || r.Previous() != t.end.Position || !r.Follows(t.end.Chain):
		return t.patiently(ctx, r.Position)
	}
	events, err := r.Events(ctx, t.store.Codecs())
	if err != nil {
		return err
	}
	t.end.Sequence, t.end.Position, t.end.Chain = r.Last(), r.Position, r.Link.Chain
	for _, ev := range events {
		if err := t.pass(ctx, ev); err != nil {
			return err
		}
	}
	return nil
}

// patiently catches up until the history reaches a position that has been seen, as often as
// the servers are away for longer than the store waits, or answer with an older end of it.
func (t *tail) patiently(ctx context.Context, position uint64) error {
	for p := (pause{}); ; {
		reached, err := t.catchUp(ctx)
		if err == nil && reached >= position || err != nil && !away(ctx, err) {
			return err
		}
		if err := p.wait(ctx, t); err != nil {
			return err
		}
	}
}

// catchUp yields what the store holds beyond the last event that was yielded, and returns
// the position of the history's last record.
func (t *tail) catchUp(ctx context.Context) (reached uint64, err error) {
	head, err := t.run.Head(ctx)
	if errors.Is(err, enact.ErrCorrupt) {
		// The history ends with a fault. What is before it is good, and a read gives that first.
		if err := t.read(ctx); err != nil {
			return 0, err
		}
		// The read met no fault: the end is whole by now.
		head, err = t.run.Head(ctx)
	}
	if err != nil || head.Position <= t.end.Position {
		return head.Position, err
	}
	if head.Sequence > t.last {
		// No further than the head, whose chain value is what the next record is checked against.
		limit := int(min(head.Sequence-t.last, math.MaxInt))
		if err := t.read(ctx, enact.AtLeast(head.Sequence), enact.Limit(limit)); err != nil {
			return 0, err
		}
	}
	t.end = head
	return head.Position, nil
}

// read yields what a read gives beyond the last event that was yielded.
func (t *tail) read(ctx context.Context, opts ...enact.ReadOption) error {
	for ev, err := range t.run.Events(ctx, t.last, opts...) {
		if err != nil {
			return err
		}
		if err := t.pass(ctx, ev); err != nil {
			return err
		}
	}
	return nil
}

// ended returns errDone if the last event of the history is a terminal one.
func (t *tail) ended(ctx context.Context) error {
	for ev, err := range t.run.Events(ctx, 0, enact.Backwards(), enact.Limit(1)) {
		if err == nil && enact.Terminal(ev.Event) && ev.Sequence == t.last {
			err = errDone
		}
		return err
	}
	return nil
}

// pass yields one event, unless the tail begins behind it.
func (t *tail) pass(ctx context.Context, ev enact.StoredEvent) error {
	if ev.Sequence <= t.last {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.last = ev.Sequence
	delivered(ctx, t.store, &ev)
	if !t.yield(ev, nil) || t.cfg.untilEnd && enact.Terminal(ev.Event) {
		return errDone
	}
	return nil
}
