package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// A list is cut by limit and offset, over any number of pages.
func TestListInfos(t *testing.T) {
	store := embeddedStore(t)
	want := []enact.ExecutionID{}
	for i := range 7 {
		id := enact.ExecutionID(fmt.Sprint("e", i))
		_, err := store.Append(t.Context(), id, "acme", enact.ExecutionStarted{})
		require.NoError(t, err)
		want = slices.Insert(want, 0, id)
	}
	for limit := range 9 {
		for offset := range 9 {
			infos, err := listInfos(t.Context(), store, "acme", limit, offset)
			require.NoError(t, err)
			got := []enact.ExecutionID{}
			for _, info := range infos {
				got = append(got, info.ExecutionID)
				require.Equal(t, enact.StatusRunning, info.Status)
			}
			rest := want[min(offset, len(want)):]
			require.Equal(t, rest[:min(limit, len(rest))], got, "limit %d, offset %d", limit, offset)
		}
	}
	require.NoError(t, store.Conn().PublishMsg(&nats.Msg{Subject: store.Subjects().Execution("acme", "e6")}))
	infos, err := listInfos(t.Context(), store, "acme", 1, 0)
	require.NoError(t, err)
	require.Contains(t, infos[0].Error, "corrupt")
}
