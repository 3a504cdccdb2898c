package storetest

import (
	"context"
	"errors"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func lifecycle() []sentence {
	return []sentence{
		{"a store has a name", func(f *fixture) {
			require.NotEmpty(f.t, f.store.Name())
			require.Equal(f.t, f.store.Name(), f.openOther().store.Name())
		}},
		{"a store requires the network or works air-gapped", func(f *fixture) {
			require.NotEqual(f.t, f.store.RequiresNetwork(), f.store.SupportsAirGapped())
		}},
		{"an open store is healthy", func(f *fixture) {
			require.NoError(f.t, f.store.HealthCheck(f.ctx))
		}},
		{"a health check whose context has ended returns its error", func(f *fixture) {
			ended, cancel := context.WithCancel(f.ctx)
			cancel()
			require.ErrorIs(f.t, f.store.HealthCheck(ended), context.Canceled)
		}},
		{"Shutdown may be called more than once", func(f *fixture) {
			f = f.openOther()
			require.NoError(f.t, f.store.Shutdown(f.ctx))
			require.NoError(f.t, f.store.Shutdown(f.ctx))
			errs := make([]error, 4)
			together(len(errs), func(i int) { errs[i] = f.store.Shutdown(f.ctx) })
			require.NoError(f.t, errors.Join(errs...))
		}},
		{"after Shutdown every call is ErrClosed", func(f *fixture) {
			f = f.openOther()
			f.append(note(1))
			name, network := f.store.Name(), f.store.RequiresNetwork()
			require.NoError(f.t, f.store.Shutdown(f.ctx))
			for call, run := range everyCall(f) {
				require.ErrorIs(f.t, run(f.ctx), enact.ErrClosed, call)
			}
			require.Equal(f.t, name, f.store.Name())
			require.Equal(f.t, network, f.store.RequiresNetwork())
			require.Equal(f.t, !network, f.store.SupportsAirGapped())
		}},
		{"shutting one store down does not close another", func(f *fixture) {
			f.append(note(1))
			other := f.openOther()
			require.NoError(f.t, other.store.Shutdown(f.ctx))
			require.NoError(f.t, f.store.HealthCheck(f.ctx))
			require.Equal(f.t, uint64(2), f.append(note(2)))
			f.holds(notes(1, 2)...)
		}},
		{"calls in flight during Shutdown succeed or are ErrClosed", testShutdownInFlight},
	}
}

// everyCall returns every method that a closed store refuses.
func everyCall(f *fixture) map[string]func(context.Context) error {
	calls := readers(f.store, f.execution)
	calls["Append"] = func(ctx context.Context) error {
		_, err := f.store.Append(ctx, f.execution, f.tenant, note(1))
		return err
	}
	calls["AppendBatch"] = func(ctx context.Context) error {
		_, err := f.store.AppendBatch(ctx, f.execution, f.tenant, notes(1, 2))
		return err
	}
	calls["ListExecutions"] = func(ctx context.Context) error {
		_, err := f.store.ListExecutions(ctx, f.tenant, 0, 0)
		return err
	}
	calls["HealthCheck"] = f.store.HealthCheck
	if c, ok := f.store.(enact.Committer); ok {
		calls["Commit"] = func(ctx context.Context) error {
			_, err := c.Commit(ctx, f.batch(note(1)))
			return err
		}
	}
	if q, ok := f.store.(enact.Querier); ok {
		calls["Executions"] = func(ctx context.Context) error {
			_, _, err := q.Executions(ctx, enact.Query{Tenant: f.tenant})
			return err
		}
		calls["ListTenants"] = func(ctx context.Context) error {
			_, err := q.ListTenants(ctx)
			return err
		}
	}
	if h, ok := f.store.(header); ok {
		calls["Head"] = func(ctx context.Context) error {
			_, err := h.Head(ctx, f.execution)
			return err
		}
	}
	return calls
}

func testShutdownInFlight(f *fixture) {
	f = f.openOther()
	errs := make([]error, writers)
	var started, stopped sync.WaitGroup
	started.Add(writers)
	for i := range writers {
		stopped.Go(func() {
			execution := enact.NewExecutionID()
			for n := 1; ; n++ {
				_, err := f.store.Append(f.ctx, execution, f.tenant, note(n))
				if n == 1 {
					started.Done()
				}
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	started.Wait()
	require.NoError(f.t, f.store.Shutdown(f.ctx))
	stopped.Wait()
	for _, err := range errs {
		require.ErrorIs(f.t, err, enact.ErrClosed)
		require.NotErrorIs(f.t, err, enact.ErrUnknownOutcome, "Shutdown waits for what was sent")
	}
}
