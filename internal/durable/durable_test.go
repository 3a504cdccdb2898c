package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/durable"
)

// That names survive is shown by the tests of power.
func TestMkdirAll(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{filepath.Join("a", "b", "c"), filepath.Join("a", "b"), ".", "", "d" + string(filepath.Separator)} {
		if dir == "" {
			require.ErrorIs(t, durable.MkdirAll(dir, 0o700), os.ErrNotExist)
			continue
		}
		for range 2 {
			require.NoError(t, durable.MkdirAll(dir, 0o700), dir)
			require.DirExists(t, dir)
		}
	}
	require.NoError(t, os.WriteFile("file", nil, 0o600))
	require.Error(t, durable.MkdirAll("file", 0o700))
	require.Error(t, durable.MkdirAll(filepath.Join("file", "x"), 0o700))
	require.ErrorIs(t, durable.SyncDir("nothing"), os.ErrNotExist)
}
