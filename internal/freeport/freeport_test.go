package freeport_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/freeport"
	"github.com/enactlog/enact/internal/natstest"
)

func TestFind(t *testing.T) {
	var failed error
	// Another process may take one of them in between, but not time and again.
	natstest.Eventually(t, time.Minute, func() bool {
		ports, err := freeport.Find(50)
		require.NoError(t, err)
		require.Len(t, ports, 50)
		failed = nil
		seen := make(map[int]bool)
		for _, port := range ports {
			require.False(t, seen[port])
			seen[port] = true
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				failed = err
				continue
			}
			require.NoError(t, l.Close())
		}
		return failed == nil
	}, func() string { return failed.Error() })
	_, err := freeport.Find(20_000)
	require.ErrorIs(t, err, freeport.ErrNone)
}
