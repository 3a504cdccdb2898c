package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore/embedded"
)

// asProgram makes the test binary the program itself, so that it can crash.
const asProgram = "ENACT_EXAMPLE_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs the program and reports whether it crashed.
func start(t *testing.T, args ...string) (output string, crashed bool) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitCrash {
		return string(out), true
	}
	require.NoError(t, err, string(out))
	return string(out), false
}

// An agent that crashes at each of its steps in turn gets to the end, and has each effect
// once.
func TestCrashes(t *testing.T) {
	dir := t.TempDir()
	lives := 1
	// Each life gets two steps further, so that every kind of step is a last one.
	for ; ; lives++ {
		out, crashed := start(t, "-dir", dir, "-crash", strconv.Itoa(2+lives%2))
		if !crashed {
			break
		}
		require.Less(t, lives, 100, out)
	}
	require.Greater(t, lives, 5)
	out, crashed := start(t, "-dir", dir)
	require.False(t, crashed)
	require.Equal(t, "the log has 8 events: going on\nthere is nothing left to do\n", out)

	sent, err := outbox{filepath.Join(dir, "outbox.jsonl")}.letters()
	require.NoError(t, err)
	require.Len(t, sent, 2)
	require.Contains(t, string(sent[0].Input), "ann@")
	require.Contains(t, string(sent[1].Input), "bob@")

	store, err := embedded.Open(t.Context(), filepath.Join(dir, "log"))
	require.NoError(t, err)
	events, err := store.LoadEvents(t.Context(), "exec_weather", enact.InTenant("acme"))
	require.NoError(t, err)
	require.NoError(t, store.Shutdown(t.Context()))
	var types []string
	for _, ev := range events {
		types = append(types, ev.Event.Type())
	}
	require.Equal(t, "execution_started "+strings.Repeat("tool_call_started tool_call_completed ", 3)+"execution_completed", strings.Join(types, " "))
}

// Without a directory the program leaves nothing behind.
func TestWithoutDirectory(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, "", 0))
	require.Contains(t, out.String(), "8 execution_completed")
}
