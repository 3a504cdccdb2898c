//go:build long

package integration

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// A rebuild goes on when the server that it reads from is killed, and the index stream's
// leader with it.
func TestRebuildOutlivesItsServer(t *testing.T) {
	const executions = 35_000
	servers := natstest.StartCluster(t, 3, natstest.Options{NoSync: true})
	ensure(t, natstest.URLs(servers))
	nc := connect(t, natstest.URLs(servers))
	subjects, err := enact.NewSubjects("")
	require.NoError(t, err)
	for i := range executions {
		c := logtest.Creation{
			Subjects: subjects, Tenant: tenant, Execution: enact.ExecutionID(fmt.Sprint("e", i)), Commit: logtest.NewCommit(time.Now()), Time: time.Now(),
			Events: []enact.Event{enact.ExecutionStarted{}},
		}
		m, err := c.Record()
		require.NoError(t, err)
		if i%1000 < 999 {
			require.NoError(t, nc.PublishMsg(m))
			continue
		}
		_, err = nc.RequestMsg(m, patience)
		require.NoError(t, err)
	}
	whole := func(stream string) *cluster { return awaitReplicas(t, nc, stream, (*cluster).whole) }
	whole("ENACT")
	s := open(t, natstest.URLs(servers), jetstore.WithNATS(nats.DontRandomize()))
	killed := 0
	report, err := s.RebuildIndex(within(t, 5*time.Minute), func(p jetstore.RebuildProgress) {
		if p.Position == p.End {
			return
		}
		// First the leader of the log, then that of the index.
		stream := []string{"ENACT", "ENACT_INDEX", ""}[min(killed, 2)]
		if stream == "" {
			return
		}
		killed++
		victim := named(t, servers, whole(stream).Leader)
		victim.Kill()
		victim.Start()
	})
	require.NoError(t, err)
	require.Equal(t, 2, killed)
	require.Equal(t, uint64(executions), report.Executions)
	require.Equal(t, uint64(executions), report.Added)
	require.Zero(t, report.Faults)
	ids, err := s.ListExecutions(within(t, 5*time.Minute), tenant, math.MaxInt, 0)
	require.NoError(t, err)
	require.Len(t, ids, executions)
	for i, id := range ids {
		require.Equal(t, enact.ExecutionID(fmt.Sprint("e", executions-1-i)), id)
	}
}
