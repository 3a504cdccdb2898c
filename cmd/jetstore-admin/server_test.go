package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The server serves once its URL is there, holds the directory, and ends with exit code 0
// when it is interrupted; what was appended is in the directory then.
func TestServerUntilInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	serve := exec.CommandContext(ctx, programName, "server", "--store", dir, "--port", "-1")
	var errs strings.Builder
	serve.Stderr = &errs
	out, err := serve.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, serve.Start())
	url, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url = strings.TrimSpace(url)

	code, _, stderr := admin(t, "", "append", "--server", url, "--tenant", "acme", "run-1", `{"type":"execution_started"}`)
	require.Zero(t, code, stderr)
	code, _, stderr = admin(t, "", "execution", "ls", "--store", dir, "--tenant", "acme")
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "directory is in use")

	require.NoError(t, serve.Process.Signal(os.Interrupt))
	require.NoError(t, serve.Wait(), errs.String())
	require.Contains(t, errs.String(), "serving "+dir)
	require.NotContains(t, errs.String(), programName)
	code, stdout, stderr := admin(t, "", "execution", "ls", "--store", dir, "--tenant", "acme", "-o", "jsonl")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, `"events":1`)
}
