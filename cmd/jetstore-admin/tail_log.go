package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
)

// defaultLast is how many events a tail of more than one execution begins with.
const defaultLast = 10

// tailLog prints the events of a tenant, or of all, in the order of the log.
func (a *app) tailLog(ctx context.Context, store *jetstore.Store, flags *tailFlags) error {
	store, err := logOf(ctx, store, &flags.tenant)
	if err != nil {
		return err
	}
	t := &logTail{app: a, store: store, filter: consumer.Filter{Types: flags.types}, w: a.newEventsWriter()}
	t.w.origin = originTenant
	if !flags.all {
		tenant, err := flags.tenant.required()
		if err != nil {
			return err
		}
		t.filter.Tenants, t.w.origin = []enact.TenantID{tenant}, originExecution
	}
	if err := t.w.begin(); err != nil {
		return err
	}
	if err := t.print(ctx, flags); err != nil {
		return err
	}
	if !flags.follow {
		if err := ctx.Err(); err != nil {
			return err // a follow takes it for a wish to end
		}
	}
	if err := t.w.end(); err != nil {
		return err
	}
	if !t.reached.IsZero() {
		// Behind the data, where both go to one terminal.
		if err := a.stdout.Flush(); err != nil {
			return err
		}
		a.notice("to go on from here: --after %s", t.reached)
	}
	return nil
}

// logOf returns the store that holds the log: where each tenant has a stream, its part.
func logOf(ctx context.Context, store *jetstore.Store, tenant *tenantFlag) (*jetstore.Store, error) {
	att, err := store.Attach()
	if err == nil {
		att.Close()
		return store, nil
	}
	if !errors.Is(err, enact.ErrTenantRequired) {
		return nil, err
	}
	if tenant.id == "" {
		return nil, usagef("each tenant has a stream of its own: give --tenant")
	}
	id, err := tenant.required()
	if err != nil {
		return nil, err
	}
	return store.Tenant(ctx, id)
}

// logTail prints what a Follow hands it, one event at a time.
type logTail struct {
	*app
	store   *jetstore.Store
	filter  consumer.Filter
	reached consumer.Token // everything before it was printed

	mu   sync.Mutex // a Follow says from another goroutine that it is live
	w    *eventsWriter
	live bool // each event is shown at once
}

func (t *logTail) print(ctx context.Context, flags *tailFlags) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	opts := []consumer.FollowOption{consumer.OnLive(func(consumer.Token) {
		if err := t.goLive(); err != nil {
			stop(err) // the next event may be far off
		}
	})}
	switch {
	case flags.after != "":
		opts = append(opts, consumer.FromToken(flags.point.token))
	case flags.since != "":
		opts = append(opts, consumer.FromTime(flags.from))
	default:
		last := uint64(defaultLast)
		if flags.fromLast {
			last = flags.last
		}
		if err := t.printLast(ctx, last); err != nil || t.reached.IsZero() || !flags.follow {
			return err
		}
		opts = append(opts, consumer.FromToken(t.reached))
	}
	if !flags.follow {
		opts = append(opts, consumer.UntilLive())
	}
	err := t.follow(ctx, t.event, opts...)
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, ctx.Err()) {
		err = cause
	}
	return err
}

// follow hands events to f in the order of the log, and remembers how far it has come.
func (t *logTail) follow(ctx context.Context, f func(enact.StoredEvent) error, opts ...consumer.FollowOption) error {
	// The one report that is sure to come is the last one.
	keep := consumer.OnProgress(time.Hour, func(_ context.Context, reached consumer.Token) error {
		t.reached = reached
		return nil
	})
	err := consumer.Follow(ctx, t.store, t.filter, func(_ context.Context, ev enact.StoredEvent) error { return f(ev) },
		append(opts, consumer.Workers(1), keep)...)
	if failed, ok := errors.AsType[*consumer.HandlerError](err); ok && failed.Err != nil {
		return failed.Err // the output's
	}
	return err
}

func (t *logTail) event(ev enact.StoredEvent) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.w.event(ev); err != nil || !t.live {
		return err
	}
	return t.stdout.Flush()
}

// goLive shows what was written.
func (t *logTail) goLive() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live = true
	return t.stdout.Flush()
}

// printLast prints the last n events that there are. It looks at a part at the end of the
// log, and at a larger one as long as that has too few.
func (t *logTail) printLast(ctx context.Context, n uint64) error {
	end, err := consumer.End(ctx, t.store)
	if err != nil {
		return err
	}
	if t.reached = end; n == 0 {
		// The filter is looked at all the same.
		return t.follow(ctx, t.event, consumer.FromToken(end), consumer.UntilLive())
	}
	records, err := t.records(ctx)
	if err != nil {
		return err
	}
	for part := max(1000, 2*n); ; part *= 8 {
		var last []enact.StoredEvent // a ring
		seen := uint64(0)
		err := t.follow(ctx, func(ev enact.StoredEvent) error {
			if uint64(len(last)) < n {
				last = append(last, ev)
			} else {
				last[seen%n] = ev
			}
			seen++
			return nil
		}, consumer.FromToken(end.Rewind(part)), consumer.UntilLive())
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if seen < n && part < records {
			continue
		}
		for i := range uint64(len(last)) {
			if err := t.event(last[(seen+i)%uint64(len(last))]); err != nil {
				return err
			}
		}
		return nil
	}
}

// records returns how many records the log has.
func (t *logTail) records(ctx context.Context) (uint64, error) {
	att, err := t.store.Attach()
	if err != nil {
		return 0, err
	}
	defer att.Close()
	state, err := att.State(ctx, 0)
	return state.Last + 1 - state.First, err
}

// sequenceArg reads a sequence of the command line.
func sequenceArg(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, usagef("--after %q is not a sequence: a number from 0", s)
	}
	return n, nil
}

// sinceTime reads a time of the command line, or how long ago it was.
func sinceTime(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, usagef("--since %q is neither a time as in 2006-01-02T15:04:05Z or 2006-01-02, nor a duration as in 90m", s)
}
