package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// quiet keeps failures that a test asks for out of the log.
var quiet = consumer.OnFailure(func(consumer.Failure) {})

func openGroup(t *testing.T, s *jetstore.Store, mode consumer.Mode, opts ...consumer.GroupOption) *consumer.Group {
	t.Helper()
	return openNamed(t, s, "billing", mode, opts...)
}

// openNamed opens a group of which neither a member nor its server is taken for lost because the
// machine stands still for a while: what members hold would come again, and what is on its way
// to them as late as AckWait.
func openNamed(t *testing.T, s *jetstore.Store, name string, mode consumer.Mode, opts ...consumer.GroupOption) *consumer.Group {
	t.Helper()
	opts = append([]consumer.GroupOption{
		quiet, consumer.AckWait(time.Hour), consumer.FailoverAfter(time.Hour), consumer.WithHeartbeat(time.Minute),
	}, opts...)
	g, err := consumer.OpenGroup(t.Context(), s, name, mode, consumer.Filter{}, opts...)
	require.NoError(t, err)
	return g
}

// member runs a member until stop is called, which returns what Run did.
func member(t *testing.T, g *consumer.Group, h consumer.Handler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, h) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// idle waits until a group has nothing left to do.
func idle(t *testing.T, g *consumer.Group) {
	t.Helper()
	var info consumer.Info
	natstest.Eventually(t, 20*time.Second, func() bool {
		var err error
		info, err = g.Info(t.Context())
		require.NoError(t, err)
		return info.Lag() == 0
	}, func() string { return fmt.Sprintf("the group has work left: %+v", info) })
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	natstest.Eventually(t, 20*time.Second, cond, func() string { return what })
}

func TestGroupHandlesEverything(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 20)
	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		t.Run(string(mode), func(t *testing.T) {
			g := openNamed(t, s, "g-"+string(mode), mode)
			require.Equal(t, "g-"+string(mode), g.Name())
			var got seen
			stop := member(t, g, got.handle)
			idle(t, g)
			require.NoError(t, stop())
			require.Equal(t, all, got.by)
			if mode == consumer.Ordered {
				for i, ev := range got.events[1:] {
					require.GreaterOrEqual(t, ev.Position, got.events[i].Position)
				}
			}
			info, err := g.Info(t.Context())
			require.NoError(t, err)
			require.Equal(t, consumer.KindGroup, info.Kind)
			require.Equal(t, string(mode), info.Mode)
			require.Zero(t, info.InFlight)
			require.Equal(t, info.Delivered, info.Acknowledged)

			// What was acknowledged does not come again.
			more := s.Execution("acme", enact.ExecutionID("more "+string(mode)))
			_, err = more.Append(t.Context(), note(1))
			require.NoError(t, err)
			got = seen{}
			stop = member(t, g, got.handle)
			eventually(t, "it comes", func() bool { return got.count() > 0 })
			idle(t, g)
			require.NoError(t, stop())
			require.Len(t, got.events, 1)
			require.Equal(t, more.ID(), got.events[0].ExecutionID)
			require.NoError(t, g.Remove(t.Context()))
			_, err = g.Info(t.Context())
			require.ErrorIs(t, err, consumer.ErrNotFound)
			all["acme/"+string(more.ID())], err = more.LoadEvents(t.Context())
			require.NoError(t, err)
		})
	}
	nothingLeft(t, s)
}

// A failed attempt, a panic included, is tried again after a wait; what follows it in the
// execution waits, others do not.
func TestGroupTriesAgain(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 5)
	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		t.Run(string(mode), func(t *testing.T) {
			var mu sync.Mutex
			var failures []consumer.Failure
			g := openGroup(t, s, mode, consumer.Backoff(time.Millisecond, 20*time.Millisecond), consumer.OnFailure(func(f consumer.Failure) {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, f)
			}))
			var got seen
			attempts := 0
			stop := member(t, g, func(ctx context.Context, ev enact.StoredEvent) error {
				if ev.ExecutionID == "acme run 2" && ev.Sequence == 2 {
					if attempts++; attempts == 1 {
						panic("first")
					} else if attempts < 4 {
						return errors.New("not yet")
					}
				}
				return got.handle(ctx, ev)
			})
			idle(t, g)
			require.NoError(t, stop())
			require.Equal(t, all, got.by)
			require.Equal(t, 4, attempts)
			require.Len(t, failures, 3)
			require.ErrorIs(t, failures[0].Err, consumer.ErrHandlerPanic)
			require.ErrorContains(t, failures[2].Err, "not yet")
			for i, wait := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond} {
				require.Equal(t, wait, failures[i].Again)
				require.Equal(t, "billing", failures[i].Group)
				failed, ok := errors.AsType[*consumer.HandlerError](failures[i].Err)
				require.True(t, ok)
				require.Equal(t, i+1, failed.Attempt)
				require.Equal(t, all["acme/acme run 2"][1], failed.Event)
			}
			require.NoError(t, g.Remove(t.Context()))
		})
	}
}

// After so many attempts an event becomes a dead letter, and what follows it is handled.
func TestGroupDeadLetters(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 5)
	_, err := consumer.OpenGroup(t.Context(), s, "billing", consumer.Parallel, consumer.Filter{}, consumer.MaxDeliveries(3))
	require.ErrorIs(t, err, enact.ErrStreamNotFound)
	require.ErrorContains(t, err, s.StreamName()+"_DEAD")
	for _, err := range consumer.DeadLetters(t.Context(), s, "") {
		require.ErrorIs(t, err, enact.ErrStreamNotFound)
	}
	require.NoError(t, consumer.EnsureDeadLetters(t.Context(), s))
	require.NoError(t, consumer.EnsureDeadLetters(t.Context(), s), "again")

	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		t.Run(string(mode), func(t *testing.T) {
			g := openNamed(t, s, "g-"+string(mode), mode, consumer.MaxDeliveries(3), consumer.Backoff(time.Millisecond))
			var got seen
			stop := member(t, g, func(ctx context.Context, ev enact.StoredEvent) error {
				if ev.ExecutionID == "acme run 1" && (ev.Sequence == 2 || ev.Sequence == 3) {
					panic(fmt.Sprint("no ", ev.Sequence))
				}
				return got.handle(ctx, ev)
			})
			idle(t, g)
			require.NoError(t, stop())
			var letters []consumer.DeadLetter
			for letter, err := range consumer.DeadLetters(t.Context(), s, g.Name()) {
				require.NoError(t, err)
				letters = append(letters, letter)
			}
			require.Len(t, letters, 2)
			for i, letter := range letters {
				ev := all["acme/acme run 1"][i+1]
				require.WithinDuration(t, time.Now(), letter.Time, time.Minute)
				require.NotZero(t, letter.Place)
				letter.Time, letter.Place = time.Time{}, 0
				require.Contains(t, letter.Reason, fmt.Sprint("no ", ev.Sequence))
				letter.Reason = ""
				require.Equal(t, consumer.DeadLetter{
					Group: g.Name(), TenantID: "acme", ExecutionID: "acme run 1", Sequence: ev.Sequence, Position: ev.Position,
					Type: ev.Event.Type(), Attempts: 3, Panic: true,
				}, letter)
			}
			for key, events := range all {
				if key == "acme/acme run 1" {
					events = append(append([]enact.StoredEvent(nil), events[0]), events[3:]...)
				}
				require.Equal(t, events, got.by[key])
			}
		})
	}
	n := 0
	for _, err := range consumer.DeadLetters(t.Context(), s, "") {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 4, n)
}

// A member that ends gives back what it has not handled; the next one does not wait.
func TestGroupMemberGivesBack(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 5)
	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		t.Run(string(mode), func(t *testing.T) {
			g := openGroup(t, s, mode)
			began := make(chan struct{}, 100)
			stop := member(t, g, func(ctx context.Context, ev enact.StoredEvent) error {
				began <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
			<-began
			require.NoError(t, stop())
			var got seen
			stop = member(t, g, got.handle)
			idle(t, g)
			require.NoError(t, stop())
			if mode == consumer.Ordered {
				require.Equal(t, all, got.by)
			}
			same(t, all, got.by)
			require.NoError(t, g.Remove(t.Context()))
		})
	}
}

// same requires the same events of the same executions, in any order.
func same(t *testing.T, want, got map[string][]enact.StoredEvent) {
	t.Helper()
	require.Len(t, got, len(want))
	for key, events := range want {
		require.ElementsMatch(t, events, got[key], key)
	}
}

// An error that is not the event's fault ends the member, and gives the event back.
func TestGroupStop(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 2)
	g := openGroup(t, s, consumer.Parallel)
	down := errors.New("the database is down")
	err := g.Run(t.Context(), func(context.Context, enact.StoredEvent) error { return consumer.Stop(down) })
	require.ErrorIs(t, err, down)
	require.ErrorIs(t, err, consumer.ErrHandler)
	require.NoError(t, consumer.Stop(nil))
	var got seen
	stop := member(t, g, got.handle)
	idle(t, g)
	require.NoError(t, stop())
	same(t, all, got.by)
}

// A handler may take longer than the server waits for word. These waits are long enough for a
// machine that stands still for some seconds; the modes wait side by side.
func TestGroupLongHandler(t *testing.T) {
	t.Parallel() // it waits
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	_, err := s.Append(t.Context(), "slow", "acme", note(1))
	require.NoError(t, err)
	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			g, err := consumer.OpenGroup(t.Context(), s, "g-"+string(mode), mode, consumer.Filter{}, quiet,
				consumer.AckWait(12*time.Second), consumer.FailoverAfter(15*time.Second))
			require.NoError(t, err)
			// Of three signs of life in the time that the server waits, the fourth comes behind its end.
			signs := make(chan struct{}, 64)
			sub, err := s.Conn().Subscribe("$JS.ACK.>", func(m *nats.Msg) {
				if strings.Contains(m.Subject, "."+g.Name()+".") && string(m.Data) == "+WPI" {
					signs <- struct{}{}
				}
			})
			require.NoError(t, err)
			defer func() { require.NoError(t, sub.Unsubscribe()) }()
			var got seen
			release := make(chan struct{})
			slow := func(ctx context.Context, ev enact.StoredEvent) error {
				<-release
				return got.handle(ctx, ev)
			}
			stops := []func() error{member(t, g, slow), member(t, g, slow)}
			for range 4 {
				<-signs
			}
			close(release)
			eventually(t, "it is handled", func() bool { return got.count() > 0 })
			idle(t, g)
			for _, stop := range stops {
				require.NoError(t, stop())
			}
			require.Equal(t, 1, got.count(), "the server did not send it again")
		})
	}
}

// The members of a parallel group share the work; of an ordered one only one has any, and
// another takes over when it ends.
func TestGroupMembers(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	const n = 300
	appendAll := func(prefix string) {
		for i := range n {
			_, err := s.Append(t.Context(), enact.ExecutionID(fmt.Sprint(prefix, i)), "acme", note(i))
			require.NoError(t, err)
		}
	}
	appendAll("a")
	var both [2]seen
	// Neither goes on before the other has something, so that none is through before the other
	// has begun; two workers are sent few records ahead.
	var here atomic.Int32
	met := make(chan struct{})
	meeting := func(to *seen) consumer.Handler {
		var arrive sync.Once
		return func(ctx context.Context, ev enact.StoredEvent) error {
			arrive.Do(func() {
				if here.Add(1) == 2 {
					close(met)
				}
			})
			select {
			case <-met:
			case <-ctx.Done():
				return ctx.Err()
			}
			return to.handle(ctx, ev)
		}
	}
	g := openGroup(t, s, consumer.Parallel, consumer.Workers(2))
	stops := []func() error{member(t, g, meeting(&both[0])), member(t, g, meeting(&both[1]))}
	idle(t, g)
	for i, stop := range stops {
		require.NoError(t, stop())
		require.Positive(t, both[i].count())
	}
	require.Equal(t, n, both[0].count()+both[1].count())
	require.NoError(t, g.Remove(t.Context()))

	g = openGroup(t, s, consumer.Ordered)
	both = [2]seen{}
	stops = []func() error{member(t, g, both[0].handle), member(t, g, both[1].handle)}
	idle(t, g)
	require.True(t, both[0].count() == n && both[1].count() == 0 || both[0].count() == 0 && both[1].count() == n)
	info, err := g.Info(t.Context())
	require.NoError(t, err)
	require.True(t, info.Pinned)
	active := 0
	if both[1].count() > 0 {
		active = 1
	}
	require.NoError(t, stops[active]())
	appendAll("b")
	eventually(t, "the other one has all", func() bool { return both[1-active].count() == n })
	require.NoError(t, stops[1-active]())
	require.Equal(t, n, both[0].count())
	require.Equal(t, n, both[1].count())
}

func TestGroupStarts(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	_, err := s.Append(t.Context(), "old", "acme", note(1))
	require.NoError(t, err)
	token, err := consumer.End(t.Context(), s)
	require.NoError(t, err)
	between := time.Now()
	eventually(t, "time passes", func() bool { return time.Since(between) > 5*time.Millisecond })
	_, err = s.Append(t.Context(), "mid", "acme", note(1))
	require.NoError(t, err)
	for name, start := range map[string]consumer.StartOption{
		"beginning": consumer.FromBeginning(), "token": consumer.FromToken(token), "time": consumer.FromTime(between), "now": consumer.FromNow(),
	} {
		openNamed(t, s, name, consumer.Ordered, start)
	}
	_, err = s.Append(t.Context(), "new", "acme", note(1))
	require.NoError(t, err)
	for name, want := range map[string][]string{
		"beginning": {"old", "mid", "new"}, "token": {"mid", "new"}, "time": {"mid", "new"}, "now": {"new"},
	} {
		// The start of a group that exists does not count.
		g := openNamed(t, s, name, consumer.Ordered, consumer.FromBeginning())
		var got seen
		stop := member(t, g, got.handle)
		idle(t, g)
		require.NoError(t, stop())
		var ids []string
		for _, ev := range got.events {
			ids = append(ids, string(ev.ExecutionID))
		}
		require.Equal(t, want, ids, name)
	}
}

func TestGroupSettings(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	fill(t, s, "acme", 1)
	open := func(name string, mode consumer.Mode, filter consumer.Filter, opts ...consumer.GroupOption) error {
		_, err := consumer.OpenGroup(t.Context(), s, name, mode, filter, opts...)
		return err
	}
	all := consumer.Filter{}
	acme := consumer.Filter{Tenants: []enact.TenantID{"acme"}}
	require.NoError(t, open("g", consumer.Parallel, all, nil))
	require.NoError(t, open("g", consumer.Parallel, all, consumer.WithLabel("another")))
	err := open("g", consumer.Parallel, acme, consumer.AckWait(time.Minute), consumer.MaxInFlight(5))
	differs, ok := errors.AsType[*consumer.GroupConfigError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, []consumer.GroupProblem{
		{Setting: "filter_subjects", Have: "[]", Want: "[enact.acme.*]"},
		{Setting: "ack_wait", Have: "30s", Want: "1m0s"},
		{Setting: "max_ack_pending", Have: "1000", Want: "5"},
	}, differs.Problems)
	require.ErrorIs(t, open("g", consumer.Ordered, all), consumer.ErrGroupConfig)

	_, err = consumer.UpdateGroup(t.Context(), s, "g", consumer.Parallel, acme, consumer.AckWait(time.Minute), consumer.MaxInFlight(5))
	require.NoError(t, err)
	require.NoError(t, open("g", consumer.Parallel, acme, consumer.AckWait(time.Minute), consumer.MaxInFlight(5)))
	_, err = consumer.UpdateGroup(t.Context(), s, "g", consumer.Ordered, all)
	require.ErrorIs(t, err, consumer.ErrGroupConfig, "a mode does not change")
	_, err = consumer.UpdateGroup(t.Context(), s, "new", consumer.Ordered, all)
	require.NoError(t, err, "it is made")

	for name, opt := range map[string]consumer.GroupOption{
		"ack wait":   consumer.AckWait(time.Millisecond),
		"backoff":    consumer.Backoff(time.Second, 0),
		"deliveries": consumer.MaxDeliveries(-1),
		"in flight":  consumer.MaxInFlight(-1),
		"failover":   consumer.FailoverAfter(time.Millisecond),
		"zero token": consumer.FromToken(consumer.Token{}),
		"heartbeat":  consumer.WithHeartbeat(-1),
	} {
		require.ErrorIs(t, open("x", consumer.Parallel, all, opt), enact.ErrInvalidOption, name)
	}
	for _, name := range []string{"", "a.b", "a b", "*", "ä", string(make([]byte, 65))} {
		require.ErrorIs(t, open(name, consumer.Parallel, all), enact.ErrInvalidOption, name)
	}
	require.ErrorIs(t, open("x", "sorted", all), enact.ErrInvalidOption)
	require.ErrorIs(t, open("x", consumer.Ordered, consumer.Filter{Tenants: []enact.TenantID{"nobody"}}), consumer.ErrUnknownTenant)
	foreign, err := consumer.End(t.Context(), embedded.ForTest(t, embedded.WithMemoryStorage()))
	require.NoError(t, err)
	require.ErrorIs(t, open("x", consumer.Ordered, all, consumer.FromToken(foreign)), consumer.ErrStreamChanged)
	g, err := consumer.OpenGroup(t.Context(), s, "y", consumer.Ordered, all, consumer.AckWait(0), consumer.Backoff(), consumer.MaxInFlight(0), consumer.FailoverAfter(0), consumer.OnFailure(nil))
	require.NoError(t, err)
	require.ErrorIs(t, g.Run(t.Context(), nil), enact.ErrInvalidOption)
}

// A consumer of somebody else's is left alone.
func TestGroupNameTaken(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	otherConsumer(t, s, "theirs")
	_, err := consumer.OpenGroup(t.Context(), s, "theirs", consumer.Parallel, consumer.Filter{})
	require.ErrorIs(t, err, consumer.ErrGroupConfig)
	require.ErrorContains(t, err, "enact.kind")
	_, err = consumer.UpdateGroup(t.Context(), s, "theirs", consumer.Parallel, consumer.Filter{})
	require.ErrorIs(t, err, consumer.ErrGroupConfig)
}
