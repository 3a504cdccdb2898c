//go:build long

package fsck_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/jetstore"
)

// What one replica lacks is found, whichever is read.
func TestReplicaThatDiffers(t *testing.T) {
	dir := t.TempDir()
	var position uint64
	clustered(t, dir, func(store *jetstore.Store) {
		for i := range 30 {
			receipt, err := store.Execution("acme", "a").Append(t.Context(), note(i))
			require.NoError(t, err)
			if i == 11 {
				position = receipt.Position
			}
		}
	})
	require.NoError(t, logtest.FlipOnDisk(filepath.Join(dir, "n2"), "ENACT", `"event_type":"note","data":11}`))
	clustered(t, dir, func(store *jetstore.Store) {
		report := check(t, t.Context(), store, fsck.Options{EachReplica: true})
		differs := 0
		for _, f := range report.Findings {
			require.Equal(t, position, f.Position, "%+v", f)
			if f.Kind == fsck.ReplicaDiffers && f.Reason == "enact-embedded-n2 has no message here" {
				differs++
			}
		}
		require.Equal(t, 1, differs, "%+v", report.Findings)
	})
}
