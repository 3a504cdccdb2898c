package fsck_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// clustered calls f with a store on three servers that keep their streams in dir.
func clustered(t *testing.T, dir string, f func(*jetstore.Store)) {
	t.Helper()
	cluster, err := embedded.StartCluster(t.Context(), dir, 3)
	require.NoError(t, err)
	defer func() { require.NoError(t, cluster.Shutdown(context.WithoutCancel(t.Context()))) }()
	nc, err := nats.Connect("", cluster.InProcess())
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	store, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Shutdown(context.WithoutCancel(t.Context()))) }()
	f(store)
}

// Every replica leads in turn, and where all hold the same nothing is found.
func TestReplicas(t *testing.T) {
	clustered(t, t.TempDir(), func(store *jetstore.Store) {
		for i := range 30 {
			_, err := store.Execution("acme", "a").Append(t.Context(), note(i))
			require.NoError(t, err)
		}
		led := make(map[string]bool)
		report := check(t, t.Context(), store, fsck.Options{EachReplica: true, Progress: func(p fsck.Progress) {
			if p.Stage == fsck.StageReplicas {
				led[p.Stream+" "+p.Replica] = true
			}
		}})
		require.Empty(t, report.Findings)
		require.Equal(t, []string{"enact-embedded-n1", "enact-embedded-n2", "enact-embedded-n3"}, report.Streams[0].Replicas)
		require.Len(t, led, 6, "two streams on three servers: %v", led)
		require.Empty(t, check(t, t.Context(), store, fsck.Options{}).Streams[0].Replicas, "not checked")
	})
}
