//go:build deployment

package main

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/deployment"
	"github.com/enactlog/enact/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// The program says where the servers are, starts one again that was killed, and stops all
// when it is interrupted.
func TestRunCluster(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := runCluster(ctx, w, deployment.Options{Config: "../../../deploy/nats", Dir: t.TempDir(), FreePorts: true})
		_ = w.CloseWithError(io.EOF)
		ended <- err
	}()
	lines := bufio.NewScanner(r)
	await := func(what string) string {
		for lines.Scan() {
			if strings.Contains(lines.Text(), what) {
				return lines.Text()
			}
		}
		require.NoError(t, <-ended)
		require.Fail(t, "it never said "+what)
		return ""
	}
	process := func(line string) int {
		pid, err := strconv.Atoi(regexp.MustCompile(`process (\d+)`).FindStringSubmatch(line)[1])
		require.NoError(t, err)
		return pid
	}
	pid := process(await("  n2  nats://127.0.0.1:"))
	await("platform.env")
	await("Ctrl-C")
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	await("n2 has ended")
	require.NotEqual(t, pid, process(await("n2 is back")))
	interrupt()
	await("all servers have stopped")
	require.NoError(t, <-ended)
}
