//go:build traces

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Recorded runs of real agents, which the variable ENACT_TRACES names the directory
// of, come back as they went in.
func TestTracesRoundTrip(t *testing.T) {
	dir := os.Getenv("ENACT_TRACES")
	require.NotEmpty(t, dir, "ENACT_TRACES must name a directory of *.jsonl files")
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no *.jsonl in %s", dir)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { roundTrip(t, t.TempDir(), file) })
	}
	t.Run("together", func(t *testing.T) { roundTrip(t, t.TempDir(), files...) })
}
