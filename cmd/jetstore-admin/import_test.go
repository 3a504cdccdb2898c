package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/eventgen"
)

// sampleExecution is the id in the demo's run.
func sampleExecution(t *testing.T) string {
	t.Helper()
	line, _, _ := bytes.Cut(demoLines, []byte("\n"))
	var ev enact.StoredEvent
	require.NoError(t, ev.UnmarshalJSON(line))
	return string(ev.ExecutionID)
}

// roundTrip imports files into a new log and checks that an export gives equal
// events and a second import stores nothing. Each command opens the log anew.
func roundTrip(t require.TestingT, dir string, files ...string) {
	want := make(map[executionKey][]enact.StoredEvent)
	tenants := make(map[enact.TenantID]bool)
	total := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, ev := range storedEvents(t, data) {
			key := executionKey{ev.TenantID, ev.ExecutionID}
			want[key] = append(want[key], ev)
			tenants[ev.TenantID] = true
			total++
		}
	}
	require.NotZero(t, total)

	command := func(args ...string) (stdout, stderr string) {
		var out, errs bytes.Buffer
		code := run(context.Background(), patient(append(args, "--store", dir)), strings.NewReader(""), &out, &errs)
		require.Zero(t, code, "%q: %s", args, errs.String())
		return out.String(), errs.String()
	}
	_, said := command(append([]string{"import"}, files...)...)
	require.Equal(t, fmt.Sprintf("%s stored, 0 already there, in %s\n", counted(total, "event"), counted(len(want), "execution")), said)

	got := make(map[executionKey][]enact.StoredEvent)
	for tenant := range tenants {
		out, _ := command("export", "--tenant", string(tenant))
		for _, ev := range storedEvents(t, []byte(out)) {
			key := executionKey{ev.TenantID, ev.ExecutionID}
			got[key] = append(got[key], ev)
		}
	}
	require.Len(t, got, len(want))
	for key, events := range want {
		require.Len(t, got[key], len(events))
		for i, ev := range events {
			require.True(t, sameEvent(ev, got[key][i]), "execution %q\nin  %+v\nout %+v", key.id, ev, got[key][i])
		}
	}

	_, said = command(append([]string{"import"}, files...)...)
	require.Contains(t, said, fmt.Sprintf("0 events stored, %s already there", humanize.Comma(int64(total))))
}

func storedEvents(t require.TestingT, lines []byte) []enact.StoredEvent {
	var events []enact.StoredEvent
	for line := range bytes.Lines(lines) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var ev enact.StoredEvent
		require.NoError(t, ev.UnmarshalJSON(line))
		events = append(events, ev)
	}
	return events
}

func TestSampleRunsRoundTrip(t *testing.T) {
	files, err := filepath.Glob("../../testdata/runs/*.jsonl")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	roundTrip(t, t.TempDir(), files...)
}

// Whatever events, ids, times and metadata there are, in whatever order the lines of
// different executions come, an import keeps them.
func TestImportKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "import-")
		require.NoError(t, err)
		defer func() { require.NoError(t, os.RemoveAll(dir)) }()

		tenants := rapid.SliceOfNDistinct(eventgen.TenantID(), 1, 2, rapid.ID).Draw(t, "tenants")
		ids := rapid.SliceOfNDistinct(eventgen.ExecutionID(), 1, 4, rapid.ID).Draw(t, "executions")
		var lines []byte
		latest := make([]uint64, len(ids))
		metadata := make([]map[string]string, len(ids))
		traces := make([]enact.TraceContext, len(ids))
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			i := rapid.IntRange(0, len(ids)-1).Draw(t, "which")
			if rapid.Bool().Draw(t, "new metadata") {
				metadata[i], traces[i] = eventgen.Metadata().Draw(t, "metadata"), eventgen.TraceContext().Draw(t, "trace")
			}
			latest[i]++
			ev := enact.StoredEvent{
				Sequence: latest[i], ExecutionID: ids[i], TenantID: tenants[i%len(tenants)],
				Event: eventgen.Event().Draw(t, "event"), Timestamp: eventgen.Time().Draw(t, "time"), Metadata: metadata[i],
				Trace: traces[i],
			}
			lines, err = ev.AppendJSON(lines)
			require.NoError(t, err)
			lines = append(lines, '\n')
		}
		file := filepath.Join(dir, "runs.jsonl")
		require.NoError(t, os.WriteFile(file, lines, 0o600))
		roundTrip(t, filepath.Join(dir, "log"), file)
	})
}

// What an import holds back is bounded, however many executions take turns, and the
// executions are created in the order in which they first appear.
func TestImportHoldsBackLittle(t *testing.T) {
	const executions, bound = 40, 20_000
	imp := newImporter(embeddedStore(t), false)
	imp.bound = bound
	var want []enact.ExecutionID
	for seq := uint64(1); seq <= 12; seq++ {
		for i := range executions {
			ev := enact.StoredEvent{
				Sequence: seq, ExecutionID: enact.ExecutionID(fmt.Sprintf("run-%d", i)), TenantID: "acme",
				Event: enact.Custom{EventType: "blob", Data: enact.JSON(strings.Repeat("x", 100*(1+i%7)))},
			}
			line, err := ev.AppendJSON(nil)
			require.NoError(t, err)
			require.NoError(t, imp.line(t.Context(), lineAt{file: "runs.jsonl"}, line))
			require.LessOrEqual(t, imp.pending, bound)
			if seq == 1 {
				want = append(want, ev.ExecutionID)
			}
		}
	}
	require.Positive(t, imp.pending)
	require.NoError(t, imp.flushAll(t.Context()))
	require.Zero(t, imp.pending)
	require.Equal(t, importReport{Stored: 12 * executions, Executions: executions}, imp.report())

	got, err := imp.store.ListExecutions(t.Context(), "acme", executions+1, 0)
	require.NoError(t, err)
	slices.Reverse(got)
	require.Equal(t, want, got)
	for _, id := range want {
		n, err := imp.store.CountEvents(t.Context(), id, enact.InTenant("acme"))
		require.NoError(t, err)
		require.EqualValues(t, 12, n)
	}
}

// --file replaces files, and nothing else: who tries an export with /dev/null still has one
// afterwards.
func TestOnlyFilesAreReplaced(t *testing.T) {
	dir := t.TempDir()
	write := func(w io.Writer) error {
		_, err := io.WriteString(w, "whole\n")
		return err
	}
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	require.NoError(t, os.WriteFile(file, []byte("before"), 0o600))
	require.NoError(t, os.Symlink("file", link))
	require.NoError(t, replaceFile(link, write))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "whole\n", string(data))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.Equal(t, fs.ModeSymlink, info.Mode().Type())

	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	// Open for both, a pipe waits for nobody.
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	require.NoError(t, err)
	defer reader.Close()
	require.NoError(t, replaceFile(pipe, write))
	got := make([]byte, len("whole\n"))
	_, err = io.ReadFull(reader, got)
	require.NoError(t, err)
	require.Equal(t, "whole\n", string(got))
	info, err = os.Lstat(pipe)
	require.NoError(t, err)
	require.Equal(t, fs.ModeNamedPipe, info.Mode().Type())

	wrote := false
	err = replaceFile(dir, func(io.Writer) error { wrote = true; return nil })
	require.ErrorIs(t, err, syscall.EISDIR)
	require.False(t, wrote, "that it is a directory shows before the log is read")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 3)
}
