package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore/embedded"
)

// panicking is a checkpoint that panics.
type panicking struct{ done, save bool }

func (p *panicking) Done(context.Context, enact.StoredEvent) (bool, error) {
	if p.done {
		panic("in Done")
	}
	return false, nil
}

func (p *panicking) Save(context.Context, enact.StoredEvent) error {
	if p.save {
		panic("in Save")
	}
	return nil
}

// A checkpoint's panic is a failed attempt, as the handler's is.
func TestCheckpointPanics(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	fill(t, s, "acme", 1)
	for text, c := range map[string]*panicking{"in Done": {done: true}, "in Save": {save: true}} {
		err := consumer.Follow(t.Context(), s, consumer.Filter{}, new(seen).handle, consumer.WithCheckpoint(c), consumer.UntilLive())
		require.ErrorIs(t, err, consumer.ErrHandlerPanic)
		failed, ok := errors.AsType[*consumer.HandlerError](err)
		require.True(t, ok)
		require.Equal(t, text, failed.Panic)
		require.Equal(t, uint64(1), failed.Event.Sequence)
		require.Contains(t, string(failed.Stack), "panic_test.go")

		failures := make(chan consumer.Failure, 100)
		g := openGroup(t, s, consumer.Ordered, consumer.WithCheckpoint(c), consumer.Backoff(time.Hour), consumer.OnFailure(func(f consumer.Failure) { failures <- f }))
		stop := member(t, g, new(seen).handle)
		require.ErrorIs(t, (<-failures).Err, consumer.ErrHandlerPanic)
		require.NoError(t, stop())
		require.NoError(t, g.Remove(t.Context()))
	}
	nothingLeft(t, s)
}

// A panic of what else a subscriber was given ends it with an error.
func TestOtherPanics(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	_, err := s.Append(t.Context(), "run", "acme", note(1))
	require.NoError(t, err)
	follow := func(h consumer.Handler, opts ...consumer.FollowOption) func() error {
		return func() error { return consumer.Follow(t.Context(), s, consumer.Filter{}, h, opts...) }
	}
	ok := new(seen).handle
	for name, subscribe := range map[string]func() error{
		"OnCaughtUp": func() (last error) {
			for _, err := range consumer.Tail(t.Context(), s.Execution("acme", "run"), 0, consumer.OnCaughtUp(func(uint64) { panic("OnCaughtUp") })) {
				last = err
			}
			return last
		},
		"OnLive": follow(ok, consumer.OnLive(func(consumer.Token) { panic("OnLive") })),
		"OnProgress": follow(ok, consumer.OnProgress(time.Millisecond, func(context.Context, consumer.Token) error {
			panic("OnProgress")
		})),
		"the last OnProgress": follow(ok, consumer.UntilLive(), consumer.OnProgress(time.Hour, func(context.Context, consumer.Token) error {
			panic("the last OnProgress")
		})),
		"OnFailure": func() error {
			g := openGroup(t, s, consumer.Parallel, consumer.OnFailure(func(consumer.Failure) { panic("OnFailure") }))
			err := g.Run(t.Context(), func(context.Context, enact.StoredEvent) error { return errors.New("no") })
			require.NoError(t, g.Remove(t.Context()))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := subscribe()
			require.ErrorIs(t, err, consumer.ErrPanic)
			failed, ok := errors.AsType[*consumer.PanicError](err)
			require.True(t, ok)
			require.Equal(t, name, failed.Panic)
			require.Contains(t, string(failed.Stack), "panic_test.go")
			nothingLeft(t, s)
		})
	}
	_, err = s.Conn().Request(s.Subjects().Execution("acme", "foreign"), []byte("nobody's record"), patience)
	require.NoError(t, err)
	err = consumer.Follow(t.Context(), s, consumer.Filter{}, ok, consumer.SkipCorrupt(func(error) { panic("SkipCorrupt") }))
	require.ErrorIs(t, err, consumer.ErrPanic)
	nothingLeft(t, s)
}
