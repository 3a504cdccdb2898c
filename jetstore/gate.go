package jetstore

import (
	"context"
	"errors"
	"sync"

	"github.com/enactlog/enact"
)

// gate counts the calls in flight, and lets no more in once it is shut.
type gate struct {
	mu     sync.Mutex
	closed bool
	calls  map[*call]struct{} // in flight
	idle   chan struct{}      // closed when none is in flight any more, once the gate is shut
	done   chan struct{}      // closed when shut has finished

	attached sync.WaitGroup // subscribers, see Attach
	closing  chan struct{}  // closed when shut begins
}

// call is a call that is in flight.
type call struct{ cancel context.CancelFunc }

func newGate() *gate {
	return &gate{calls: make(map[*call]struct{}), idle: make(chan struct{}), done: make(chan struct{}), closing: make(chan struct{})}
}

// enter counts a call in; bound makes its context. leave must be called when it is over.
func (g *gate) enter(ctx context.Context, bound func(context.Context) (context.Context, context.CancelFunc)) (_ context.Context, leave func(), err error) {
	err = ctx.Err()
	ctx, cancel := bound(ctx)
	c := &call{cancel}
	g.mu.Lock()
	switch {
	case g.closed:
		err = enact.ErrClosed
	case err == nil:
		g.calls[c] = struct{}{}
	}
	g.mu.Unlock()
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return ctx, func() { g.leave(c) }, nil
}

// untimed bounds a call by nothing but the gate.
func untimed(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

func (g *gate) leave(c *call) {
	c.cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.calls, c)
	if g.closed && len(g.calls) == 0 {
		close(g.idle)
	}
}

// cut ends the contexts of the calls in flight.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.calls {
		c.cancel()
	}
}

// attach counts a subscriber in.
func (g *gate) attach() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return enact.ErrClosed
	}
	g.attached.Add(1)
	return nil
}

// shut lets no more calls in, tells the subscribers to end, waits for them and for the
// calls in flight, and calls finish. When ctx ends, the calls do too, and subscribers are
// no longer waited for. It returns the error of ctx, if that ended first, and that of finish.
// Further calls wait for the first and return nil.
func (g *gate) shut(ctx context.Context, finish func() error) error {
	g.mu.Lock()
	again := g.closed
	g.closed = true
	if !again && len(g.calls) == 0 {
		close(g.idle)
	}
	g.mu.Unlock()
	if again {
		select {
		case <-g.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(g.done)
	close(g.closing)
	left := make(chan struct{})
	go func() {
		defer close(left)
		g.attached.Wait()
	}()
	var late error
	for _, end := range []<-chan struct{}{left, g.idle} {
		select {
		case <-end:
		case <-ctx.Done():
			late = ctx.Err()
		}
	}
	if late != nil {
		g.cut()
		<-g.idle
	}
	if err := finish(); err != nil {
		return errors.Join(late, err)
	}
	return late
}
