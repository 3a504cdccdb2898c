package consumer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enactlog/enact"
)

// What a Follow asks the server for at a time, and hands on at a time.
const (
	followBatch = 1000
	followBytes = 4 << 20
	handOver    = 128 // records
)

// finalTimeout bounds the last report of progress, for which the subscriber's context
// has ended already.
const finalTimeout = 10 * time.Second

// errLive ends a Follow that is to end there.
var errLive = errors.New("consumer: live")

// follower is a Follow on its way: one goroutine takes records from the feed, gives them
// a place in the window and their unit to the pool; the pool's workers decode, check and
// hand over; one more reports.
type follower struct {
	reader
	cfg     followConfig
	handler Handler
	selects func(enact.Event) bool // nil: all

	feed        *feed
	incarnation string
	target      uint64      // position of the log's last record at the start
	caughtUp    atomic.Bool // all records up to the target were read
	window      *window
	pool        *pool[history, unit]
	reported    Token
	// Subjects of executions that cannot be read, of which nothing more is passed on. The
	// pool may forget such an execution, which then is like any other that is new.
	spoiled sync.Map

	// Of the goroutine that reads.
	begun bool // a record has come
	asm   assembler
	from  Token         // where it began
	units []keyed[unit] // for the pool

	// Under the pool's mutex: positions up to here are before the start, or of executions
	// that were forgotten.
	floor uint64
}

func (f *follower) run(callers context.Context, filter Filter) error {
	if err := filter.check(callers, f.store, f.cfg.newTenants); err != nil {
		return callersEnd(callers, err)
	}
	f.feed = &feed{site: f.site, cfg: feedConfig{
		common: f.cfg.common, kind: KindFollow, filters: filter.subjects(f.store.Subjects()), batch: followBatch, bytes: followBytes,
	}}
	f.feed.hurry = f.cfg.untilLive || f.cfg.live != nil
	defer f.feed.close(callers)
	skip, target, err := f.feed.begin(callers, f.cfg.start)
	if err != nil {
		return callersEnd(callers, err)
	}
	f.target, f.incarnation, f.floor = target, f.feed.incarnation, f.feed.position
	f.from = Token{incarnation: f.incarnation, next: f.feed.position + 1, done: skip}
	f.window = newWindow(f.cfg.window, int64(f.cfg.bytes), f.from.next, f.from.done)

	ctx, stop := context.WithCancelCause(f.within(callers))
	defer stop(nil)
	f.pool = newPool(ctx, poolConfig[history, unit]{
		workers: f.cfg.workers, inOrder: f.cfg.workers == 1, keep: f.cfg.cache,
		run: f.handle, begin: f.remember, forget: f.forget, failed: stop,
	})
	var reports sync.WaitGroup
	reports.Go(func() {
		if err := guarded(func() error { return f.report(ctx) }); err != nil {
			stop(err)
		}
	})
	err = f.read(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // of the end of the reading
	}
	stop(err)
	f.pool.close()
	reports.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(callers), finalTimeout)
	defer cancel()
	reportErr := guarded(func() error { return f.reportProgress(last) })
	if err = callersEnd(callers, err); err == nil || err == errLive {
		err = reportErr
	}
	return err
}

// callersEnd turns an error that is the end of the caller's context into none.
func callersEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, ErrHandler) {
		return nil
	}
	return err
}

// remember is called with what is known of an execution that is new to the pool.
func (f *follower) remember(h *history) { h.floor, h.chained = f.floor, f.cfg.chained }

// forget is called with what was known of an execution that the pool forgets.
func (f *follower) forget(h *history) { f.floor = max(f.floor, h.end()) }

// read takes records from the feed until ctx ends, an error lasts or, if so asked,
// everything is read that there was.
func (f *follower) read(ctx context.Context) error {
	items := make([]item, 0, handOver)
	for {
		if f.asm.open == nil {
			f.window.skip(f.feed.position)
		}
		if f.feed.position >= f.target {
			f.feed.hurry = false
			if !f.caughtUp.Swap(true) {
				f.window.signal()
			}
			if f.cfg.untilLive {
				return f.awaitLive(ctx)
			}
		}
		var err error
		if items, err = f.feed.next(ctx, items[:0], handOver); err != nil {
			return err
		}
		for _, m := range items {
			if err := f.take(ctx, m); err != nil {
				return err
			}
		}
		f.flush()
	}
}

// take gives a record a place in the window and makes it part of a unit.
func (f *follower) take(ctx context.Context, m item) error {
	if !f.begun && f.cfg.start.kind == startTime {
		// What precedes it was stored before that time, also what the consumer's replica did
		// not have yet when the consumer was made. The pool has nothing yet.
		f.floor = max(f.floor, m.position-1)
	}
	f.begun = true
	p, staged := placeOf(m)
	if f.asm.open != nil && !(staged && f.asm.continues(m, p)) {
		f.queue(f.asm.breakOff())
	}
	if f.asm.open == nil {
		e, err := f.place(ctx, m)
		if err != nil {
			return err
		}
		if !staged {
			f.queue(unit{entry: e, one: m, first: m.position, last: m.position})
			return nil
		}
		e.open.Store(true)
		f.asm.begin(m, p, e)
	} else if f.asm.add(m) {
		f.window.release(f.asm.open.entry)
	} else {
		f.window.grow(f.asm.open.entry, m.Size())
	}
	if p.index == p.of {
		f.queue(f.asm.complete())
	}
	return nil
}

// place waits for room in the window. What was taken before must not wait with it.
func (f *follower) place(ctx context.Context, m item) (*entry, error) {
	e := f.window.tryAdd(m.position, m.Size())
	if e == nil {
		f.flush()
		var err error
		if e, err = f.window.add(ctx, m.position, m.Size()); err != nil {
			return nil, err
		}
	}
	if m.position == f.from.next {
		e.events.Store(f.from.done)
	}
	return e, nil
}

func (f *follower) queue(u unit) {
	u.entry.open.Store(false)
	u.entry.last = u.one.position
	u.skip = u.entry.events.Load()
	f.units = append(f.units, keyed[unit]{key: u.one.Subject, unit: u})
}

func (f *follower) flush() {
	f.pool.put(f.units)
	clear(f.units)
	f.units = f.units[:0]
}

// awaitLive waits until everything that was read is handled.
func (f *follower) awaitLive(ctx context.Context) error {
	for !f.isLive() {
		select {
		case <-f.window.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errLive
}

// isLive reports whether everything is handled that the log held at the start. A batch
// that is open when all of that is read was not whole then.
func (f *follower) isLive() bool {
	caughtUp := f.caughtUp.Load()
	next, _, open := f.window.reached()
	return next > f.target || open && caughtUp
}

// handle handles a unit in a worker of the pool.
func (f *follower) handle(ctx context.Context, key string, h *history, u unit) (time.Duration, error) {
	if !f.leftOut(key) {
		err := f.process(ctx, key, h, u)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return 0, nil // it is not done with, and nobody will go on
		case f.cfg.skipReport != nil && unreadable(err):
			f.spoiled.Store(key, nil)
			f.cfg.skipReport(err)
		default:
			return 0, err
		}
	}
	f.window.finish(u.entry)
	return 0, nil
}

// leftOut reports whether nothing more of an execution is handed over.
func (f *follower) leftOut(key string) bool {
	if f.cfg.skipReport == nil {
		return false
	}
	_, spoiled := f.spoiled.Load(key)
	return spoiled
}

// unreadable reports whether an error says that a history cannot be read.
func unreadable(err error) bool {
	return !errors.Is(err, ErrHandler) &&
		(errors.Is(err, enact.ErrCorrupt) || errors.Is(err, enact.ErrUnsupportedVersion) || errors.Is(err, enact.ErrUnknownCodec))
}

// process hands over the events of a unit.
func (f *follower) process(ctx context.Context, key string, h *history, u unit) error {
	n := uint64(0)
	pass := func(ev enact.StoredEvent) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ev.Position >= u.first { // else it was missing before the unit, which it is no part of
			if n++; n <= u.skip {
				return nil
			}
		}
		if f.selects == nil || f.selects(ev.Event) {
			if err := f.cfg.pass(ctx, f.handler, ev, 1); err != nil {
				return err
			}
		}
		u.entry.events.Store(n)
		return nil
	}
	if u.back {
		return f.events(ctx, key, h, u.first, u.last, u.one.position, pass)
	}
	if u.batch == nil {
		return f.record(ctx, key, h, u, u.one, pass)
	}
	for _, m := range u.batch {
		if err := f.record(ctx, key, h, u, m, pass); err != nil {
			return err
		}
	}
	return nil
}

// record hands over the events of one record of a unit. What does not continue the
// history is a reason to read it, up to that record.
func (f *follower) record(ctx context.Context, key string, h *history, u unit, m item, pass func(enact.StoredEvent) error) error {
	r, err := f.parse(m.Msg, m.position)
	if err != nil {
		return err
	}
	if !h.continues(r) {
		return f.events(ctx, key, h, u.first, m.position, m.position, pass)
	}
	events, err := r.Events(ctx, f.store.Codecs())
	if err != nil {
		return err
	}
	for _, ev := range events {
		if err := pass(ev); err != nil {
			return err
		}
	}
	h.pass(r)
	return nil
}

// report tells of progress and of having become live until ctx ends.
func (f *follower) report(ctx context.Context) error {
	var tick <-chan time.Time
	if f.cfg.progress != nil {
		ticker := time.NewTicker(f.cfg.every)
		defer ticker.Stop()
		tick = ticker.C
	}
	var moved chan struct{}
	if f.cfg.live != nil {
		moved = f.window.moved
		f.window.watched.Store(true)
		f.window.signal()
	}
	for tick != nil || moved != nil {
		select {
		case <-moved:
			if f.isLive() {
				moved = nil
				f.window.watched.Store(false)
				f.cfg.live(f.token())
			}
		case <-tick:
			if err := f.reportProgress(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// reportProgress tells how far everything is handled, if that has moved on.
func (f *follower) reportProgress(ctx context.Context) error {
	t := f.token()
	if f.cfg.progress == nil || t == f.reported {
		return nil
	}
	f.reported = t
	return f.cfg.progress(ctx, t)
}

// token returns the point up to which everything is handled.
func (f *follower) token() Token {
	next, done, _ := f.window.reached()
	return Token{incarnation: f.incarnation, next: next, done: done}
}
