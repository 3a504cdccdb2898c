//go:build biglog

package bench

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/loggen"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// What a log takes of a server, by the number of its executions and of its events, each
// a record: `make sizing`, for docs/operations.md.
func TestSizing(t *testing.T) {
	n := scaled(t, 200_000)
	empty := weigh(t, 0, 0)
	t.Logf("a server with an empty log: %s of memory", humanize.IBytes(empty.memory))
	for _, per := range []int{1, 10, 100} {
		executions := max(1, n/per)
		w := weigh(t, n, executions)
		million := func(bytes, of uint64) string { return humanize.IBytes(bytes * 1_000_000 / of) }
		t.Logf("%d events of %d executions: log %s for a million events, index %s for a million executions, memory %s",
			n, executions, million(w.log, uint64(n)), million(w.index, uint64(executions)), humanize.IBytes(w.memory))
	}
}

// weight is what a log takes, in bytes.
type weight struct{ log, index, memory uint64 }

// weigh writes a log and weighs it, and the server's memory after it was started on it anew.
func weigh(t *testing.T, records, executions int) (w weight) {
	t.Helper()
	dir := t.TempDir()
	srv := natstest.Start(t, natstest.Options{Dir: dir, NoSync: true})
	nc, err := nats.Connect(srv.URL())
	check(t, err)
	defer nc.Close()
	check(t, jetstore.EnsureStream(t.Context(), nc))
	if records > 0 {
		shape := loggen.Shape{
			Seed: 1, Records: records, Executions: executions, Tenants: 10,
			Classes: []loggen.Class{{Name: "agent", Count: executions, Min: records / executions, Gap: 50, Single: true}},
		}
		plan, err := shape.Plan()
		check(t, err)
		subjects, err := enact.NewSubjects("")
		check(t, err)
		check(t, plan.Publish(t.Context(), loggen.Log{Conn: nc, Subjects: subjects}))
	}
	srv.Stop()
	w.log, w.index = sizeOf(t, dir, "ENACT"), sizeOf(t, dir, "ENACT_INDEX")
	srv.Start()
	srv.AwaitReady()
	w.memory = resident(t, srv.PID())
	return w
}

// sizeOf returns the size of what lies below the folders of a stream.
func sizeOf(t *testing.T, dir, stream string) (n uint64) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !bytes.Contains([]byte(path), []byte("/streams/"+stream+"/")) {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += uint64(info.Size())
		}
		return err
	}))
	if n == 0 {
		t.Fatalf("nothing of stream %s lies in %s", stream, dir)
	}
	return n
}

// resident returns the memory of a process that is resident.
func resident(t *testing.T, pid int) uint64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	check(t, err)
	_, rest, ok := bytes.Cut(status, []byte("VmRSS:"))
	fields := bytes.Fields(rest)
	if !ok || len(fields) == 0 {
		t.Fatal("the kernel does not say how much memory is resident")
	}
	kib, err := strconv.ParseUint(string(fields[0]), 10, 64)
	check(t, err)
	return kib << 10
}
