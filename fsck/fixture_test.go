package fsck_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// world is a server and a log on it.
type world struct {
	srv *embedded.Server // nil: not this one's
	nc  *nats.Conn
	js  jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithMemoryStorage())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	w := connect(t, srv.InProcess())
	w.srv = srv
	return w
}

func connect(t *testing.T, opt nats.Option) *world {
	t.Helper()
	nc := natstest.Connect(t, "", opt)
	js := natstest.JetStream(t, nc)
	return &world{nc: nc, js: js}
}

// open opens the log anew, so that the store knows nothing of it.
func (w *world) open(t *testing.T, opts ...jetstore.Option) *jetstore.Store {
	t.Helper()
	opts = append([]jetstore.Option{jetstore.WithMemoryStorage()}, opts...)
	require.NoError(t, jetstore.EnsureStream(t.Context(), w.nc, opts...))
	s, err := jetstore.Open(t.Context(), w.nc, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	return s
}

func note(n int) enact.Event {
	return enact.Custom{EventType: "note", Data: fmt.Appendf(nil, "%d", n)}
}

func notes(from, n int) []enact.Event {
	events := make([]enact.Event, n)
	for i := range events {
		events[i] = note(from + i)
	}
	return events
}

// logCopy is a copy of a log's two streams.
type logCopy struct{ records, index *logtest.Stream }

func (w *world) read(t *testing.T) *logCopy {
	t.Helper()
	records, err := logtest.ReadStream(t.Context(), w.js, "ENACT")
	require.NoError(t, err)
	index, err := logtest.ReadStream(t.Context(), w.js, "ENACT_INDEX")
	require.NoError(t, err)
	return &logCopy{records, index}
}

func (l *logCopy) clone() *logCopy { return &logCopy{l.records.Clone(), l.index.Clone()} }

func (w *world) write(t require.TestingT, ctx context.Context, l *logCopy) {
	require.NoError(t, l.index.Write(ctx, w.js))
	require.NoError(t, l.records.Write(ctx, w.js))
}

// finding is what a test says of a finding.
type finding struct {
	kind      fsck.Kind
	stream    string
	execution string // tenant/id
	sequence  uint64
	position  uint64
	last      uint64
}

func brief(found []fsck.Finding) []finding {
	all := []finding{}
	for _, f := range found {
		b := finding{f.Kind, f.Stream, "", f.Sequence, f.Position, f.Last}
		if f.TenantID != "" {
			b.execution = string(f.TenantID) + "/" + string(f.ExecutionID)
		}
		all = append(all, b)
	}
	return all
}

func check(t require.TestingT, ctx context.Context, s *jetstore.Store, o fsck.Options) *fsck.Report {
	report, err := fsck.Check(ctx, s, o)
	require.NoError(t, err)
	return report
}
