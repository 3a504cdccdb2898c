package backup_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

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
// no stream; afterwards both can be done.
func TestBrokenOff(t *testing.T) {
	srv, err := embedded.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Shutdown(context.Background())) }()
	nc, err := nats.Connect("", srv.InProcess())
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	// Nothing that could be packed, so that there are many chunks.
	noise := rand.NewChaCha8([32]byte{1})
	for range 20 {
		data := make([]byte, 300_000)
		_, _ = noise.Read(data) // never fails
		_, err := nc.Request("enact.a.run", data, 30*time.Second)
		require.NoError(t, err)
	}
	dir, request := filepath.Join(t.TempDir(), "log"), requester(nc)

	ctx, cancel := context.WithCancel(t.Context())
	_, err = backup.TakeDir(ctx, nc, request, "ENACT", dir, func(backup.Snapshot) { cancel() }, nil)
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
	require.NoError(t, request(t.Context(), "STREAM.DELETE.ENACT", nil, new(struct{})))

	in, err := snap.Open()
	require.NoError(t, err)
	ctx, cancel = context.WithCancel(t.Context())
	_, err = backup.Restore(ctx, nc, request, "ENACT", snap.Snapshot, in, func(int) { cancel() })
	require.NoError(t, in.Close())
	require.ErrorIs(t, err, context.Canceled)
	var apiErr *jetstream.APIError
	require.ErrorAs(t, request(t.Context(), "STREAM.INFO.ENACT", nil, new(struct{})), &apiErr)

	in, err = snap.Open()
	require.NoError(t, err)
	state, err := backup.Restore(t.Context(), nc, request, "ENACT", snap.Snapshot, in, nil)
	require.NoError(t, in.Close())
	require.NoError(t, err)
	require.Equal(t, snap.State.Msgs, state.Msgs)
	require.Equal(t, snap.State.FirstSeq, state.FirstSeq)
	require.Equal(t, snap.State.LastSeq, state.LastSeq)
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
