package freeport_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/freeport"
)

func TestFind(t *testing.T) {
	ports, err := freeport.Find(50)
	require.NoError(t, err)
	seen := make(map[int]bool)
	for _, port := range ports {
		require.False(t, seen[port])
		seen[port] = true
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	_, err = freeport.Find(20_000)
	require.ErrorIs(t, err, freeport.ErrNone)
}
