package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/backup"
	"github.com/enactlog/enact/jetstore/embedded"
)

// An interrupt while a command writes files leaves what the command was to write, whole, or
// nothing at all: never a part of it.
func TestInterruptLeavesAllOrNothing(t *testing.T) {
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(-1), embedded.WithSyncInterval(time.Minute))
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Shutdown(context.Background())) }()
	nc, err := dial(srv.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	store, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	const events = 60
	noise := rand.NewChaCha8([32]byte{1}) // which cannot be packed
	for i := range events {
		raw := make([]byte, 100_000)
		_, _ = noise.Read(raw) // never fails
		event := enact.Custom{EventType: "noise", Data: enact.JSON(raw)}
		_, err := store.Append(t.Context(), enact.ExecutionID(fmt.Sprint("exec_", i%3)), "acme", event)
		require.NoError(t, err)
	}
	require.NoError(t, store.Shutdown(t.Context()))

	for name, c := range map[string]struct {
		args  func(dir string) []string
		whole func(t *testing.T, dir string)
	}{
		"backup": {
			args: func(dir string) []string { return []string{"stream", "backup", dir} },
			whole: func(t *testing.T, dir string) {
				for _, kind := range kinds {
					snap, err := backup.OpenDir(filepath.Join(dir, kind))
					require.NoError(t, err)
					require.NoError(t, snap.Verify(t.Context(), nil))
				}
			},
		},
		"export": {
			args: func(dir string) []string {
				return []string{"export", "--tenant", "acme", "--file", filepath.Join(dir, "acme.jsonl")}
			},
			whole: func(t *testing.T, dir string) {
				data, err := os.ReadFile(filepath.Join(dir, "acme.jsonl"))
				require.NoError(t, err)
				require.Equal(t, events, bytes.Count(data, []byte("\n")))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, programName, append(c.args(dir), "--server", srv.ClientURL())...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			require.NoError(t, cmd.Start())
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()

			// As soon as it has begun to write.
			look := time.NewTicker(time.Millisecond)
			defer look.Stop()
			var failed error
			for begun, done := false, false; !done; {
				select {
				case failed = <-ended:
					done = true
				case <-look.C:
					left, err := os.ReadDir(dir)
					require.NoError(t, err)
					if !begun && len(left) > 0 {
						begun = true
						require.NoError(t, cmd.Process.Signal(os.Interrupt))
					}
				}
			}
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			t.Logf("%v: %d entries are left", failed, len(left))
			if failed == nil {
				c.whole(t, dir) // it was done before it was told
				return
			}
			require.Equal(t, exitError, cmd.ProcessState.ExitCode(), stderr.String())
			require.Equal(t, "jetstore-admin: interrupted\n", stderr.String())
			require.Empty(t, left)
		})
	}
}
