package loggen_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/internal/loggen"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var shape = loggen.Shape{
	Seed: 1, Records: 6000, Executions: 500, Tenants: 4,
	Classes: []loggen.Class{
		{Name: "long", Count: 1, Min: 1000, Single: true},
		{Name: "dense", Count: 1, Min: 300, Gap: 0.25, Single: true},
		{Name: "some", Count: 5, Min: 10, Max: 30, Gap: 20},
		{Name: "spread", Count: 3, Min: 10, Single: true},
		{Name: "bursts", Count: 1, Min: 31, Gap: 2, Bursts: 3, Single: true},
	},
}

func plan(t *testing.T, s loggen.Shape) *loggen.Plan {
	t.Helper()
	p, err := s.Plan()
	require.NoError(t, err)
	return p
}

func TestPlan(t *testing.T) {
	p := plan(t, shape)
	require.Equal(t, shape.Records, p.Records())
	require.Len(t, p.Executions(), shape.Executions)
	records, classes := 0, map[string]int{}
	for _, e := range p.Executions() {
		require.Positive(t, e.Records)
		records += e.Records
		classes[e.Class]++
	}
	require.Equal(t, shape.Records, records)
	require.Equal(t, map[string]int{"long": 1, "dense": 1, "some": 5, "spread": 3, "bursts": 1, loggen.Short: 489}, classes)
	require.Equal(t, 1000, p.Class("long")[0].Records)
	require.Equal(t, p, plan(t, shape), "the same each time")
	other := shape
	other.Seed = 2
	require.NotEqual(t, p, plan(t, other))
}

func TestPlanThatCannotBe(t *testing.T) {
	for _, change := range []func(*loggen.Shape){
		func(s *loggen.Shape) { s.Records = 1200 },
		func(s *loggen.Shape) { s.Executions = 9 },
		func(s *loggen.Shape) { s.Executions = 10 }, // records are left for nobody
	} {
		s := shape
		change(&s)
		_, err := s.Plan()
		require.Error(t, err)
	}
}

// What was published is a log like any other: every history reads whole, stands where the
// plan says, is listed, and goes on.
func TestPublish(t *testing.T) {
	for name, nodes := range map[string]int{"one node": 1, "three nodes": 3} {
		t.Run(name, func(t *testing.T) {
			nc := start(t, nodes)
			opts := []jetstore.Option{jetstore.WithStream("LOG"), jetstore.WithMemoryStorage()}
			require.NoError(t, jetstore.EnsureStream(t.Context(), nc, opts...))
			store, err := jetstore.Open(t.Context(), nc, opts...)
			require.NoError(t, err)
			defer func() { require.NoError(t, store.Shutdown(context.Background())) }()
			p := plan(t, shape)
			l := loggen.Log{Conn: nc, Stream: "LOG", Subjects: store.Subjects()}
			require.NoError(t, p.Publish(t.Context(), l))

			events := map[string][]enact.StoredEvent{}
			for _, e := range p.Executions() {
				loaded, err := store.LoadEvents(t.Context(), e.ExecutionID, enact.InTenant(e.TenantID))
				require.NoError(t, err)
				require.GreaterOrEqual(t, len(loaded), e.Records)
				events[e.Class] = loaded
			}
			require.Len(t, events["long"], 1000)
			require.InDelta(t, 6000, span(events["long"]), 300, "all over the log")
			require.Less(t, span(events["dense"]), 600.0)
			require.InDelta(t, 5400, span(events["spread"]), 300)
			bursts := events["bursts"]
			require.Len(t, bursts, 31)
			require.InDelta(t, 4000, span(bursts), 1100, "from one third of the log to the last")
			for _, part := range [][]enact.StoredEvent{bursts[:10], bursts[10:20], bursts[20:]} {
				require.Less(t, span(part), 100.0)
			}
			listed := 0
			for tenant := range 4 {
				ids, err := store.ListExecutions(t.Context(), enact.TenantID(fmt.Sprintf("tenant-%d", tenant)), 1000, 0)
				require.NoError(t, err)
				listed += len(ids)
			}
			require.Equal(t, shape.Executions, listed)
			long := p.Class("long")[0]
			next, err := store.Append(t.Context(), long.ExecutionID, long.TenantID, enact.ExecutionResumed{})
			require.NoError(t, err)
			require.Equal(t, uint64(1001), next)

			require.ErrorContains(t, p.Publish(t.Context(), l), "must be empty")
		})
	}
}

func span(events []enact.StoredEvent) float64 {
	return float64(events[len(events)-1].Position - events[0].Position)
}

// start starts servers and returns a connection.
func start(t *testing.T, nodes int) *nats.Conn {
	t.Helper()
	var url string
	if nodes == 1 {
		srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(-1))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
		url = srv.ClientURL()
	} else {
		c, err := embedded.StartCluster(t.Context(), t.TempDir(), nodes)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Shutdown(context.Background())) })
		url = c.ClientURL()
	}
	nc := natstest.Connect(t, url)
	return nc
}
