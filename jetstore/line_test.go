package jetstore

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/natstest"
)

// Who waits for an answer learns of every loss of the connection, and of no other end.
func TestLineTellsOfEachLoss(t *testing.T) {
	srv := natstest.Start(t, natstest.Options{})
	nc, err := nats.Connect(srv.URL(), nats.MaxReconnects(-1))
	require.NoError(t, err)
	defer nc.Close()
	l := watch(nc)
	defer l.close()

	_, end := l.whileUp(t.Context())
	require.False(t, end(), "nothing was lost")
	cancelled, cancel := context.WithCancel(t.Context())
	ctx, end := l.whileUp(cancelled)
	cancel()
	<-ctx.Done()
	require.False(t, end(), "the caller's own end is no loss")

	for range 2 {
		ctx, end := l.whileUp(t.Context())
		srv.Kill()
		<-ctx.Done()
		require.True(t, end())
		srv.Start()
		natstest.Eventually(t, tryTimeout*5, nc.IsConnected, func() string { return "the client does not reconnect" })
	}
}
