package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/enactlog/enact/storetest"
)

// startCluster starts three servers in this process and makes the log there, on all three,
// in memory.
func startCluster(t *testing.T) *embedded.Cluster {
	t.Helper()
	c, err := embedded.StartCluster(t.Context(), t.TempDir(), 3)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Shutdown(context.Background())) })
	makeReplicated(t, c.ClientURL())
	return c
}

// makeReplicated makes the log on three servers, in memory, and returns the name of the
// one that leads it.
func makeReplicated(t *testing.T, url string) string {
	t.Helper()
	nc := natstest.Connect(t, url)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, jetstore.WithMemoryStorage()))
	stream, err := natstest.JetStream(t, nc).Stream(t.Context(), "ENACT")
	require.NoError(t, err)
	require.Equal(t, 3, stream.CachedInfo().Config.Replicas)
	return stream.CachedInfo().Cluster.Leader
}

// startLagging is startCluster with servers in processes of their own. lag makes whatever
// goes to one that does not lead, or comes from it, take so much longer on its way: the others
// acknowledge an append before that one has heard of it.
func startLagging(t *testing.T) (servers []*natstest.Server, lag func(behind time.Duration)) {
	t.Helper()
	wires := make(map[[2]int]*faultnet.Wire) // from server to server
	servers = natstest.StartCluster(t, 3, natstest.Options{NoSync: true, Route: func(from, to int, address string) string {
		w, err := faultnet.NewWire(address)
		require.NoError(t, err)
		t.Cleanup(w.Close)
		wires[[2]int{from, to}] = w
		return w.Address()
	}})
	leader := makeReplicated(t, servers[0].URL())
	slow := slices.IndexFunc(servers, func(s *natstest.Server) bool { return s.Name() != leader })
	return servers, func(behind time.Duration) {
		for between, w := range wires {
			if slices.Contains(between[:], slow) {
				w.Slow(behind)
			}
		}
	}
}

// connectTo opens the log, in memory, over one server.
func connectTo(t *testing.T, url string, opts ...jetstore.Option) *jetstore.Store {
	t.Helper()
	s, err := jetstore.Connect(t.Context(), url, append(opts, jetstore.WithMemoryStorage(), jetstore.WithNATS(nats.Timeout(time.Minute)))...)
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, s) })
	return s
}

// The contract holds on replicas, whichever server a store is connected to.
func TestContractOnReplicas(t *testing.T) {
	c := startCluster(t)
	var opened atomic.Int64
	storetest.Run(t, func(t *testing.T) enact.EventStore {
		return connectTo(t, c.Servers()[opened.Add(1)%3].ClientURL())
	})
}

// staleness is what the rounds have seen.
type staleness struct{ rounds, stale, staleAllowed atomic.Int64 }

// A read that begins after an append was acknowledged sees it, in a process that knows
// nothing of the append, over any server. One of them lags: reads that allow it miss
// appends there, though they show no hole.
func TestReadAfterAcknowledge(t *testing.T) {
	rounds := int64(amount(10_000, 1500, 1000))
	const (
		writers = 6
		length  = 25 // events of an execution
	)
	servers, lag := startLagging(t)
	lag(3 * time.Millisecond)
	var mended occurrences
	var writeTo, readFrom []*jetstore.Store
	for _, srv := range servers {
		writeTo, readFrom = append(writeTo, connectTo(t, srv.URL())), append(readFrom, connectTo(t, srv.URL(), jetstore.WithTracer(&mended)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var seen staleness
	readUntil := func(rounds int64) {
		errs := make([]error, writers)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := 0; errs[w] == nil && seen.rounds.Load() < rounds; i++ {
					id := enact.NewExecutionID()
					// Every writer meets every pair of servers.
					errs[w] = seen.execution(ctx, writeTo[(w+i)%3].Execution("acme", id), readFrom[(w+i/3)%3].Execution("acme", id), length)
				}
			})
		}
		all.Wait()
		require.NoError(t, errors.Join(errs...))
	}
	readUntil(rounds)
	// Where reads take longer than the server lags, it is to lag more, though not as long as an
	// election takes.
	for behind := 12 * time.Millisecond; seen.staleAllowed.Load() == 0 && behind < 2*time.Second; behind *= 4 {
		lag(behind)
		readUntil(seen.rounds.Load() + 200)
	}
	t.Logf("%d rounds: %d stale, %d where stale answers are allowed; %d stale answers mended",
		seen.rounds.Load(), seen.stale.Load(), seen.staleAllowed.Load(), mended.of(jetstore.StaleAnswer))
	require.Zero(t, seen.stale.Load())
	require.NotZero(t, seen.staleAllowed.Load(), "no read could miss an append: the rounds show nothing")
}

// execution appends one event after the other and reads it right after each
// acknowledgement, in the usual way and with stale answers allowed, side by side.
func (s *staleness) execution(ctx context.Context, written, read jetstore.Execution, length int) error {
	for n := 1; n <= length; n++ {
		if _, err := written.Append(ctx, note(n)); err != nil {
			return err
		}
		s.rounds.Add(1)
		var fresh, lax []enact.StoredEvent
		var freshErr, laxErr error
		var both sync.WaitGroup
		both.Go(func() { fresh, freshErr = read.LoadEvents(ctx) })
		both.Go(func() { lax, laxErr = read.LoadEvents(ctx, enact.AllowStale()) })
		both.Wait()
		if err := errors.Join(freshErr, laxErr); err != nil {
			return err
		}
		if len(fresh) < n {
			s.stale.Add(1)
		}
		if len(lax) < n {
			s.staleAllowed.Add(1)
		}
		for _, events := range [][]enact.StoredEvent{fresh, lax} {
			got, err := numbered(events)
			if err != nil {
				return err
			}
			for i, sequence := range got {
				if sequence != uint64(i+1) {
					return fmt.Errorf("event %d stands where event %d should", sequence, i+1)
				}
			}
		}
	}
	return nil
}
