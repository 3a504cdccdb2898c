package consumer

import (
	"context"
	"runtime/debug"

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
	switch {
	case panicked != nil:
		panicked.Event, panicked.Attempt = ev, attempt
		return panicked
	case err != nil:
		return &HandlerError{Event: ev, Attempt: attempt, Err: err}
	}
	return nil
}

func (h Handler) try(ctx context.Context, ev enact.StoredEvent) (panicked *HandlerError, err error) {
	defer func() {
		if v := recover(); v != nil {
			panicked = &HandlerError{Panic: v, Stack: debug.Stack()}
		}
	}()
	return nil, h(ctx, ev)
}

// pass hands an event to the handler, unless a checkpoint knows it, and tells the
// checkpoint of it.
func (c *handling) pass(ctx context.Context, h Handler, ev enact.StoredEvent, attempt int) error {
	if c.checkpoint != nil {
		if done, err := c.checkpoint.Done(ctx, ev); err != nil || done {
			return checkpointError(ev, attempt, err)
		}
	}
	if err := h.call(ctx, ev, attempt); err != nil {
		return err
	}
	if c.checkpoint != nil {
		return checkpointError(ev, attempt, c.checkpoint.Save(ctx, ev))
	}
	return nil
}

// checkpointError makes a failed attempt of what a checkpoint returned.
func checkpointError(ev enact.StoredEvent, attempt int, err error) error {
	if err == nil {
		return nil
	}
	return &HandlerError{Event: ev, Attempt: attempt, Err: err}
}
