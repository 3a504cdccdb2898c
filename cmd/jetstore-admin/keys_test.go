package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/codec"
)

// With --keys events are encrypted as they are written, and read again; without it they
// cannot be read.
func TestKeys(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "keys.json")
	keys, err := codec.CreateFileKeyRing(t.Context(), file)
	require.NoError(t, err)
	_, err = keys.Rotate(t.Context(), "acme")
	require.NoError(t, err)
	code, _, stderr := admin(t, "", "append", "--store", dir, "--keys", file, "--tenant", "acme", "run-1", `{"type":"execution_paused","reason":"secret"}`)
	require.Zero(t, code, stderr)
	code, stdout, stderr := admin(t, "", "execution", "events", "--store", dir, "--keys", file, "run-1")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "secret")
	code, stdout, stderr = admin(t, "", "execution", "events", "--store", dir, "run-1")
	require.Equal(t, exitError, code)
	require.NotContains(t, stdout, "secret")
	require.Contains(t, stderr, "has unknown codec")
	require.Contains(t, stderr, "give the key file with --keys")
	code, _, stderr = admin(t, "", "execution", "events", "--store", dir, "--keys", filepath.Join(dir, "nowhere"), "run-1")
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "--keys: ")
}
