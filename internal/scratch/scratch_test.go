package scratch_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/internal/scratch"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// A scratch log lies beside a log, whatever that is called, and is gone once it is closed,
// also when time is up; the log stays.
func TestScratchLog(t *testing.T) {
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithMemoryStorage())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	nc, err := nats.Connect("", srv.InProcess())
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := nc.JetStream(nats.MaxWait(time.Minute))
	require.NoError(t, err)
	streams := func() (names []string) {
		for name := range js.StreamNames() {
			names = append(names, name)
		}
		return names
	}
	for _, name := range []string{"ENACT", strings.Repeat("x", 200)} {
		own := []jetstore.Option{jetstore.WithStream(name), jetstore.WithPrefix("p" + name[:1])}
		require.NoError(t, jetstore.EnsureStream(t.Context(), nc, own...))
		before := streams()
		beside, err := jetstore.LayoutOf("", own...)
		require.NoError(t, err)
		log, err := scratch.Open(t.Context(), nc, beside, 1)
		require.NoError(t, err)
		require.ElementsMatch(t, append(log.Names(), before...), streams())
		for _, name := range log.Names() {
			require.True(t, scratch.IsScratch(name))
		}
		_, err = log.Append(t.Context(), "run", "acme", enact.ExecutionResumed{})
		require.NoError(t, err)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, log.Close(ended))
		require.ElementsMatch(t, before, streams())

		// What fails leaves nothing.
		_, err = scratch.Open(ended, nc, beside, 1)
		require.ErrorIs(t, err, context.Canceled)
		_, err = scratch.Open(t.Context(), nc, beside, 7)
		require.ErrorIs(t, err, enact.ErrInvalidOption)
		require.ElementsMatch(t, before, streams())
	}
}

// A log whose name has the word in it is none to be removed.
func TestIsScratch(t *testing.T) {
	const id = "Fqp6iYwvxAgyXgZmL02EUZ"
	for name, want := range map[string]bool{
		"ENACT_SCRATCH_" + id: true, "ENACT_SCRATCH_" + id + "_INDEX": true, "MY_SCRATCH_LOG_SCRATCH_" + id: true,
		"MY_SCRATCH_LOG": false, "MY_SCRATCH_LOG_INDEX": false, "A_SCRATCH_" + id + "-acme": false, "ENACT": false,
	} {
		require.Equal(t, want, scratch.IsScratch(name), name)
	}
}
