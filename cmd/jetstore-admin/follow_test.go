package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A tail in another process shows each event as soon as it is appended, follows an
// execution before it exists, and ends with exit code 0 when it is interrupted.
func TestFollowUntilInterrupted(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			srv := listen(t, t.TempDir(), true)
			defer func() { require.NoError(t, srv.Shutdown(context.Background())) }()
			const id = "exec_followed"
			appendEvent := func(event string) {
				t.Helper()
				code, _, stderr := admin(t, "", "append", "--server", srv.ClientURL(), "--tenant", "acme", id, event)
				require.Zero(t, code, stderr)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			tail := exec.CommandContext(ctx, programName, "execution", "tail", "--server", srv.ClientURL(),
				"--tenant", "acme", "--follow", "-o", "jsonl", id)
			var stderr strings.Builder
			tail.Stderr = &stderr
			out, err := tail.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, tail.Start())
			lines := bufio.NewReader(out)

			for i, event := range []string{
				`{"type":"execution_started"}`,
				`{"type":"execution_paused","reason":"lunch"}`,
				`{"type":"execution_completed","duration_ms":5}`,
				`{"type":"execution_started"}`,
			} {
				appendEvent(event)
				line, err := lines.ReadString('\n')
				require.NoError(t, err, stderr.String())
				require.Contains(t, line, `"sequence":`+string(rune('1'+i)))
			}
			require.NoError(t, tail.Process.Signal(sig))
			require.NoError(t, tail.Wait(), stderr.String())
			require.Empty(t, stderr.String())
		})
	}
}

// An interrupt ends any other command with exit code 1.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr := admin(t, string(demoLines), "import", "--store", dir, "-")
	require.Zero(t, code, stderr)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	require.Equal(t, exitError, run(ctx, []string{"execution", "ls", "--store", dir, "--tenant", demoTenant}, nil, &out, &errs))
	require.Equal(t, "jetstore-admin: interrupted\n", errs.String())
}

// An interrupt ends a command that waits for input.
func TestInterruptedWhileReading(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"import", "--store", dir, "-"},
		{"append", "--store", dir, "--tenant", "acme", "new"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		stdin, typing := io.Pipe()
		exit := make(chan int, 1)
		var out, errs strings.Builder
		go func() { exit <- run(ctx, args, stdin, &out, &errs) }()
		// A space does no harm, and once it is taken the command reads.
		_, err := typing.Write([]byte(" "))
		require.NoError(t, err)
		cancel()
		require.Equal(t, exitError, <-exit)
		require.Contains(t, errs.String(), "jetstore-admin: interrupted\n")
		require.NoError(t, typing.Close())
	}
}

// A reader that has gone away ends a command quietly, also one that follows.
func TestReaderGone(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr := admin(t, string(demoLines), "import", "--store", dir, "-")
	require.Zero(t, code, stderr)
	id := sampleExecution(t)

	for _, args := range [][]string{
		{"export", id},
		{"execution", "events", id},
		{"execution", "tail", "--follow", id},
		{"execution", "tail", "--follow", "--all"},
		{"execution", "show", "-o", "json", id},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			// A process of its own: only there is it the descriptor 1 that breaks, whose
			// signal would kill.
			reader, stdout, err := os.Pipe()
			require.NoError(t, err)
			require.NoError(t, reader.Close())
			cmd := exec.CommandContext(t.Context(), programName, append(args, "--store", dir)...)
			var errs strings.Builder
			cmd.Stdout, cmd.Stderr = stdout, &errs
			require.NoError(t, cmd.Start())
			require.NoError(t, stdout.Close())
			require.NoError(t, cmd.Wait(), errs.String())
			require.NotContains(t, errs.String(), programName)
		})
	}
}
