package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/scratch"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// scratchStreams returns the scratch streams of a server.
func scratchStreams(t *testing.T, nc *nats.Conn) []string {
	t.Helper()
	m, err := nc.Request("$JS.API.STREAM.NAMES", nil, time.Minute)
	require.NoError(t, err)
	var names struct{ Streams []string }
	require.NoError(t, json.Unmarshal(m.Data, &names))
	return slices.DeleteFunc(names.Streams, func(s string) bool { return !scratch.IsScratch(s) })
}

// An interrupt of a bench leaves nothing behind.
func TestBenchInterrupted(t *testing.T) {
	srv := listen(t, t.TempDir(), false)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	nc, err := dial(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	ctx, interrupt := context.WithCancel(t.Context())
	exit := make(chan int, 1)
	var out, errs strings.Builder
	go func() {
		exit <- run(ctx, []string{"bench", "--server", srv.ClientURL(), "--events", "10000000", "--timeout", "1m"}, nil, &out, &errs)
	}()
	natstest.Eventually(t, time.Minute, func() bool { return len(scratchStreams(t, nc)) == 2 }, func() string { return "no scratch log" })
	interrupt()
	require.Equal(t, exitError, <-exit)
	require.Equal(t, "jetstore-admin: interrupted\n", errs.String())
	require.Empty(t, out.String())
	require.Empty(t, scratchStreams(t, nc))
}

func TestPercentile(t *testing.T) {
	var times []time.Duration
	require.Zero(t, percentile(times, 99))
	for i := range 1000 {
		times = append(times, time.Duration(i+1)*time.Microsecond)
	}
	for p, want := range map[int]int64{50: 500, 90: 900, 99: 990, 100: 1000} {
		require.Equal(t, want, percentile(times, p))
	}
	for p, want := range map[int]int64{50: 1, 90: 2, 99: 2, 100: 2} {
		require.Equal(t, want, percentile(times[:2], p))
	}
}

// An event of the bench is as large as it was asked to be, where that can be.
func TestBenchEvent(t *testing.T) {
	for _, size := range []int{1, 100, 256, maxBenchSize} {
		b := newBench(nil, &benchFlags{Size: size})
		require.Equal(t, max(size, eventSize(enact.Custom{EventType: "bench", Data: enact.JSON("")})), b.size)
	}
}

func TestFirstDifference(t *testing.T) {
	failed := errors.New("broken")
	history := func(n uint64, err error) iter.Seq2[enact.StoredEvent, error] {
		return func(yield func(enact.StoredEvent, error) bool) {
			for seq := range n {
				if !yield(enact.StoredEvent{Sequence: seq + 1, ExecutionID: "e", TenantID: "t", Event: enact.ExecutionResumed{}}, nil) {
					return
				}
			}
			if err != nil {
				yield(enact.StoredEvent{}, err)
			}
		}
	}
	d, err := firstDifference(history(3, nil), history(3, nil), true)
	require.NoError(t, err)
	require.Equal(t, difference{Equal: true, Events: 3}, d)
	d, err = firstDifference(history(3, nil), history(1, nil), true)
	require.NoError(t, err)
	require.EqualValues(t, 1, d.Events)
	require.EqualValues(t, 2, d.Sequence)
	require.Equal(t, "end", d.In)
	require.Nil(t, d.B)
	d, err = firstDifference(history(0, nil), history(1, nil), true)
	require.NoError(t, err)
	require.Nil(t, d.A)
	_, err = firstDifference(history(3, failed), history(4, nil), true)
	require.ErrorIs(t, err, failed)
	_, err = firstDifference(history(3, nil), history(2, failed), true)
	require.ErrorIs(t, err, failed)

	x := enact.StoredEvent{Sequence: 1, Event: enact.ExecutionResumed{}, Metadata: map[string]string{"a": "b"}}
	y := x
	y.Metadata = nil
	require.Equal(t, "metadata", differs(x, y, true))
	require.Empty(t, differs(x, y, false))
	y.Sequence = 2
	require.Equal(t, "sequence", differs(x, y, false))
}

// A history that breaks off is told up to where it is sound.
func TestVerifyCorrupt(t *testing.T) {
	dir := t.TempDir()
	srv, err := embedded.Start(t.Context(), dir, embedded.WithPort(-1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	nc, err := dial(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	store, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Shutdown(context.Background())) })
	run := store.Execution("acme", "run")
	for range 3 {
		_, err := run.Append(t.Context(), enact.ExecutionResumed{})
		require.NoError(t, err)
	}
	head, err := run.Head(t.Context())
	require.NoError(t, err)
	// A copy of the second record under the next one's check.
	js, err := nc.JetStream(nats.MaxWait(patience))
	require.NoError(t, err)
	raw, err := js.GetMsg("ENACT", head.Position-1)
	require.NoError(t, err)
	raw.Header.Set(nats.ExpectedLastSubjSeqHdr, "")
	_, err = js.PublishMsg(&nats.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data})
	require.NoError(t, err)

	code, out, errs := admin(t, "", "execution", "verify", "run", "--server", srv.ClientURL(), "-o", "json")
	require.Equal(t, exitError, code, errs)
	require.Contains(t, out+errs, "corrupt history")
	code, _, errs = admin(t, "", "execution", "head", "--all", "--server", srv.ClientURL())
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "jetstore-admin: 1 head could not be read\n")
}
