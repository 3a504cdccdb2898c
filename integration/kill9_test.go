package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// roundTimeout bounds a round of the kill test. Nothing waits for it unless something is wrong.
const roundTimeout = 2 * time.Minute

// stayersEvery is how many rounds pass for one in which callers wait for their
// appends. A store gives a request up after 2 s, so those are the slow ones.
const stayersEvery = 8

// executionLife is after how many rounds the appenders turn to new executions, which
// keeps what a round reads small.
const executionLife = 5

// wideWindow makes a store find a key behind several staged batches.
var wideWindow = jetstore.WithKeyWindow(1024)

// A server is killed amid appends, again and again. What it acknowledged is there,
// once, whole and in place; what it did not, ends by itself or is settled by Resolve.
func TestKilledServer(t *testing.T) {
	server := natstest.Start(t, natstest.Options{})
	ensure(t, server.URL())
	k := &killing{
		server: server, ledger: newLedger("a"), random: newRandom(t),
	}
	for range 2 {
		k.stores = append(k.stores, open(t, server.URL(), wideWindow))
	}
	unanswered := 0
	rounds := scaled(15, 500)
	if *full {
		rounds = 50
	}
	// How unanswered appends end is up to the moment of the kill and the machine: where the
	// rounds did not show both ways, more do.
	shown := func() bool { return k.ledger.settledAs(stored) > 0 && k.ledger.settledAs(dead) > 0 }
	round := 0
	for ; round < rounds || !shown() && round < 20*rounds; round++ {
		if round%executionLife == 0 {
			k.executions = []enact.ExecutionID{enact.NewExecutionID(), enact.NewExecutionID(), enact.NewExecutionID()}
		}
		n, err := k.round(t, round%stayersEvery == 0)
		require.NoError(t, err, "round %d", round)
		if n > 0 {
			unanswered++
		}
	}
	ctx := within(t, patience)
	require.NoError(t, k.ledger.verify(ctx, k.stores[0], k.ledger.executions()...))
	t.Logf("%d rounds, %d with unanswered appends: %s", round, unanswered, k.ledger.totals())
	require.Positive(t, unanswered, "no append was under way when the server was killed")
	require.Positive(t, k.ledger.settledAs(stored), "no unanswered append turned out stored")
	require.Positive(t, k.ledger.settledAs(dead), "no unanswered append turned out dead")
}

// killing is the state of the kill test over its rounds.
type killing struct {
	server     *natstest.Server
	stores     []*jetstore.Store
	ledger     *ledger
	random     *rand.Rand
	executions []enact.ExecutionID // that the appenders share
}

// appender makes one append and returns the execution that it was for.
type appender func(ctx context.Context, r *rand.Rand, s *jetstore.Store) (enact.ExecutionID, error)

// round kills the server once and returns how many appends were left unanswered.
// Callers leave as soon as the server is gone, so that their appends are; with
// stayers, every second one sees its append to the end.
func (k *killing) round(t *testing.T, withStayers bool) (unanswered int, err error) {
	ctx := within(t, roundTimeout)
	leaving, leave := context.WithCancel(ctx)
	defer leave()
	var (
		wg      sync.WaitGroup
		killed  = make(chan struct{})
		due     = make(chan struct{}, 1)
		ends    atomic.Int64 // appends that may end before the kill
		mu      sync.Mutex
		touched = make(map[enact.ExecutionID]bool)
		errs    []error
	)
	ends.Store(5 + k.random.Int64N(40))
	appenders := []appender{k.single, k.packed, k.staged, k.staged, k.keyed, k.expecting, k.creation(), k.single}
	for i, a := range append(appenders, appenders...) {
		ctx := ctx
		if !withStayers || i%2 == 0 {
			ctx = leaving
		}
		store := k.stores[i/len(appenders)]
		random := rand.New(rand.NewPCG(k.random.Uint64(), 0))
		wg.Go(func() {
			for open := true; open; {
				execution, err := a(ctx, random, store)
				mu.Lock()
				touched[execution] = true
				errs = append(errs, err)
				mu.Unlock()
				if ends.Add(-1) == 0 {
					due <- struct{}{}
				}
				select {
				case <-killed:
					open = false
				case <-ctx.Done():
					open = false
				default:
				}
			}
		})
	}
	select {
	case <-due:
	case <-ctx.Done():
		return 0, fmt.Errorf("too few appends ended: %w", ctx.Err())
	}
	// The moment within an append is as random as the clock.
	<-time.After(time.Duration(k.random.Int64N(int64(8 * time.Millisecond))))
	k.server.Kill()
	close(killed)
	leave()
	k.server.Start()
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	return k.settle(ctx, t, touched)
}

// settle ends the appends that the round left open, some of them after another
// writer has appended to the same execution, and checks what the round touched.
func (k *killing) settle(ctx context.Context, t *testing.T, touched map[enact.ExecutionID]bool) (unanswered int, err error) {
	// Either a store that lived through the kill or one that knows nothing of it.
	store := k.stores[0]
	if k.random.IntN(2) == 0 {
		store = open(t, k.server.URL(), wideWindow)
		defer shutDown(t, store)
	}
	open := k.ledger.unsettled()
	for _, e := range open {
		if k.random.IntN(2) == 0 {
			if _, err := k.ledger.append(ctx, k.stores[1], e.execution, 1); err != nil {
				return 0, err
			}
		}
		if err := k.ledger.settle(ctx, store, e); err != nil {
			return 0, err
		}
		if e.key != "" && e.outcome == stored {
			if err := k.repeat(ctx, store, e); err != nil {
				return 0, err
			}
		}
	}
	var executions []enact.ExecutionID
	for id := range touched {
		executions = append(executions, id)
	}
	return len(open), k.ledger.verify(ctx, store, executions...)
}

// repeat appends what is stored under a key again, which must be known as a repeat.
func (k *killing) repeat(ctx context.Context, s *jetstore.Store, e *entry) error {
	again, err := s.Commit(ctx, enact.Batch{
		TenantID: tenant, ExecutionID: e.execution, Events: e.events, Options: enact.AppendOptions{IdempotencyKey: e.key},
	})
	if err != nil {
		return fmt.Errorf("repeat of append %s: %w", e.name, err)
	}
	want := e.receipt
	want.Duplicate = true
	if again != want {
		return fmt.Errorf("repeat of append %s: receipt %+v, want %+v", e.name, again, want)
	}
	return nil
}

func (k *killing) any(r *rand.Rand) enact.ExecutionID { return k.executions[r.IntN(len(k.executions))] }

// single appends one event.
func (k *killing) single(ctx context.Context, r *rand.Rand, s *jetstore.Store) (enact.ExecutionID, error) {
	e, err := k.ledger.append(ctx, s, k.any(r), 1)
	return e.execution, err
}

// packed appends a batch that is one record.
func (k *killing) packed(ctx context.Context, r *rand.Rand, s *jetstore.Store) (enact.ExecutionID, error) {
	e, err := k.ledger.append(ctx, s, k.any(r), 2+r.IntN(50))
	return e.execution, err
}

// staged appends a batch that is a transaction of as many records as events.
func (k *killing) staged(ctx context.Context, r *rand.Rand, s *jetstore.Store) (enact.ExecutionID, error) {
	e, err := k.ledger.append(ctx, s, k.any(r), 3+r.IntN(198), enact.WithOneEventPerRecord())
	return e.execution, err
}

// keyed appends a batch under an idempotency key.
func (k *killing) keyed(ctx context.Context, r *rand.Rand, s *jetstore.Store) (enact.ExecutionID, error) {
	e, err := k.ledger.appendKeyed(ctx, s, k.any(r), 1+r.IntN(4))
	return e.execution, err
}

// expecting appends behind the sequence that it has just read.
func (k *killing) expecting(ctx context.Context, r *rand.Rand, s *jetstore.Store) (enact.ExecutionID, error) {
	execution := k.any(r)
	latest, _, err := s.LatestSequence(ctx, execution, enact.InTenant(tenant))
	if errors.Is(err, context.Canceled) {
		return execution, nil
	}
	if err != nil {
		return execution, err
	}
	_, err = k.ledger.append(ctx, s, execution, 1+r.IntN(3), enact.ExpectSequence(latest))
	return execution, err
}

// creation returns an appender that makes executions. Each is asked for twice, by
// whoever come next, of whom one may win.
func (k *killing) creation() appender {
	var mu sync.Mutex
	var next enact.ExecutionID
	take := func() (id enact.ExecutionID) {
		mu.Lock()
		defer mu.Unlock()
		if next != "" {
			id, next = next, ""
			return id
		}
		next = enact.NewExecutionID()
		return next
	}
	return func(ctx context.Context, r *rand.Rand, s *jetstore.Store) (enact.ExecutionID, error) {
		e, err := k.ledger.append(ctx, s, take(), 1+r.IntN(3), enact.ExpectSequence(0))
		return e.execution, err
	}
}
