package durable_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/durable"
)

// What a file system cannot do for anybody is no error: a backup to such a one was taken
// before, and is now.
func TestSyncDirWhereNoneCanBeSynced(t *testing.T) {
	require.NoError(t, durable.SyncDir("/proc"))
}
