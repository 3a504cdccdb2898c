package jetstore

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/natstest"
)

// Who waits for an answer learns of every loss of the connection, and of no other end.
func TestLineTellsOfEachLoss(t *testing.T) {
	srv := natstest.Start(t, natstest.Options{})
	nc := natstest.Connect(t, srv.URL(), nats.MaxReconnects(-1))
	l := watch(nc)
	defer l.close()

	select {
	case <-l.lost():
		t.Fatal("nothing was lost")
	default:
	}
	for range 2 {
		lost := l.lost()
		srv.Kill()
		<-lost
		srv.Start()
		natstest.Eventually(t, time.Minute, nc.IsConnected, func() string { return "the client does not reconnect" })
	}
}

// An api that nobody watches a connection for waits without being told.
func TestNoLine(t *testing.T) {
	var l *line
	require.Nil(t, l.lost())
}
