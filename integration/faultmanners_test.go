//go:build faults

package integration

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// What a client of a cluster sees when one of its servers is away in one way or another,
// with the connections' default time-outs.
func TestFaultsClientManners(t *testing.T) {
	t.Parallel()
	c := newFaultCluster(t, newRandom(t))
	t.Run("a server that is cut off is left", c.leaves((*campaign).isolateOne, func(*natstest.Server) { c.join() }))
	t.Run("a server that hangs is left", c.leaves(func(_ *campaign, s *natstest.Server) { s.Pause() }, (*natstest.Server).Resume))
	t.Run("a lame duck is left without an error", c.leavesLameDuck)
	t.Run("a slow follower slows nobody else", c.toleratesSlowFollower)
	t.Run("a leader that was cut off answers for a while", c.answersForAWhile)
	t.Run("degraded is not down", c.tellsDegradedFromDown)
}

func (c *campaign) isolateOne(s *natstest.Server) { c.isolate(s) }

// on opens the log on a server first, and on the others once that is left.
func (c *campaign) on(t *testing.T, first int) *jetstore.Store {
	t.Helper()
	return open(t, natstest.URLs(rotated(c.servers, first)), jetstore.WithNATS(nats.DontRandomize()), jetstore.WithTimeout(faultPatience))
}

// leaves takes away a server that a store is connected to, without ending the connection.
func (c *campaign) leaves(away func(*campaign, *natstest.Server), back func(*natstest.Server)) func(*testing.T) {
	return func(t *testing.T) {
		c.awaitWhole()
		follower := c.follower()
		s := c.on(t, c.number(follower))
		id := enact.NewExecutionID()
		_, err := s.Append(t.Context(), id, tenant, enact.ExecutionStarted{})
		require.NoError(t, err)
		away(c, follower)
		began := time.Now()
		_, err = s.Append(t.Context(), id, tenant, enact.ExecutionResumed{})
		back(follower)
		require.NoError(t, err)
		t.Logf("the append took %v", time.Since(began).Round(time.Millisecond))
	}
}

// number returns the place of a server.
func (c *campaign) number(s *natstest.Server) int {
	for i := range c.servers {
		if c.servers[i] == s {
			return i
		}
	}
	return -1
}

// appending appends from several goroutines until stopped, and returns how many were
// acknowledged.
func appending(t *testing.T, s *jetstore.Store) (acknowledged *atomic.Int64, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	acknowledged = new(atomic.Int64)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := enact.ExecutionID(fmt.Sprintf("%s-%d-%d", t.Name(), i, n/10))
				if _, err := s.Append(context.WithoutCancel(ctx), id, tenant, enact.ExecutionResumed{}); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	return acknowledged, func() {
		cancel()
		all.Wait()
	}
}

// goesOn waits until more appends are acknowledged.
func goesOn(t *testing.T, acknowledged *atomic.Int64) {
	t.Helper()
	before := acknowledged.Load()
	natstest.Eventually(t, faultPatience, func() bool { return acknowledged.Load() >= before+20 || t.Failed() },
		func() string { return "nothing is acknowledged any more" })
}

func (c *campaign) leavesLameDuck(t *testing.T) {
	c.awaitWhole()
	leader := c.leader()
	acknowledged, stop := appending(t, c.on(t, c.number(leader)))
	defer stop()
	goesOn(t, acknowledged)
	leader.LameDuck()
	goesOn(t, acknowledged)
	leader.Start()
	goesOn(t, acknowledged)
}

func (c *campaign) toleratesSlowFollower(t *testing.T) {
	c.awaitWhole()
	follower := c.follower()
	at := c.number(follower)
	fast, slow := c.on(t, c.number(c.leader())), c.on(t, at)
	for pair, w := range c.wires {
		if pair[0] == at || pair[1] == at {
			w.Slow(200 * time.Millisecond)
		}
	}
	defer c.join()
	var longest time.Duration
	for i := range 10 {
		id := enact.NewExecutionID()
		began := time.Now()
		sequence, err := fast.AppendBatch(t.Context(), id, tenant, []enact.Event{enact.ExecutionStarted{}, enact.ExecutionResumed{}})
		longest = max(longest, time.Since(began))
		require.NoError(t, err)
		if i%2 == 0 {
			_, err = slow.Append(t.Context(), id, tenant, enact.ExecutionResumed{}, enact.ExpectSequence(sequence+1))
			require.NoError(t, err)
		}
		// Over the slow one, which lacks it, by a store that knows nothing of it or all.
		loaded, err := slow.LoadEvents(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, loaded, 2+(i+1)%2)
	}
	t.Logf("the longest append beside it took %v", longest.Round(time.Millisecond))
}

// A leader that is cut off answers reads until it notices that it has no majority: what
// others append meanwhile under the next leader it does not know. Who asks for no less
// than that is not given less.
func (c *campaign) answersForAWhile(t *testing.T) {
	c.awaitWhole()
	old := c.leader()
	at := c.number(old)
	opts := []jetstore.Option{jetstore.WithNATS(nats.IgnoreDiscoveredServers()), jetstore.WithTimeout(faultPatience)}
	cut, rest := open(t, old.URL(), opts...), open(t, natstest.URLs(rotated(c.servers, at+1)[:2]), opts...)
	id := enact.NewExecutionID()
	_, err := rest.Append(t.Context(), id, tenant, enact.ExecutionStarted{})
	require.NoError(t, err)
	c.isolate(old)
	_, err = rest.Append(t.Context(), id, tenant, enact.ExecutionResumed{})
	acknowledged := time.Now()
	require.NoError(t, err)
	stale, window := 0, time.Duration(0)
	for answered := true; answered; {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		sequence, _, err := cut.LatestSequence(ctx, id, enact.InTenant(tenant))
		cancel()
		answered = err == nil
		if answered {
			require.Equal(t, uint64(1), sequence, "nobody who is cut off knows of more")
			stale, window = stale+1, time.Since(acknowledged)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
		sequence, _, err = cut.LatestSequence(ctx, id, enact.InTenant(tenant), enact.AtLeast(2))
		cancel()
		require.Error(t, err, "it answered %d", sequence)
	}
	c.join()
	sequence, _, err := cut.LatestSequence(t.Context(), id, enact.InTenant(tenant), enact.AtLeast(2))
	require.NoError(t, err)
	require.Equal(t, uint64(2), sequence)
	t.Logf("%d answers were stale, the last one %v after what it lacks was acknowledged", stale, window.Round(time.Millisecond))
}

func (c *campaign) tellsDegradedFromDown(t *testing.T) {
	c.awaitWhole()
	check := func(timeout time.Duration) jetstore.Health {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		return c.store.Health(ctx)
	}
	becomes := func(want jetstore.HealthStatus, timeout time.Duration) (h jetstore.Health) {
		natstest.Eventually(t, faultPatience, func() bool {
			h = check(timeout)
			return h.Status == want
		}, func() string { return fmt.Sprintf("the log's health is %+v, not %s", h, want) })
		return h
	}
	h := becomes(jetstore.Healthy, patience)
	require.NoError(t, h.Err)
	require.Empty(t, h.Problems)
	require.Len(t, h.Streams, 2)
	for _, stream := range h.Streams {
		require.NotEmpty(t, stream.Leader)
		require.Len(t, stream.Replicas, 2)
	}
	one, two := c.follower(), c.leader()
	one.Kill()
	h = becomes(jetstore.Degraded, patience)
	require.NoError(t, h.Err)
	require.NotEmpty(t, h.Problems)
	require.NoError(t, c.store.HealthCheck(t.Context()), "it serves")
	two.Kill()
	h = becomes(jetstore.Down, time.Second)
	require.Error(t, h.Err)
	require.NotEmpty(t, h.Problems)
	natstest.StartAll([]*natstest.Server{one, two})
	becomes(jetstore.Healthy, patience)
}
