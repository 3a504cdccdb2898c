package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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
  timeout: 60
  users: [
    { user: operator, password: x }
    { user: reader, password: x, permissions: { publish: { deny: "enact.>" } } }
    { user: writer, password: x, permissions: { publish: { deny: "$JS.API.STREAM.MSG.GET.>" } } }
  ]
}`, NATS: []nats.Option{nats.UserInfo("operator", "x")}})
	connect := func(user string) *jetstore.Store {
		s, err := jetstore.Connect(t.Context(), srv.URL(), jetstore.WithNATS(nats.Timeout(time.Minute), nats.UserInfo(user, "x")))
		require.NoError(t, err)
		t.Cleanup(func() { shutDown(t, s) })
		return s
	}
	nc := natstest.Connect(t, srv.URL(), nats.UserInfo("operator", "x"))
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	_, err := connect("operator").Append(t.Context(), "there", "t", note(1))
	require.NoError(t, err)

	reader := connect("reader")
	_, err = reader.Append(t.Context(), "there", "t", note(2))
	require.ErrorIs(t, err, enact.ErrNotPermitted)
	require.NotErrorIs(t, err, enact.ErrUnknownOutcome)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	loaded, err := reader.LoadEvents(t.Context(), "there")
	require.NoError(t, err)
	require.Len(t, loaded, 1)
	_, err = connect("writer").LoadEvents(t.Context(), "there")
	require.ErrorIs(t, err, enact.ErrNotPermitted)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

// That holds for each of many calls at once: the server's word on one does not hide that on
// another. What it refused is of no unknown outcome.
func TestMissingPermissionsOfManyCalls(t *testing.T) {
	t.Parallel() // it waits most of the time
	srv := natstest.Start(t, natstest.Options{NoSync: true, Extra: `
authorization {
  timeout: 60
  users: [
    { user: operator, password: x }
    { user: reader, password: x, permissions: { publish: { deny: "enact.>" } } }
  ]
}`, NATS: []nats.Option{nats.UserInfo("operator", "x")}})
	nc := natstest.Connect(t, srv.URL(), nats.UserInfo("operator", "x"))
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	operator, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	defer shutDown(t, operator)
	var told atomic.Int64
	reader, err := jetstore.Connect(t.Context(), srv.URL(), jetstore.WithNATS(nats.Timeout(time.Minute), nats.UserInfo("reader", "x"),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { told.Add(1) })))
	require.NoError(t, err)
	defer shutDown(t, reader)

	const calls = 20
	var all sync.WaitGroup
	for i := range calls {
		run := enact.ExecutionID(fmt.Sprintf("run-%d", i))
		_, err := operator.Append(t.Context(), run, "t", note(1))
		require.NoError(t, err)
		all.Go(func() {
			_, err := reader.Append(t.Context(), run, "t", note(2))
			if !errors.Is(err, enact.ErrNotPermitted) || errors.Is(err, enact.ErrUnknownOutcome) {
				t.Errorf("%s: %v", run, err)
			}
		})
	}
	all.Wait()
	natstest.Eventually(t, time.Minute, func() bool { return told.Load() >= calls }, func() string { return "the caller's own handler was not told" })
}
