package consumer

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/enactlog/enact"
)

// Handler handles one event. It is called from several goroutines, for one execution
// from one at a time. ctx ends when the subscriber does. An error or a panic is a failed
// attempt: it ends a [Follow], and in a [Group] is tried again.
type Handler func(ctx context.Context, ev enact.StoredEvent) error

// attemptKey is the key of the attempt in a handler's context.
type attemptKey struct{}

// Attempt returns how often the event that a handler was called for has been tried, this
// time included: 1, and more in a [Group] whose earlier attempts failed, or whose earlier
// deliveries of the event's record ended without an answer.
func Attempt(ctx context.Context) int {
	if n, ok := ctx.Value(attemptKey{}).(int); ok {
		return n
	}
	return 1
}

// call calls the handler and makes a [*HandlerError] of an error or a panic.
func (h Handler) call(ctx context.Context, ev enact.StoredEvent, attempt int) error {
	if attempt > 1 {
		ctx = context.WithValue(ctx, attemptKey{}, attempt)
	}
	panicked, err := h.try(ctx, ev)
	return failedAttempt(ev, attempt, panicked, err)
}

func (h Handler) try(ctx context.Context, ev enact.StoredEvent) (panicked *PanicError, err error) {
	defer caught(&panicked)
	return nil, h(ctx, ev)
}

// pass hands an event to the handler, unless a checkpoint knows it, and tells the
// checkpoint of it.
func (c *handling) pass(ctx context.Context, h Handler, ev enact.StoredEvent, attempt int) error {
	if c.checkpoint != nil {
		done, panicked, err := c.done(ctx, ev)
		if done || panicked != nil || err != nil {
			return failedAttempt(ev, attempt, panicked, err)
		}
	}
	if err := h.call(ctx, ev, attempt); err != nil {
		return err
	}
	if c.checkpoint != nil {
		panicked, err := c.save(ctx, ev)
		return failedAttempt(ev, attempt, panicked, err)
	}
	return nil
}

func (c *handling) done(ctx context.Context, ev enact.StoredEvent) (done bool, panicked *PanicError, err error) {
	defer caught(&panicked)
	done, err = c.checkpoint.Done(ctx, ev)
	return done, nil, err
}

// save has the checkpoint note an event that was handled. That does not end with the
// subscriber: each stop would cost an event whose effects happen again.
func (c *handling) save(ctx context.Context, ev enact.StoredEvent) (panicked *PanicError, err error) {
	defer caught(&panicked)
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finalTimeout, cancel) })()
	return nil, c.checkpoint.Save(last, ev)
}

// failedAttempt makes a failed attempt of what a handler or a checkpoint returned, or
// panicked with.
func failedAttempt(ev enact.StoredEvent, attempt int, panicked *PanicError, err error) error {
	switch {
	case panicked != nil:
		return &HandlerError{Event: ev, Attempt: attempt, Panic: panicked.Panic, Stack: panicked.Stack}
	case err != nil:
		return &HandlerError{Event: ev, Attempt: attempt, Err: err}
	}
	return nil
}

// caught is to be deferred: it makes an error of a panic.
func caught(panicked **PanicError) {
	if v := recover(); v != nil {
		*panicked = &PanicError{Panic: v, Stack: debug.Stack()}
	}
}

// guarded calls f, and returns its error or its panic.
func guarded(f func() error) error {
	panicked, err := func() (panicked *PanicError, err error) {
		defer caught(&panicked)
		return nil, f()
	}()
	if panicked != nil {
		return panicked
	}
	return err
}
