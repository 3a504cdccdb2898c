package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

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
			infos, next, err := listInfos(t.Context(), store, enact.Query{Tenant: "acme"}, limit, offset)
			require.NoError(t, err)
			got := []enact.ExecutionID{}
			for _, info := range infos {
				got = append(got, info.ExecutionID)
				require.Equal(t, enact.StatusRunning, info.Status)
			}
			rest := want[min(offset, len(want)):]
			require.Equal(t, rest[:min(limit, len(rest))], got, "limit %d, offset %d", limit, offset)
			if limit == 0 || len(got) < limit {
				continue
			}
			// The rest is where the cursor says.
			for next != "" {
				infos, next, err = listInfos(t.Context(), store, enact.Query{Tenant: "acme", Cursor: next}, 1, 0)
				require.NoError(t, err)
				for _, info := range infos {
					got = append(got, info.ExecutionID)
				}
			}
			require.Equal(t, rest, got, "limit %d, offset %d", limit, offset)
		}
	}
	// Stored before it is read, which is over another connection.
	_, err := store.Conn().RequestMsg(&nats.Msg{Subject: store.Subjects().Execution("acme", "e6")}, patience)
	require.NoError(t, err)
	infos, _, err := listInfos(t.Context(), store, enact.Query{Tenant: "acme"}, 1, 0)
	require.NoError(t, err)
	require.Contains(t, infos[0].Error, "corrupt")
}

func TestParseWhen(t *testing.T) {
	now := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-05-03T12:00:00+02:00": "2026-05-03T10:00:00Z", "2026-05-03": "2026-05-03T00:00:00Z", "24h": "2026-05-03T10:00:00Z", "0s": "2026-05-04T10:00:00Z",
	} {
		got, err := parseWhen(text, now)
		require.NoError(t, err, text)
		require.Equal(t, want, got.UTC().Format(time.RFC3339), text)
	}
	for _, text := range []string{"", "yesterday", "-1h", "2026-13-01", "24"} {
		_, err := parseWhen(text, now)
		require.Error(t, err, text)
	}
}
