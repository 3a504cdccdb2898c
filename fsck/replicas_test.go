package fsck_test

import (
	"context"
	"strings"
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

// A copy that gives nothing for a while is busy: it is no copy that lacks something.
func TestBusyReplica(t *testing.T) {
	w := newWorld(t)
	store := w.open(t)
	for i := range 3 {
		_, err := store.Execution("acme", "a").Append(t.Context(), note(i))
		require.NoError(t, err)
	}
	// The API under another name, where the first of the check's consumers of the log are not
	// asked for messages.
	const busy = 4
	asked := make(map[string]bool)
	_, err := w.nc.Subscribe("busy.API.>", func(m *nats.Msg) {
		subject := strings.TrimPrefix(m.Subject, "busy.API.")
		if name, ok := strings.CutPrefix(subject, "CONSUMER.MSG.NEXT.ENACT."); ok && (asked[name] || len(asked) < busy) {
			asked[name] = true
			return
		}
		_ = w.nc.PublishMsg(&nats.Msg{Subject: "$JS.API." + subject, Reply: m.Reply, Header: m.Header, Data: m.Data})
	})
	require.NoError(t, err)
	require.NoError(t, w.nc.Flush())
	other := connect(t, w.srv.InProcess())
	report := check(t, t.Context(), other.open(t, jetstore.WithAPIPrefix("busy.API")), fsck.Options{})
	require.Empty(t, report.Findings)
	require.Equal(t, uint64(3), report.Records)
}
