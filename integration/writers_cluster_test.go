//go:build faults || long

package integration

import (
	"testing"

	"github.com/enactlog/enact/internal/natstest"
)

// Writers in several processes share executions on a cluster, each process on the servers in an order of its own.
func TestWritersOnACluster(t *testing.T) {
	servers := natstest.StartCluster(t, 3, natstest.Options{})
	ensure(t, natstest.URLs(servers))
	writeTogether(t, natstest.URLs(servers), scaled(20, 400))
}
