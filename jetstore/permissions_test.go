package jetstore_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// What a connection may not do is said so, and soon, not left to a time-out.
func TestMissingPermissions(t *testing.T) {
	srv := natstest.Start(t, natstest.Options{Extra: `
authorization {
  users: [
    { user: operator, password: x }
    { user: reader, password: x, permissions: { publish: { deny: "enact.>" } } }
    { user: writer, password: x, permissions: { publish: { deny: "$JS.API.STREAM.MSG.GET.>" } } }
  ]
}`, NATS: []nats.Option{nats.UserInfo("operator", "x")}})
	connect := func(user string) *jetstore.Store {
		s, err := jetstore.Connect(t.Context(), srv.URL(), jetstore.WithNATS(nats.UserInfo(user, "x")))
		require.NoError(t, err)
		t.Cleanup(func() { shutDown(t, s) })
		return s
	}
	nc, err := nats.Connect(srv.URL(), nats.UserInfo("operator", "x"))
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	_, err = connect("operator").Append(t.Context(), "there", "t", note(1))
	require.NoError(t, err)

	began := time.Now()
	reader := connect("reader")
	_, err = reader.Append(t.Context(), "there", "t", note(2))
	require.ErrorIs(t, err, enact.ErrNotPermitted)
	require.NotErrorIs(t, err, enact.ErrUnknownOutcome)
	loaded, err := reader.LoadEvents(t.Context(), "there")
	require.NoError(t, err)
	require.Len(t, loaded, 1)
	_, err = connect("writer").LoadEvents(t.Context(), "there")
	require.ErrorIs(t, err, enact.ErrNotPermitted)
	require.Less(t, time.Since(began), jetstore.DefaultTimeout)
}
