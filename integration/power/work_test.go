package power

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

const tenant = enact.TenantID("acme")

// patience bounds what should take a moment; nothing waits for it unless something is wrong.
const patience = 3 * time.Minute

// appenders is how many append at a time, each to an execution of its own.
const appenders = 6

// history is what an execution was asked to hold. One appender at a time writes it.
type history struct {
	execution enact.ExecutionID
	made      int      // events, to tell each from all others
	padding   string   // makes its events larger
	acked     []string // reasons of the events that were acknowledged, in order
	pending   []string // of those sent last, while it is not known whether they are stored
	unknown   *enact.UnknownOutcomeError
}

// next returns events for an append: one, a batch that is one record, or a batch that is a
// transaction of as many records as events.
func (h *history) next(r *rand.Rand) ([]enact.Event, []enact.AppendOption) {
	n, opts := 1, []enact.AppendOption(nil)
	switch r.IntN(4) {
	case 0:
		n = 2 + r.IntN(30)
	case 1:
		n, opts = 2+r.IntN(30), append(opts, enact.WithOneEventPerRecord())
	}
	var events []enact.Event
	h.pending = nil
	for range n {
		h.made++
		reason := fmt.Sprintf("%s/%d%s", h.execution, h.made, h.padding)
		h.pending = append(h.pending, reason)
		events = append(events, enact.ExecutionPaused{Reason: reason})
	}
	return events, opts
}

// settled notes whether what was pending is stored.
func (h *history) settled(stored bool) {
	if stored {
		h.acked = append(h.acked, h.pending...)
	}
	h.pending, h.unknown = nil, nil
}

// work is what is asked of a log over the rounds of a test.
type work struct {
	histories []*history
	random    *rand.Rand
	appends   atomic.Int64 // acknowledged
	damage    bool         // histories may be corrupt, and then count as lost
}

func newWork(t *testing.T) *work {
	t.Helper()
	return &work{random: newRandom(t)}
}

// renew turns to new executions, which keeps what a round reads small.
func (w *work) renew() {
	w.histories = nil
	for range appenders {
		w.histories = append(w.histories, &history{execution: enact.NewExecutionID()})
	}
}

// run appends until a number of appends was acknowledged and cut, called then, has
// returned. What is under way then is broken off. An append that is refused is an error.
func (w *work) run(t *testing.T, s *jetstore.Store, cut func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	due := make(chan struct{})
	left := new(atomic.Int64)
	left.Store(int64(40 + w.random.IntN(80)))
	var wg sync.WaitGroup
	errs := make([]error, len(w.histories))
	for i, h := range w.histories {
		random := rand.New(rand.NewPCG(w.random.Uint64(), 0))
		wg.Go(func() {
			for errs[i] == nil && ctx.Err() == nil && h.unknown == nil {
				if errs[i] = w.append(ctx, s, h, random); len(h.pending) == 0 && left.Add(-1) == 0 {
					close(due)
				}
			}
		})
	}
	select {
	case <-due:
	case <-ctx.Done():
	}
	// The moment within an append is as random as the clock.
	<-time.After(time.Duration(w.random.Int64N(int64(10 * time.Millisecond))))
	cut()
	cancel()
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.LessOrEqual(t, left.Load(), int64(0), "too few appends were acknowledged")
}

func (w *work) append(ctx context.Context, s *jetstore.Store, h *history, random *rand.Rand) error {
	events, opts := h.next(random)
	_, err := s.AppendBatch(ctx, h.execution, tenant, events, opts...)
	unknown, isUnknown := errors.AsType[*enact.UnknownOutcomeError](err)
	switch {
	case err == nil:
		w.appends.Add(1)
		h.settled(true)
	case isUnknown:
		h.unknown = unknown
	case errors.Is(err, context.Canceled):
		h.settled(false) // it was not sent
	default:
		return fmt.Errorf("append to %s: %w", h.execution, err)
	}
	return nil
}

// settle resolves what is unknown.
func (w *work) settle(t *testing.T, s *jetstore.Store) {
	t.Helper()
	for _, h := range w.histories {
		if h.unknown == nil {
			continue
		}
		_, err := s.Resolve(t.Context(), h.unknown)
		if !errors.Is(err, enact.ErrConflict) {
			require.NoError(t, err)
		}
		h.settled(err == nil)
	}
}

// lost returns how many acknowledged events are not there. Anything else that is not as it
// was asked for fails the test: an event out of place, one that nobody appended, half a batch.
func (w *work) lost(t *testing.T, s *jetstore.Store) int {
	t.Helper()
	lost := 0
	for _, h := range w.histories {
		loaded, err := s.LoadEvents(t.Context(), h.execution, enact.InTenant(tenant))
		if w.damage && errors.Is(err, enact.ErrCorrupt) {
			lost += len(h.acked)
			continue
		}
		require.NoError(t, err)
		want := append(h.acked[:len(h.acked):len(h.acked)], h.pending...)
		require.LessOrEqual(t, len(loaded), len(want), "there are events that nobody appended")
		for i, ev := range loaded {
			require.Equal(t, uint64(i+1), ev.Sequence)
			require.Equal(t, enact.ExecutionPaused{Reason: want[i]}, ev.Event)
		}
		switch len(loaded) {
		case len(h.acked):
			h.settled(false)
		case len(want):
			h.settled(true)
		default:
			require.Less(t, len(loaded), len(h.acked), "of the last append a part is there")
			lost += len(h.acked) - len(loaded)
		}
	}
	return lost
}

// events returns how many events were acknowledged.
func (w *work) events() int {
	n := 0
	for _, h := range w.histories {
		n += len(h.acked)
	}
	return n
}

func soon() nats.Option {
	return func(o *nats.Options) error {
		o.ReconnectWait, o.ReconnectJitter = 20*time.Millisecond, 5*time.Millisecond
		// Lost connections are what the tests are about: nothing to print.
		o.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {}
		return nil
	}
}

// ensure makes the log's streams at url.
func ensure(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
}

// open opens the log at url; close must be called when it is not used any more.
func open(t *testing.T, url string) (_ *jetstore.Store, close func()) {
	t.Helper()
	s, err := jetstore.Connect(t.Context(), url, jetstore.WithNATS(soon()))
	require.NoError(t, err)
	return s, func() { shutDown(t, s) }
}

func shutDown(t *testing.T, s *jetstore.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
}
