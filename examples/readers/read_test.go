//go:build readers

package readers

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// read runs the reader. A missing interpreter is a failure.
func read(t *testing.T, url string, tenant enact.TenantID, id enact.ExecutionID) (string, error) {
	t.Helper()
	python, err := exec.LookPath("python3")
	require.NoError(t, err, "the reader is a Python program")
	out, err := exec.CommandContext(t.Context(), python, "read.py", url, string(tenant), string(id)).CombinedOutput()
	return string(out), err
}

// A reader that knows nothing but docs/wire-format.md sees what the log holds, and what is
// wrong with it.
func TestReader(t *testing.T) {
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithMemoryStorage(), embedded.WithPort(-1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	nc, err := nats.Connect(srv.ClientURL())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, jetstore.WithMemoryStorage()))
	store, err := jetstore.Open(t.Context(), nc, jetstore.WithMemoryStorage())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Shutdown(context.Background())) })

	// Everything that a record can have: several events, times of their own, metadata, a
	// key, staged batches, ids that need encoding.
	const tenant, id = "Zürich *.>", "exec 100% 🦀"
	run := store.Execution(tenant, id)
	_, err = run.Append(t.Context(), enact.ExecutionStarted{}, enact.WithIdempotencyKey("order 17/é"))
	require.NoError(t, err)
	_, err = run.AppendBatch(t.Context(), []enact.Event{enact.ExecutionPaused{Reason: "é 漢字"}, enact.ExecutionResumed{}},
		enact.WithMetadata(map[string]string{"user": "ann", "città": " a\r\nb "}))
	require.NoError(t, err)
	_, err = run.AppendBatch(t.Context(), []enact.Event{enact.ExecutionPaused{Reason: "3"}, enact.ExecutionResumed{}}, enact.WithOneEventPerRecord())
	require.NoError(t, err)
	for n := range 10 {
		_, err = store.Append(t.Context(), "another", tenant, enact.ExecutionPaused{Reason: fmt.Sprint(n)})
		require.NoError(t, err)
		_, err = run.Append(t.Context(), enact.ExecutionPaused{Reason: fmt.Sprint(n)})
		require.NoError(t, err)
	}
	out, err := read(t, srv.ClientURL(), tenant, id)
	require.NoError(t, err, out)
	require.Contains(t, out, "1 {\"type\": \"execution_started\", \"parent\": null, \"metadata\": null}\n2 {\"type\": \"execution_paused\", \"reason\": \"é 漢字\"}\n")
	require.Contains(t, out, "15 {\"type\": \"execution_paused\", \"reason\": \"9\"}\n15 events, the chain holds\n")

	out, err = read(t, srv.ClientURL(), tenant, "none")
	require.NoError(t, err, out)
	require.Equal(t, "0 events, the chain holds\n", out)

	// Of another codec the chain is checked all the same.
	z, err := codec.NewZstd(nil)
	require.NoError(t, err)
	packed, err := jetstore.Open(t.Context(), nc, jetstore.WithMemoryStorage(), jetstore.WithCodec(z))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, packed.Shutdown(context.Background())) })
	many := make([]enact.Event, 50)
	for i := range many {
		many[i] = enact.ExecutionPaused{Reason: "waiting for somebody to say something"}
	}
	_, err = packed.AppendBatch(t.Context(), "packed", tenant, many)
	require.NoError(t, err)
	out, err = read(t, srv.ClientURL(), tenant, "packed")
	require.NoError(t, err, out)
	require.Contains(t, out, "50 {\"type\": \"(codec json+zstd)\"}\n50 events, the chain holds\n")

	// A record that somebody else wrote in the history's place.
	last, err := run.Head(t.Context())
	require.NoError(t, err)
	m, err := nc.Request("$JS.API.DIRECT.GET.ENACT", []byte(fmt.Sprintf(`{"seq":%d}`, last.Position)), time.Minute)
	require.NoError(t, err)
	forged := &nats.Msg{Subject: m.Header.Get("Nats-Subject"), Header: nats.Header{}, Data: []byte(`{"type":"execution_resumed"}`)}
	for _, name := range []string{"Enact-Sequence", "Enact-Time", "Enact-Commit", "Enact-Link"} {
		forged.Header[name] = m.Header[name]
	}
	forged.Header["Nats-Expected-Last-Subject-Sequence"] = []string{fmt.Sprint(last.Position)}
	_, err = nc.RequestMsg(forged, time.Minute)
	require.NoError(t, err)
	out, err = read(t, srv.ClientURL(), tenant, id)
	require.Error(t, err)
	require.Contains(t, out, "read.py: position ")
	require.Contains(t, out, "15 {") // what came before it is printed
}
