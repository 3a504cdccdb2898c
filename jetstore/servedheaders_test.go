package jetstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/record"
)

// served is what a server adds to the answers to direct gets, and what tells those that are
// no messages. It keeps messages that were published with such headers as they are.
func served(subject string, position uint64) nats.Header {
	return nats.Header{
		"Nats-Stream": {"OTHER"}, "Nats-Subject": {subject}, "Nats-Sequence": {fmt.Sprint(position)},
		"Nats-Time-Stamp": {"2020-01-01T00:00:00Z"}, "Nats-Num-Pending": {"0"}, "Nats-Last-Sequence": {"0"},
		"Nats-UpTo-Sequence": {"0"},
	}
}

// A log whose messages somebody has moved as direct gets had given them, with the headers
// that their server had added, is read as before.
func TestHeadersOfAnEarlierServer(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			c := copyLog(t, w.shape)
			n := len(c.records)
			want, _, err := c.l.store.Executions(t.Context(), enact.Query{Tenant: c.run.Tenant()})
			require.NoError(t, err)
			js := natstest.JetStream(t, c.l.raw)
			index, err := logtest.ReadStream(t.Context(), js, "ENACT_INDEX")
			require.NoError(t, err)
			for _, s := range []*logtest.Stream{index, c.stream} {
				for i := range s.Messages {
					m := s.Edit(s.First + uint64(i))
					for k, v := range served("enact.other.x", uint64(i+1)) {
						m.Header[k] = v
					}
				}
			}
			require.NoError(t, index.Write(t.Context(), js))
			run := c.alter().open(t)
			compareRead(t, t.Context(), run, n, 0, 0, true)
			compareRead(t, t.Context(), run, n, n/2, 2, false)
			events, err := run.LoadEvents(t.Context())
			require.NoError(t, err)
			for i, ev := range events {
				require.Equal(t, c.position(i+1), ev.Position)
			}
			ids, err := run.Store().ListExecutions(t.Context(), run.Tenant(), 10, 0)
			require.NoError(t, err)
			require.Equal(t, []enact.ExecutionID{run.ID()}, ids)
			page, _, err := run.Store().Executions(t.Context(), enact.Query{Tenant: run.Tenant()})
			require.NoError(t, err)
			require.Equal(t, want, page)
			report, err := run.Store().RebuildIndex(t.Context(), nil)
			require.NoError(t, err)
			require.Zero(t, report.Added)
		})
	}
}

// What stands on another's subject is no record of the execution, whatever it says of
// itself, and does not make it look as if a replica lagged.
func TestMessagesOfOthersThatClaimToBeRecords(t *testing.T) {
	l := newWatchedLog(t)
	run := l.store.Execution("b", "run")
	append1 := func(n int) enact.Receipt {
		receipt, err := run.Append(t.Context(), note(n))
		require.NoError(t, err)
		return receipt
	}
	append1(1)
	position := append1(2).Position
	m, err := natstest.JetStream(t, l.raw).Stream(t.Context(), "ENACT")
	require.NoError(t, err)
	second, err := m.GetMsg(t.Context(), position)
	require.NoError(t, err)
	r, err := record.Parse(l.store.Subjects(), second.Subject, position, second.Header, second.Data)
	require.NoError(t, err)
	forged := &record.Record{
		TenantID: "b", ExecutionID: "run", Times: []time.Time{time.Now().UTC()}, Codec: "json",
		Commit: record.Commit{ID: logtest.NewCommit(time.Now()), Index: 1, Of: 1}, Payload: []byte(`{"type":"execution_paused","reason":"forged"}`),
	}
	_, err = forged.After(r.Tail())
	require.NoError(t, err)
	record3, err := forged.Message(l.store.Subjects())
	require.NoError(t, err)
	record3.Header[headerExpectedSubject] = []string{record3.Subject}
	record3.Subject = "enact.a.own"
	for k, v := range served("enact.b.run", position+1) {
		record3.Header[k] = v
	}
	messages := []*nats.Msg{record3}
	for _, status := range []string{"204", "404", "408", "503"} {
		messages = append(messages, &nats.Msg{Subject: "enact.a.own", Header: nats.Header{"Status": {status}}})
	}
	for i, m := range messages {
		ack, err := l.raw.RequestMsg(m, time.Minute)
		require.NoError(t, err)
		require.NotContains(t, string(ack.Data), "error")
		n := i + 3
		append1(n)
		got := l.counted(t, func() { compareRead(t, t.Context(), run, n, 1, 2, false) })
		require.Equal(t, 2, got.leader, "only for the watermark, message %d", i)
		compareRead(t, t.Context(), run, n, 0, 0, false)
		compareRead(t, t.Context(), run, n, 1, 0, false)
	}
}
