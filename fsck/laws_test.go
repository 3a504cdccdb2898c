package fsck_test

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/internal/record"
)

var full = flag.Bool("full", false, "try as many logs as rapid makes (make histories)")

// usualLogs is how many logs the usual run tries.
const usualLogs = 20

// placed is where a record of a drawn history stands.
type placed struct {
	execution string
	number    int // of the record, from 1
	position  uint64
}

// A healthy log has no finding, whatever is in it. With one fault there is a finding, at the
// fault's position.
func TestOneFaultIsFound(t *testing.T) {
	w := newWorld(t)
	passed := 0
	rapid.Check(t, func(rt *rapid.T) {
		if passed >= usualLogs && !*full {
			return
		}
		defer func() {
			if !rt.Failed() {
				passed++
			}
		}()
		ctx := t.Context()
		for _, stream := range []string{"ENACT", "ENACT_INDEX"} {
			_ = w.js.DeleteStream(ctx, stream) // it may not be there yet
		}
		store := w.open(t)
		var records []placed
		numbers := make(map[string]int)
		for range rapid.IntRange(3, 12).Draw(rt, "appends") {
			id := rapid.IntRange(0, 2).Draw(rt, "execution")
			n := rapid.IntRange(1, 4).Draw(rt, "events")
			var opts []enact.AppendOption
			written := 1
			if rapid.Bool().Draw(rt, "staged") {
				opts, written = append(opts, enact.WithOneEventPerRecord()), n
			}
			run := store.Execution(enact.TenantID(fmt.Sprint("t", id%2)), enact.ExecutionID(fmt.Sprint("e", id)))
			receipt, err := run.AppendBatch(ctx, notes(1, n), opts...)
			require.NoError(rt, err)
			key := string(run.Tenant()) + "/" + string(run.ID())
			for i := range written {
				numbers[key]++
				records = append(records, placed{key, numbers[key], receipt.Position - uint64(written-1-i)})
			}
		}
		var heads []enact.Head
		for id := range 3 {
			head, err := store.Execution(enact.TenantID(fmt.Sprint("t", id%2)), enact.ExecutionID(fmt.Sprint("e", id))).Head(ctx)
			require.NoError(rt, err)
			if head.Sequence > 0 {
				heads = append(heads, head)
			}
		}
		o := fsck.Options{Heads: withHeads(heads...)}
		require.Empty(rt, check(rt, ctx, store, o).Findings)

		l := w.read(t)
		at := rapid.SampledFrom(records).Draw(rt, "record")
		last := numbers[at.execution] == at.number
		fault := rapid.SampledFrom([]string{"payload", "time", "chain", "version", "removed", "foreign", "entry"}).Draw(rt, "fault")
		want := at.position
		switch fault {
		case "payload":
			m := l.records.Edit(at.position)
			m.Data[rapid.IntRange(0, len(m.Data)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case "time":
			l.records.Edit(at.position).Header.Set(record.HeaderTime, "2020-01-01T00:00:00Z")
		case "chain":
			h := l.records.Edit(at.position).Header
			link := []byte(h.Get(record.HeaderLink))
			link[len(link)-10] ^= 1
			h[record.HeaderLink] = []string{string(link)}
		case "version":
			l.records.Edit(at.position).Header.Set(record.HeaderVersion, "7")
		case "removed":
			l.records.Set(at.position, nil)
		case "foreign":
			l.records.Set(at.position, &nats.Msg{Subject: l.records.At(at.position).Subject, Data: []byte("x")})
		case "entry":
			id := []byte(`"execution_id":"` + at.execution[3:] + `"`)
			i := slices.IndexFunc(l.index.Messages, func(m *nats.Msg) bool { return bytes.Contains(m.Data, id) })
			l.index.Messages = slices.Delete(l.index.Messages, i, i+1)
			first := slices.IndexFunc(records, func(p placed) bool { return p.execution == at.execution })
			want = records[first].position
		}
		w.write(rt, ctx, l)
		report := check(rt, ctx, w.open(t), o)
		require.Len(rt, report.Findings, 1, "%s of record %d of %s, the last: %v: %+v", fault, at.number, at.execution, last, report.Findings)
		require.Equal(rt, want, report.Findings[0].Position, "%s: %+v", fault, report.Findings)
		require.Contains(rt, []string{at.execution, ""}, brief(report.Findings)[0].execution)
	})
}
