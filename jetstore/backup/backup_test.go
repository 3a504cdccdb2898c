package backup_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/backup"
	"github.com/enactlog/enact/jetstore/embedded"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// requester sends requests to the JetStream API of a server.
func requester(nc *nats.Conn) backup.Requester {
	return func(ctx context.Context, verb string, body, into any) error {
		var data []byte
		if body != nil {
			var err error
			if data, err = json.Marshal(body); err != nil {
				return err
			}
		}
		reply, err := nc.RequestWithContext(ctx, "$JS.API."+verb, data)
		if err != nil {
			return err
		}
		var failed struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(reply.Data, &failed); err != nil {
			return err
		}
		if failed.Error != nil {
			return failed.Error
		}
		return json.Unmarshal(reply.Data, into)
	}
}

// A backup that is broken off leaves nothing in its directory, a restore that is broken off
// no stream, wherever that is; afterwards both can be done.
func TestBrokenOff(t *testing.T) {
	for name, nodes := range map[string]int{"one node": 1, "three nodes": 3} {
		t.Run(name, func(t *testing.T) {
			nc := connect(t, start(t, nodes))
			require.NoError(t, jetstore.EnsureStream(t.Context(), nc, jetstore.WithReplicas(nodes)))
			// Nothing that could be packed, so that there are many chunks.
			noise := rand.NewChaCha8([32]byte{1})
			for range 20 {
				data := make([]byte, 300_000)
				_, _ = noise.Read(data) // never fails
				_, err := nc.Request("enact.a.run", data, time.Minute)
				require.NoError(t, err)
			}
			dir, request := filepath.Join(t.TempDir(), "log"), requester(nc)

			ctx, cancel := context.WithCancel(t.Context())
			_, err := backup.TakeDir(ctx, nc, request, "ENACT", dir, func(backup.Snapshot) { cancel() }, nil)
			require.ErrorIs(t, err, context.Canceled)
			require.NoDirExists(t, dir)
			_, err = backup.OpenDir(dir)
			require.ErrorIs(t, err, backup.ErrNoBackup)

			_, err = backup.TakeDir(t.Context(), nc, request, "ENACT", dir, nil, nil)
			require.NoError(t, err)
			snap, err := backup.OpenDir(dir)
			require.NoError(t, err)
			require.NoError(t, snap.Verify(t.Context(), nil))
			require.EqualValues(t, 20, snap.State.Msgs)
			before := streamOf(t, request)
			require.NoError(t, request(t.Context(), "STREAM.DELETE.ENACT", nil, new(struct{})))

			for _, part := range []int64{1, snap.Bytes / 2, snap.Bytes} { // of what is sent
				ctx, cancel := context.WithCancel(t.Context())
				sent := int64(0)
				_, err = restore(ctx, nc, request, snap, func(n int) {
					if sent += int64(n); sent >= part {
						cancel()
					}
				})
				require.ErrorIs(t, err, context.Canceled, "%d of %d", part, snap.Bytes)
				require.NotErrorAs(t, err, new(*backup.LeftError))
				refused, ok := errors.AsType[*jetstream.APIError](request(t.Context(), "STREAM.INFO.ENACT", nil, new(struct{})))
				require.True(t, ok)
				require.Equal(t, jetstream.JSErrCodeStreamNotFound, refused.ErrorCode)
			}

			state, err := restore(t.Context(), nc, request, snap, nil)
			require.NoError(t, err)
			require.Equal(t, snap.State.Msgs, state.Msgs)
			require.Equal(t, snap.State.FirstSeq, state.FirstSeq)
			require.Equal(t, snap.State.LastSeq, state.LastSeq)
			require.Equal(t, before, streamOf(t, request), "the settings, without a mark")
		})
	}
}

// start starts servers and returns how to connect to them.
func start(t *testing.T, nodes int) nats.Option {
	t.Helper()
	if nodes == 1 {
		srv, err := embedded.Start(t.Context(), t.TempDir())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
		return srv.InProcess()
	}
	cluster, err := embedded.StartCluster(t.Context(), t.TempDir(), nodes)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cluster.Shutdown(context.Background())) })
	return cluster.InProcess()
}

func connect(t *testing.T, inProcess nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", inProcess)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// restore restores a snapshot from its directory.
func restore(ctx context.Context, nc *nats.Conn, request backup.Requester, snap *backup.Dir, progress func(int)) (jetstream.StreamState, error) {
	in, err := snap.Open()
	if err != nil {
		return jetstream.StreamState{}, err
	}
	state, err := backup.Restore(ctx, nc, request, "ENACT", snap.Snapshot, in, progress)
	return state, errors.Join(err, in.Close())
}

// streamOf returns the configuration of the log's stream.
func streamOf(t *testing.T, request backup.Requester) jetstream.StreamConfig {
	t.Helper()
	var info jetstream.StreamInfo
	require.NoError(t, request(t.Context(), "STREAM.INFO.ENACT", nil, &info))
	return info.Config
}

// What cannot be taken back is said, and no store opens the part that is there. A stream that
// others have made meanwhile stays.
func TestLeftHalfRestored(t *testing.T) {
	inProcess := start(t, 1)
	nc, other := connect(t, inProcess), connect(t, inProcess)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	for range 5 {
		_, err := nc.Request("enact.a.run", make([]byte, 300_000), time.Minute)
		require.NoError(t, err)
	}
	dir, request := filepath.Join(t.TempDir(), "log"), requester(nc)
	_, err := backup.TakeDir(t.Context(), nc, request, "ENACT", dir, nil, nil)
	require.NoError(t, err)
	snap, err := backup.OpenDir(dir)
	require.NoError(t, err)
	require.NoError(t, request(t.Context(), "STREAM.DELETE.ENACT", nil, new(struct{})))

	lost := errors.New("no connection")
	neither := func(ctx context.Context, verb string, body, into any) error {
		if verb == "STREAM.UPDATE.ENACT" || verb == "STREAM.DELETE.ENACT" {
			other.Close()
			return lost
		}
		return request(ctx, verb, body, into)
	}
	_, err = restore(t.Context(), other, neither, snap, nil)
	left, ok := errors.AsType[*backup.LeftError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "ENACT", left.Stream)
	require.ErrorIs(t, err, lost)
	_, err = jetstore.Open(t.Context(), nc)
	broken, ok := errors.AsType[*enact.StreamConfigError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "metadata enact.restore", broken.Problems[0].Setting)

	require.NoError(t, request(t.Context(), "STREAM.DELETE.ENACT", nil, new(struct{})))
	others := func(ctx context.Context, verb string, body, into any) error {
		if verb == "STREAM.UPDATE.ENACT" {
			require.NoError(t, request(ctx, "STREAM.DELETE.ENACT", nil, new(struct{})))
			require.NoError(t, jetstore.EnsureStream(ctx, nc))
			return lost
		}
		return request(ctx, verb, body, into)
	}
	_, err = restore(t.Context(), nc, others, snap, nil)
	require.ErrorIs(t, err, lost)
	require.NotErrorAs(t, err, new(*backup.LeftError))
	store, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	require.NoError(t, store.Shutdown(t.Context()))
}

// A byte that changed in any of a backup's files that a restore reads is noticed before it.
func TestDamagedFiles(t *testing.T) {
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithMemoryStorage())
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Shutdown(context.Background())) }()
	nc, err := nats.Connect("", srv.InProcess())
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, jetstore.WithMemoryStorage()))
	_, err = nc.Request("enact.a.run", []byte("hello"), 30*time.Second)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "log")
	_, err = backup.TakeDir(t.Context(), nc, requester(nc), "ENACT", dir, nil, nil)
	require.NoError(t, err)
	check := func() error {
		snap, err := backup.OpenDir(dir)
		if err != nil {
			return err
		}
		return snap.Verify(t.Context(), nil)
	}
	require.NoError(t, check())
	for _, name := range []string{"backup.json", "stream.arc.s2"} {
		file := filepath.Join(dir, name)
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for i := 0; i < len(data); i += max(1, len(data)/100) {
			data[i] ^= 1
			require.NoError(t, os.WriteFile(file, data, 0o600))
			var damaged *backup.DamagedError
			require.ErrorAs(t, check(), &damaged, "%s, byte %d", name, i)
			data[i] ^= 1
		}
		require.NoError(t, os.WriteFile(file, data, 0o600))
	}
	require.NoError(t, check())
}
