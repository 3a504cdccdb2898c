package jetstore_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// catchUp stands between a store and the server, under an API prefix of its own, and
// answers as a replica that catches up does: it has the log up to a position and nothing
// behind it, though that may be within a staged batch. Leader gets it passes on.
type catchUp struct {
	nc   *nats.Conn
	upTo atomic.Uint64 // 0: all
}

const catchUpPrefix = "CATCHUP.API"

var lastSequence = regexp.MustCompile(`"last_seq":\d+`)

func startCatchUp(t *testing.T, nc *nats.Conn) *catchUp {
	t.Helper()
	c := &catchUp{nc: nc}
	sub, err := nc.Subscribe(catchUpPrefix+".>", c.pass)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Unsubscribe()) })
	require.NoError(t, nc.Flush())
	return c
}

func (c *catchUp) pass(m *nats.Msg) {
	name := strings.TrimPrefix(m.Subject, catchUpPrefix+".")
	subject, upTo := "$JS.API."+name, c.upTo.Load()
	switch {
	case upTo == 0:
	case name == "DIRECT.GET.ENACT":
		var get map[string]any
		if json.Unmarshal(m.Data, &get) != nil {
			return
		}
		if last, ok := get["last_by_subj"]; ok {
			// The same answer: one subject's last record up to there.
			delete(get, "last_by_subj")
			get["multi_last"] = []any{last}
		}
		if get["multi_last"] == nil {
			break // of bulk reads, which are not what is tested here
		}
		get["up_to_seq"] = upTo
		m.Data, _ = json.Marshal(get)
	case name == "STREAM.INFO.ENACT":
		// A leader's information may name a position within a batch that it is storing.
		go func() {
			if answer, err := c.nc.Request(subject, m.Data, time.Minute); err == nil {
				_ = m.Respond(lastSequence.ReplaceAll(answer.Data, fmt.Appendf(nil, `"last_seq":%d`, upTo)))
			}
		}()
		return
	}
	_ = c.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: m.Reply, Header: m.Header, Data: m.Data})
}

// A replica that catches up has a part of a staged batch for a while (the server stores
// what it catches up with message by message). That is no torn batch: only what the
// leader says is.
func TestReplicaHasPartOfABatch(t *testing.T) {
	ctx := t.Context()
	srv, nc := startServer(t)
	require.NoError(t, jetstore.EnsureStream(ctx, nc, jetstore.WithMemoryStorage()))
	writer, err := jetstore.Open(ctx, nc, jetstore.WithMemoryStorage())
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, writer) })
	run := writer.Execution("acme", enact.NewExecutionID())
	_, err = run.Append(ctx, note(1))
	require.NoError(t, err)
	receipt, err := run.AppendBatch(ctx, notes(5), enact.WithOneEventPerRecord())
	require.NoError(t, err)
	require.Equal(t, uint64(6), receipt.Last)

	raw := natstest.Connect(t, "", srv.InProcess())
	c := startCatchUp(t, raw)
	for upTo := receipt.Position - 4; upTo < receipt.Position; upTo++ {
		t.Run(fmt.Sprintf("%d of 5", 5-(receipt.Position-upTo)), func(t *testing.T) {
			c.upTo.Store(0)
			var mended occurrences
			// A store that knows nothing yet.
			s, err := jetstore.Open(ctx, nc, jetstore.WithMemoryStorage(), jetstore.WithAPIPrefix(catchUpPrefix), jetstore.WithTracer(&mended))
			require.NoError(t, err)
			t.Cleanup(func() { shutDown(t, s) })
			c.upTo.Store(upTo)

			infos, _, err := s.Executions(ctx, enact.Query{Tenant: "acme"})
			require.NoError(t, err)
			require.Len(t, infos, 1)
			require.NoError(t, infos[0].Err)
			require.Equal(t, uint64(6), infos[0].Events)
			require.Equal(t, enact.StatusUnknown, infos[0].Status, "no event tells one")

			for name, opts := range map[string][]enact.ReadOption{
				"forwards": nil, "backwards": {enact.Backwards()}, "the last one": {enact.Backwards(), enact.Limit(1)},
			} {
				events, err := s.Execution("acme", run.ID()).LoadEvents(ctx, append(opts, enact.AllowStale())...)
				require.NoError(t, err, name)
				require.Equal(t, run.ID(), events[0].ExecutionID)
				if name == "forwards" {
					require.Len(t, events, 6)
				}
			}
			head, err := s.Execution("acme", run.ID()).Head(ctx, enact.AllowStale())
			require.NoError(t, err)
			require.Equal(t, uint64(6), head.Sequence)
			require.NotZero(t, mended.of(jetstore.StaleAnswer))
		})
	}
}
