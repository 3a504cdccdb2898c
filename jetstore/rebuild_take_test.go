package jetstore

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// headersOnly is a message as a consumer of a rebuild gives it.
type headersOnly struct {
	jetstream.Msg
	*message
}

func (m headersOnly) Subject() string      { return m.subject }
func (m headersOnly) Headers() nats.Header { return m.header }

// A creation that is read again, since what had gathered could not be sent in time, counts once.
func TestRebuildCountsWhatItReadsAgainOnce(t *testing.T) {
	s := openInside(t, "")
	receipt, err := s.Execution("acme", "run").Append(t.Context(), pause("x")[0])
	require.NoError(t, err)
	m, err := s.asks.leaderGet(t.Context(), s.cfg.stream, getRequest{Seq: receipt.Position})
	require.NoError(t, err)

	rb := &rebuild{s: s, known: make(map[entryID]struct{}), tenants: make(map[enact.TenantID]*missing)}
	gathered := rb.tenant("acme")
	for range rebuildBatch - 1 {
		id := enact.NewExecutionID()
		gathered.entries = append(gathered.entries, creation{key: execution{"acme", id}, commit: uuid.New()})
	}
	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, rb.take(ended, m.position, headersOnly{message: m}), context.Canceled)
	require.Len(t, gathered.entries, rebuildBatch)
	require.Zero(t, rb.report.Executions)
	require.NoError(t, rb.take(t.Context(), m.position, headersOnly{message: m}))
	require.EqualValues(t, 1, rb.report.Executions)
	require.Len(t, gathered.entries, rebuildBatch)
}
