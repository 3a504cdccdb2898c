//go:build faults || subscribers

package integration

import (
	"testing"

	"github.com/enactlog/enact/internal/natstest"
)

// Subscribers on a cluster, whose leader is killed: see TestSubscribersOnOneServer.
func TestSubscribersOnACluster(t *testing.T) {
	newStorm(t, natstest.StartCluster(t, 3, natstest.Options{})).run(t)
}
