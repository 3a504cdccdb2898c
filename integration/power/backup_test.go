package power

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/integration/power/powerfs"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/backup"
	"github.com/enactlog/enact/jetstore/embedded"
)

// A backup that was taken is there after the loss of power, also on a disk that keeps a name
// only where its directory was synced.
func TestBackupTaken(t *testing.T) {
	t.Parallel()
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithMemoryStorage())
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Shutdown(context.Background())) }()
	nc, err := nats.Connect("", srv.InProcess())
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, jetstore.WithMemoryStorage()))
	_, err = nc.Request("enact.a.run", []byte("hello"), time.Minute)
	require.NoError(t, err)
	request := func(ctx context.Context, verb string, body, into any) error {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reply, err := nc.RequestWithContext(ctx, "$JS.API."+verb, data)
		if err != nil {
			return err
		}
		return json.Unmarshal(reply.Data, into)
	}
	for _, order := range []powerfs.Order{powerfs.Journaled, powerfs.Strict} {
		t.Run(order.String(), func(t *testing.T) {
			disks := mountDisks(t, 1, order)
			dir := filepath.Join(disks.dir, "n1", "backups", "log")
			_, err := backup.TakeDir(t.Context(), nc, request, "ENACT", dir, nil, nil)
			require.NoError(t, err)
			disks.lose(nil, 0)
			snap, err := backup.OpenDir(dir)
			require.NoError(t, err)
			require.NoError(t, snap.Verify(t.Context(), nil))
		})
	}
}
