package jetstore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/natstest"
)

// openInside opens a store for tests that look inside.
func openInside(t *testing.T, extra string, opts ...Option) *Store {
	t.Helper()
	// It syncs: of one that does not, a stream that is deleted and made again may begin with what
	// the deleted one had not yet written.
	srv := natstest.Start(t, natstest.Options{Extra: extra})
	nc := natstest.Connect(t, srv.URL())
	require.NoError(t, EnsureStream(t.Context(), nc))
	s, err := Open(t.Context(), nc, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	return s
}

// commitOf makes what Commit makes of a batch before it gets into a lane.
func commitOf(t *testing.T, s *Store, b enact.Batch) *commit {
	t.Helper()
	c := &commit{s: s, batch: &b, key: execution{b.TenantID, b.ExecutionID}, id: uuid.Must(uuid.NewV7()), times: eventTimes(&b)}
	var err error
	c.texts, err = b.Encode()
	require.NoError(t, err)
	c.groups, err = pack(c)
	require.NoError(t, err)
	return c
}

// together appends batches to execution run of tenant acme, which exists: the first drives
// while the others wait behind it.
func together(t *testing.T, s *Store, batches ...enact.Batch) (receipts []enact.Receipt) {
	t.Helper()
	l := s.lanes.acquire(execution{"acme", "run"}, s.cfg.subjects)
	defer s.lanes.release(l)
	var drives *commit
	var waiting []*request
	for i, b := range batches {
		b.TenantID, b.ExecutionID = "acme", "run"
		c := commitOf(t, s, b)
		if i == 0 {
			drives = c
			continue
		}
		waiting = append(waiting, &request{c: c, wake: make(chan wakeup, 1)})
	}
	l.driven, l.waiting = true, append([]*request(nil), waiting...)
	receipt, err := drives.run(t.Context(), l)
	require.NoError(t, err, "append 0")
	l.handOver()
	receipts = append(receipts, receipt)
	for i, req := range waiting {
		receipt, err := l.woken(t.Context(), req, <-req.wake)
		require.NoError(t, err, "append %d", i+1)
		receipts = append(receipts, receipt)
	}
	return receipts
}

func pause(reason string) []enact.Event { return []enact.Event{enact.ExecutionPaused{Reason: reason}} }

// Appends that could be stored alone are stored: that they share a record with others must
// not make them too large, for the server, for the headers, or for the codec.
func TestSharingMakesNothingTooLarge(t *testing.T) {
	small, err := codec.NewZstd(nil, codec.MaxDecoded(4096))
	require.NoError(t, err)
	wide := map[string]string{"m": strings.Repeat("\x01", enact.MaxMetadata-1)}
	far := time.Date(1800, 1, 1, 0, 0, 0, 1, time.UTC)
	many := make([]enact.Event, maxShared-1)
	for i := range many {
		many[i] = enact.ExecutionPaused{}
	}
	for name, tc := range map[string]struct {
		extra   string
		opts    []Option
		batches []enact.Batch
	}{
		"for the server": {extra: "max_payload: 16384", batches: []enact.Batch{
			{Events: pause(strings.Repeat("a", 10_000))}, {Events: pause(strings.Repeat("b", 10_000))}, {Events: pause("c")},
		}},
		"for the headers": {batches: []enact.Batch{
			{Events: pause("a"), Options: enact.AppendOptions{Metadata: wide}},
			{Events: many, Options: enact.AppendOptions{Metadata: wide, Timestamp: far}},
		}},
		"for the codec": {opts: []Option{WithCodec(small)}, batches: []enact.Batch{
			{Events: pause(strings.Repeat("a", 3000))}, {Events: pause(strings.Repeat("b", 3000))}, {Events: pause("c")},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := openInside(t, tc.extra, tc.opts...)
			_, err := s.Append(t.Context(), "run", "acme", pause("first")[0])
			require.NoError(t, err)
			next := uint64(2)
			for i, r := range together(t, s, tc.batches...) {
				require.Equal(t, next, r.First, "append %d", i)
				next += uint64(len(tc.batches[i].Events))
				require.Equal(t, next-1, r.Last, "append %d", i)
			}
			loaded, err := s.LoadEvents(t.Context(), "run")
			require.NoError(t, err)
			require.Len(t, loaded, int(next)-1)
		})
	}
}

// Each event is stored with the trace context that its caller gave, recorded or not.
func TestSharedRecordsKeepTheCallersTrace(t *testing.T) {
	s := openInside(t, "")
	_, err := s.Append(t.Context(), "run", "acme", pause("first")[0])
	require.NoError(t, err)
	traces := []enact.TraceContext{
		{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
		{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
		{},
	}
	var batches []enact.Batch
	for _, trace := range traces {
		batches = append(batches, enact.Batch{Events: pause("x"), Options: enact.AppendOptions{Trace: trace}})
	}
	together(t, s, batches...)
	loaded, err := s.LoadEvents(t.Context(), "run")
	require.NoError(t, err)
	require.Len(t, loaded, 4)
	for i, trace := range traces {
		require.Equal(t, trace, loaded[i+1].Trace, "append %d", i)
	}
}

// readingCodec is a codec that looks at the events themselves.
type readingCodec struct {
	codec.JSON
	most int // events of one record
}

func (c *readingCodec) Name() string { return "reading" }

func (c *readingCodec) Encode(ctx context.Context, dst []byte, place codec.Place, events []enact.Event) ([]byte, string, error) {
	c.most = max(c.most, len(events))
	payload, _, err := c.JSON.Encode(ctx, dst, place, events)
	return payload, c.Name(), err
}

// A caller that leaves the queue has its events back. A codec that looks at events, and not
// at the store's own JSON of them, is given none but those of the caller that waits for it.
func TestCodecLooksAtNobodyElsesEvents(t *testing.T) {
	c := new(readingCodec)
	s := openInside(t, "", WithCodec(c))
	_, err := s.Append(t.Context(), "run", "acme", pause("first")[0])
	require.NoError(t, err)
	together(t, s, enact.Batch{Events: pause("a")}, enact.Batch{Events: pause("b")})
	require.Equal(t, 1, c.most)
}
