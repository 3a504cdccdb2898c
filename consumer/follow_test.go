package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// seen is what a handler was given, in the order of the calls.
type seen struct {
	mu     sync.Mutex
	events []enact.StoredEvent
	by     map[string][]enact.StoredEvent // by tenant and execution
}

func (s *seen) handle(_ context.Context, ev enact.StoredEvent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = make(map[string][]enact.StoredEvent)
	}
	s.events = append(s.events, ev)
	key := string(ev.TenantID) + "/" + string(ev.ExecutionID)
	s.by[key] = append(s.by[key], ev)
	return nil
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

// fill appends to n executions of a tenant, in turn, single events, packed batches and
// staged ones, and returns all events by tenant and execution.
func fill(t *testing.T, s *jetstore.Store, tenant enact.TenantID, n int) map[string][]enact.StoredEvent {
	t.Helper()
	runs := make([]jetstore.Execution, n)
	for i := range runs {
		runs[i] = s.Execution(tenant, enact.ExecutionID(fmt.Sprintf("%s run %d", tenant, i)))
	}
	for round := range 4 {
		for i, run := range runs {
			var err error
			switch (i + round) % 3 {
			case 0:
				_, err = run.Append(t.Context(), note(round))
			case 1:
				_, err = run.AppendBatch(t.Context(), []enact.Event{note(round), enact.ExecutionPaused{Reason: "x"}, note(round)})
			case 2:
				_, err = run.AppendBatch(t.Context(), []enact.Event{note(round), note(1), note(2)}, enact.WithOneEventPerRecord())
			}
			require.NoError(t, err)
		}
	}
	all := make(map[string][]enact.StoredEvent)
	for _, run := range runs {
		events, err := run.LoadEvents(t.Context())
		require.NoError(t, err)
		all[string(tenant)+"/"+string(run.ID())] = events
	}
	return all
}

func TestFollowHistory(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	acme, other := fill(t, s, "acme", 20), fill(t, s, "other", 3)

	for _, workers := range []int{0, 1, 3} {
		var got seen
		require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{Tenants: []enact.TenantID{"acme"}}, got.handle,
			consumer.UntilLive(), consumer.Workers(workers), consumer.VerifyChain()))
		require.Equal(t, acme, got.by)
	}
	var got seen
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{Tenants: []enact.TenantID{"other", "acme", "other"}}, got.handle, consumer.UntilLive()))
	require.Len(t, got.by, len(acme)+len(other))
	got = seen{}
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.UntilLive(), consumer.Workers(1)))
	require.Len(t, got.by, len(acme)+len(other))
	for i, ev := range got.events[1:] {
		require.GreaterOrEqual(t, ev.Position, got.events[i].Position, "one worker sees the log in its order")
	}
	for key, events := range other {
		require.Equal(t, events, got.by[key])
	}
	nothingLeft(t, s)
}

func TestFollowTypes(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 6)
	var got seen
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{Types: []string{enact.TypeExecutionPaused}}, got.handle, consumer.UntilLive()))
	want := 0
	for _, events := range all {
		for _, ev := range events {
			if ev.Event.Type() == enact.TypeExecutionPaused {
				want++
			}
		}
	}
	require.Positive(t, want)
	require.Len(t, got.events, want)
	for _, ev := range got.events {
		require.IsType(t, enact.ExecutionPaused{}, ev.Event)
	}
}

// What is appended while a Follow runs comes to it, of tenants that are new too.
func TestFollowLive(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	fill(t, s, "acme", 2)
	for name, filter := range map[string]consumer.Filter{
		"all":    {},
		"tenant": {Tenants: []enact.TenantID{"later " + enact.TenantID(t.Name())}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tenant := enact.TenantID("later " + t.Name())
			if len(filter.Tenants) > 0 {
				filter.Tenants[0] = tenant
			}
			var got seen
			live := make(chan consumer.Token, 1)
			done := make(chan error, 1)
			go func() {
				done <- consumer.Follow(ctx, s, filter, got.handle, consumer.FromNow(), consumer.AllowNewTenants(), consumer.OnLive(func(t consumer.Token) { live <- t }))
			}()
			require.False(t, (<-live).IsZero())
			want := fill(t, s, tenant, 5)
			total := 0
			for _, events := range want {
				total += len(events)
			}
			natstest.Eventually(t, 20*time.Second, func() bool { return got.count() >= total }, func() string { return fmt.Sprint(got.count(), " of ", total) })
			cancel()
			require.NoError(t, <-done)
			require.Equal(t, want, got.by)
		})
	}
	nothingLeft(t, s)
}

// A Follow that goes on from a token sees what the one before has not, and nothing else,
// wherever that stopped.
func TestFollowGoesOnFromItsToken(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 7)
	total := 0
	for _, events := range all {
		total += len(events)
	}
	var token consumer.Token
	keep := consumer.OnProgress(time.Hour, func(_ context.Context, t consumer.Token) error {
		text, err := t.MarshalText()
		if err == nil {
			err = token.UnmarshalText(text)
		}
		return err
	})
	stop := errors.New("stop")
	var got seen
	start := consumer.FromBeginning()
	for rounds := 0; got.count() < total; rounds++ {
		require.LessOrEqual(t, rounds, total)
		n := 0
		err := consumer.Follow(t.Context(), s, consumer.Filter{}, func(ctx context.Context, ev enact.StoredEvent) error {
			if n++; n > 2 {
				return stop
			}
			return got.handle(ctx, ev)
		}, start, keep, consumer.Workers(1), consumer.UntilLive())
		if n <= 2 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, stop)
		}
		start = consumer.FromToken(token)
	}
	require.Equal(t, all, got.by)

	got = seen{}
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, start, keep, consumer.UntilLive()))
	require.Empty(t, got.events, "the token is behind everything")
	end, err := consumer.End(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, end, token)

	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.FromToken(end.Rewind(1)), consumer.UntilLive()))
	require.NotEmpty(t, got.events)
	got = seen{}
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.FromToken(end.Rewind(1<<60)), consumer.UntilLive()))
	require.Equal(t, all, got.by)
}

// With many workers a token is behind everything that was handled, so that what comes
// again was handled behind something that was not.
func TestFollowTokenWithWorkers(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 30)
	var token consumer.Token
	keep := consumer.OnProgress(time.Millisecond, func(_ context.Context, t consumer.Token) error {
		token = t
		return nil
	})
	var first, second seen
	stop := errors.New("stop")
	stuck := make(chan struct{})
	release := sync.OnceFunc(func() { close(stuck) })
	err := consumer.Follow(t.Context(), s, consumer.Filter{}, func(ctx context.Context, ev enact.StoredEvent) error {
		if ev.ExecutionID == "acme run 3" && ev.Sequence == 2 {
			<-stuck
			return stop
		}
		if err := first.handle(ctx, ev); err != nil {
			return err
		}
		if first.count() >= 60 { // several may see that, and none exactly 60
			release()
		}
		return nil
	}, keep)
	require.ErrorIs(t, err, stop)
	failed, ok := errors.AsType[*consumer.HandlerError](err)
	require.True(t, ok)
	require.Equal(t, all["acme/acme run 3"][1], failed.Event)
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, second.handle, consumer.FromToken(token), consumer.UntilLive()))
	for key, events := range all {
		n := len(first.by[key])
		require.Equal(t, events[:n], append([]enact.StoredEvent{}, first.by[key]...), key)
		again := append([]enact.StoredEvent{}, second.by[key]...)
		require.LessOrEqual(t, len(events)-n, len(again), "nothing is lost of %s", key)
		require.Equal(t, events[len(events)-len(again):], again, key)
	}
}

func TestFollowFromTime(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	before := fill(t, s, "acme", 3)
	between := time.Now()
	natstest.Eventually(t, time.Second, func() bool { return time.Since(between) > 5*time.Millisecond }, func() string { return "" })
	after := fill(t, s, "later", 3)

	for _, filter := range []consumer.Filter{{}, {Tenants: []enact.TenantID{"later"}}} {
		var got seen
		require.NoError(t, consumer.Follow(t.Context(), s, filter, got.handle, consumer.FromTime(between), consumer.UntilLive()))
		require.Equal(t, after, got.by)
	}
	var got seen
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.FromTime(between.Add(-time.Hour)), consumer.UntilLive()))
	require.Len(t, got.by, len(before)+len(after))
	got = seen{}
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.FromTime(time.Now().Add(time.Hour)), consumer.UntilLive()))
	require.Empty(t, got.by)
}

// A batch is handed over whole, also from a start in its middle.
func TestFollowFromTheMiddleOfABatch(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", "batch")
	var events []enact.Event
	for i := range 50 {
		events = append(events, note(i))
	}
	_, err := run.Append(t.Context(), note(0))
	require.NoError(t, err)
	_, err = run.AppendBatch(t.Context(), events, enact.WithOneEventPerRecord())
	require.NoError(t, err)
	all, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	end, err := consumer.End(t.Context(), s)
	require.NoError(t, err)
	for _, back := range []uint64{1, 20, 50} {
		var got seen
		require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.FromToken(end.Rewind(back)), consumer.UntilLive()))
		require.Equal(t, all[1:], got.events)
	}
	var got seen
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.FromToken(end.Rewind(51)), consumer.UntilLive()))
	require.Equal(t, all, got.events)
}

// A batch that is larger than what is kept is read back.
func TestFollowOfALargeBatch(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", "batch")
	blob := make([]byte, 100<<10)
	for i := range blob {
		blob[i] = 'x'
	}
	var events []enact.Event
	for range 80 {
		events = append(events, enact.ExecutionPaused{Reason: string(blob)})
	}
	_, err := run.AppendBatch(t.Context(), events, enact.WithOneEventPerRecord())
	require.NoError(t, err)
	_, err = run.Append(t.Context(), note(0))
	require.NoError(t, err)
	var got seen
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.UntilLive(), consumer.Window(2, 1<<20)))
	want, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got.events)
}

// A slow execution holds up no other, until the window is full; then nothing more is
// taken.
func TestFollowBackPressure(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	const executions, window = 50, 20
	for i := range executions {
		_, err := s.Append(t.Context(), enact.ExecutionID(fmt.Sprint(i)), "acme", note(i))
		require.NoError(t, err)
	}
	release := make(chan struct{})
	var got seen
	done := make(chan error, 1)
	go func() {
		done <- consumer.Follow(t.Context(), s, consumer.Filter{}, func(ctx context.Context, ev enact.StoredEvent) error {
			if ev.ExecutionID == "0" {
				<-release
			}
			return got.handle(ctx, ev)
		}, consumer.Workers(2), consumer.Window(window, 0), consumer.UntilLive())
	}()
	natstest.Eventually(t, 10*time.Second, func() bool { return got.count() == window-1 }, func() string { return fmt.Sprint(got.count()) })
	close(release)
	require.NoError(t, <-done)
	require.Equal(t, executions, got.count())
	require.Equal(t, enact.ExecutionID("0"), got.events[window-1].ExecutionID, "nothing came before it but what the window had room for")
}

// The end of the context is no error, also while the Follow has not begun.
func TestFollowEndsBeforeItBegins(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	fill(t, s, "acme", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, filter := range []consumer.Filter{{}, {Tenants: []enact.TenantID{"acme"}}} {
		require.NoError(t, consumer.Follow(ctx, s, filter, new(seen).handle))
	}
	nothingLeft(t, s)
}

func TestFollowReportsAPanic(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	fill(t, s, "acme", 3)
	err := consumer.Follow(t.Context(), s, consumer.Filter{}, func(context.Context, enact.StoredEvent) error { panic("oops") })
	require.ErrorIs(t, err, consumer.ErrHandlerPanic)
	require.ErrorIs(t, err, consumer.ErrHandler)
	failed, ok := errors.AsType[*consumer.HandlerError](err)
	require.True(t, ok)
	require.Equal(t, "oops", failed.Panic)
	require.Contains(t, string(failed.Stack), "follow_test.go")
	require.Equal(t, uint64(1), failed.Event.Sequence)
	nothingLeft(t, s)
}

func TestFollowRefusesBadInput(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	fill(t, s, "acme", 1)
	handler := new(seen).handle
	follow := func(filter consumer.Filter, opts ...consumer.FollowOption) error {
		return consumer.Follow(t.Context(), s, filter, handler, append(opts, consumer.UntilLive())...)
	}
	for name, opt := range map[string]consumer.FollowOption{
		"heartbeat too short": consumer.WithHeartbeat(time.Millisecond),
		"heartbeat too long":  consumer.WithHeartbeat(time.Hour),
		"label":               consumer.WithLabel("\xff"),
		"zero time":           consumer.FromTime(time.Time{}),
		"zero token":          consumer.FromToken(consumer.Token{}),
		"workers":             consumer.Workers(-1),
		"too many workers":    consumer.Workers(consumer.MaxWorkers + 1),
		"checkpoint":          consumer.WithCheckpoint(nil),
		"window":              consumer.Window(-1, 0),
		"bytes":               consumer.Window(0, -1),
		"cache":               consumer.WithCacheSize(-1),
		"progress":            consumer.OnProgress(time.Second, nil),
		"progress interval":   consumer.OnProgress(0, func(context.Context, consumer.Token) error { return nil }),
		"report":              consumer.SkipCorrupt(nil),
	} {
		require.ErrorIs(t, follow(consumer.Filter{}, opt), enact.ErrInvalidOption, name)
	}
	require.ErrorIs(t, consumer.Follow(t.Context(), s, consumer.Filter{}, nil), enact.ErrInvalidOption)
	require.ErrorIs(t, follow(consumer.Filter{Tenants: []enact.TenantID{""}}), enact.ErrInvalidID)
	require.ErrorIs(t, follow(consumer.Filter{Types: []string{""}}), enact.ErrInvalidOption)
	err := follow(consumer.Filter{Tenants: []enact.TenantID{"acme", "acmee"}})
	unknown, ok := errors.AsType[*consumer.UnknownTenantError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, enact.TenantID("acmee"), unknown.TenantID)
	require.NoError(t, follow(consumer.Filter{Tenants: []enact.TenantID{"acmee"}}, consumer.AllowNewTenants()))

	foreign := embedded.ForTest(t, embedded.WithMemoryStorage())
	token, err := consumer.End(t.Context(), foreign)
	require.NoError(t, err)
	err = follow(consumer.Filter{}, consumer.FromToken(token))
	changed, ok := errors.AsType[*consumer.StreamChangedError](err)
	require.True(t, ok, "%v", err)
	require.NotEqual(t, changed.Want, changed.Have)
	require.NoError(t, follow(consumer.Filter{}, nil))
	nothingLeft(t, s)
}
